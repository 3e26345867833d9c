"""Credentials: how they are made, listed, rotated, revoked, and how they end what is open."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store.tables.credentials import NO_TEAM
from dovetail.server.store.transaction import Transaction
from dovetail.tasks.v1 import tasks_pb2 as t
from support.databases import Postgres
from support.guarded import Guarded, bearer, guarded_pair
from support.refusals import error_info

SECONDS_TO_END = 5.0
"""Within so many seconds an ended token ends everything: the promise under test."""


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), error_info(caught.value).reason


ENDED = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_ENDED")
UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_UNKNOWN")
REQUIRED = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_REQUIRED")


async def test_the_sender_is_whom_the_token_names(guarded: Guarded) -> None:
    alice, bob = await guarded.agent("alice"), await guarded.agent("bob")
    request = m.SendMessageRequest(recipient_ids=["bob"], body="hello")
    await guarded.pair.messaging.SendMessage(request, metadata=alice)
    received = await guarded.pair.messaging.ReceiveMessages(
        m.ReceiveMessagesRequest(), metadata=bob
    )
    assert [each.message.sender_id for each in received.deliveries] == ["alice"]


@pytest.mark.parametrize(
    ("metadata", "answer"),
    [
        ((), REQUIRED),
        ((("dovetail-agent", "alice"),), REQUIRED),
        ((("authorization", "Basic abc"),), UNKNOWN),
        ((("authorization", "Bearer nonsense"),), UNKNOWN),
        (bearer("dovetail_" + "x" * 43), UNKNOWN),
        ((*bearer("dovetail_" + "x" * 43), *bearer("dovetail_" + "y" * 43)), UNKNOWN),
    ],
)
async def test_without_a_good_token_nothing_is_answered(
    guarded: Guarded, metadata: Any, answer: Any
) -> None:
    pair = guarded.pair
    assert await refused(pair.tasks.GetReport(t.GetReportRequest(), metadata=metadata)) == answer
    assert await refused(pair.admin.ListTeams(pb.ListTeamsRequest(), metadata=metadata)) == answer


async def test_nobody_may_say_that_he_is_another(guarded: Guarded) -> None:
    alice = await guarded.agent("alice")
    for claim in (("dovetail-agent", "bob"), ("dovetail-team", "blue")):
        call = guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=(*alice, claim))
        assert await refused(call) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_MISMATCH")
    same = (*alice, ("dovetail-agent", "alice"), ("dovetail-team", "red"))
    await guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=same)


async def test_a_revoked_token_is_refused_by_both_servers_within_seconds(guarded: Guarded) -> None:
    made = await guarded.made("agent", "red", "alice")
    alice = bearer(made.token)
    await guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=alice)
    await guarded.pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=alice)
    await revoke(guarded, made.credential)
    await until_refused(lambda: guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=alice))
    await until_refused(
        lambda: guarded.pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=alice)
    )


async def revoke(guarded: Guarded, credential: pb.Credential) -> pb.Credential:
    """Revoke a credential at the task server."""
    request = pb.RevokeCredentialRequest(credential_id=credential.credential_id)
    answer = await guarded.pair.other_admin.RevokeCredential(request, metadata=guarded.admin)
    return answer.credential


async def answer_of(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the reason of a call, which may be answered well."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error_info(error).reason
    return grpc.StatusCode.OK, ""


async def until_refused(call: Any) -> None:
    """Wait until a call is refused because its token has ended."""
    async with asyncio.timeout(SECONDS_TO_END):
        while True:
            answer = await answer_of(call())
            if answer != (grpc.StatusCode.OK, ""):
                break
            await asyncio.sleep(0.05)
    assert answer == ENDED


async def opened(guarded: Guarded, metadata: Any) -> Any:
    """A stream that has caught up."""
    stream = guarded.pair.messaging.SubscribeInbox(m.SubscribeInboxRequest(), metadata=metadata)
    first: Any = await stream.read()
    assert first.mark == m.STREAM_MARK_CAUGHT_UP
    return stream


async def test_revoking_ends_open_streams_and_waiting_calls(guarded: Guarded) -> None:
    made = await guarded.made("agent", "red", "alice")
    alice = bearer(made.token)
    stream = await opened(guarded, alice)
    watch: Any = guarded.pair.tasks.WatchTasks(t.WatchTasksRequest(), metadata=alice)
    assert (await watch.read()).mark == t.STREAM_MARK_CAUGHT_UP
    bob = await opened(guarded, await guarded.agent("bob"))
    wait = m.ReceiveMessagesRequest(max_wait=Duration(seconds=50))
    waiting = asyncio.ensure_future(guarded.pair.messaging.ReceiveMessages(wait, metadata=alice))
    await revoke(guarded, made.credential)
    async with asyncio.timeout(SECONDS_TO_END):
        assert await refused(stream.read()) == ENDED
        assert await refused(watch.read()) == ENDED
        assert await refused(waiting) == ENDED
    await guarded.pair.messaging.SendMessage(
        m.SendMessageRequest(recipient_ids=["bob"]), metadata=await guarded.agent("carol")
    )
    assert len((await bob.read()).deliveries) == 1
    bob.cancel()


async def test_streams_end_when_trust_does_though_the_store_hangs(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    async with guarded_pair(own_postgres.url, tmp_path) as guarded:
        stream = await opened(guarded, await guarded.agent("alice"))
        with own_postgres.frozen():
            async with asyncio.timeout(SECONDS_TO_END):
                assert await refused(stream.read()) == (
                    grpc.StatusCode.UNAVAILABLE,
                    "STORE_UNAVAILABLE",
                )


async def test_an_expired_token_ends_its_stream_and_its_calls(guarded: Guarded) -> None:
    made = await guarded.made("agent", "red", "alice", lifetime=Duration(seconds=1))
    alice = bearer(made.token)
    stream = await opened(guarded, alice)
    async with asyncio.timeout(1 + SECONDS_TO_END):
        assert await refused(stream.read()) == ENDED
    assert (
        await refused(guarded.pair.tasks.GetReport(t.GetReportRequest(), metadata=alice)) == ENDED
    )


async def test_a_rotated_token_lives_for_its_grace_beside_the_new_one(guarded: Guarded) -> None:
    old = await guarded.made("agent", "red", "alice", description="laptop")
    request = pb.RotateCredentialRequest(
        credential_id=old.credential.credential_id, grace=Duration(seconds=3600)
    )
    new = await guarded.pair.admin.RotateCredential(request, metadata=guarded.admin)
    assert new.credential.rotated_credential_id == old.credential.credential_id
    assert new.credential.description == "laptop"
    for token in (old.token, new.token):
        await guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=bearer(token))


async def test_rotating_without_grace_ends_the_old_token(guarded: Guarded) -> None:
    old = await guarded.made("agent", "red", "alice")
    request = pb.RotateCredentialRequest(credential_id=old.credential.credential_id)
    new = await guarded.pair.admin.RotateCredential(request, metadata=guarded.admin)
    metadata = bearer(old.token)
    await until_refused(
        lambda: guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=metadata)
    )
    await guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=bearer(new.token))
    again = guarded.pair.admin.RotateCredential(request, metadata=guarded.admin)
    assert await refused(again) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CREDENTIAL_NOT_ROTATABLE",
    )


async def test_what_a_waiting_call_acknowledged_is_answered_though_its_token_ends(
    guarded: Guarded,
) -> None:
    made = await guarded.made("agent", "red", "alice")
    alice = bearer(made.token)
    send = m.SendMessageRequest(recipient_ids=["alice"])
    await guarded.pair.messaging.SendMessage(send, metadata=alice)
    wait = m.ReceiveMessagesRequest(max_wait=Duration(seconds=50), acknowledge_through_sequence=1)
    waiting = asyncio.ensure_future(guarded.pair.messaging.ReceiveMessages(wait, metadata=alice))
    operator = await guarded.token("operator", "red")
    asked = m.GetAgentRequest(agent_id="alice")
    async with asyncio.timeout(SECONDS_TO_END):
        while True:
            found = await guarded.pair.messaging.GetAgent(asked, metadata=operator)
            if found.agent.unacknowledged_count == 0:
                break
    await revoke(guarded, made.credential)
    async with asyncio.timeout(SECONDS_TO_END):
        answer = await waiting
    assert (answer.acknowledged_count, len(answer.deliveries)) == (1, 0)


async def test_a_clock_that_was_ahead_once_lengthens_no_credential(guarded: Guarded) -> None:
    ahead = 2**53
    await guarded.pair.messaging_store.write(NO_TEAM, lambda t: _set_last_time(t, ahead))
    short = await guarded.made("agent", "red", "alice", lifetime=Duration(seconds=1))
    old = await guarded.made("agent", "red", "bob")
    rotate = pb.RotateCredentialRequest(credential_id=old.credential.credential_id)
    await guarded.pair.admin.RotateCredential(rotate, metadata=guarded.admin)
    for made in (short, old):
        metadata = bearer(made.token)
        await until_refused(partial(_list, guarded, metadata))


def _set_last_time(transaction: Transaction, ahead: int) -> None:
    transaction.team.stamp = ahead
    transaction.add_team(transaction.team_id)  # so that it is committed


def _list(guarded: Guarded, metadata: Any) -> Any:
    return guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=metadata)
