"""A write that waits while its token is revoked; and whose `request_id` is whose."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store.store import Store
from dovetail.tasks.v1 import tasks_pb2 as t
from security.test_credentials import ENDED, refused, until_refused
from store.opened import held
from support.guarded import Guarded, bearer, guarded_pair
from support.waiting import until


async def until_waiting(store: Store, calls: int) -> None:
    """Wait until so many writes wait for their turn."""
    await until(lambda: len(store._writers._pending) >= calls)


async def contents(guarded: Guarded, observer: Any) -> tuple[list[str], list[str]]:
    """The agents and the tasks of the team."""
    agents = await guarded.pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=observer)
    tasks = await guarded.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=observer)
    return [each.agent_id for each in agents.agents], [
        f"{each.task_id} {each.state}" for each in tasks.tasks
    ]


async def test_writes_that_wait_while_their_token_is_revoked_are_refused(
    postgres_url: str, tmp_path: Path
) -> None:
    """On PostgreSQL, where one team's writes wait while the admins' go on."""
    async with guarded_pair(postgres_url, tmp_path) as guarded:
        pair = guarded.pair
        made = await guarded.made("operator", "red", "alice")
        alice, bob = bearer(made.token), await guarded.agent("bob")
        await pair.tasks.CreateTask(t.CreateTaskRequest(title="ready"), metadata=bob)
        await pair.messaging.RegisterAgent(m.RegisterAgentRequest(), metadata=alice)
        before = await contents(guarded, bob)
        send = m.SendMessageRequest(recipient_ids=["bob"], body="late")
        async with held(pair.messaging_store, "red"):
            calls = [
                pair.messaging.SendMessage(send, metadata=alice),
                pair.messaging.RegisterAgent(
                    m.RegisterAgentRequest(agent_id="late"), metadata=alice
                ),
                pair.tasks.CreateTask(t.CreateTaskRequest(title="late"), metadata=alice),
                pair.tasks.StartTask(t.StartTaskRequest(task_id="t1"), metadata=alice),
                pair.tasks.ClaimTask(t.ClaimTaskRequest(), metadata=alice),
            ]
            waiting = [asyncio.ensure_future(refused(call)) for call in calls]
            await until_waiting(pair.messaging_store, 3)
            await until_waiting(pair.tasks_store, 3)
            await pair.other_admin.RevokeCredential(
                pb.RevokeCredentialRequest(credential_id=made.credential.credential_id),
                metadata=guarded.admin,
            )
            for look in (
                lambda: pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=alice),
                lambda: pair.tasks.ListTasks(t.ListTasksRequest(), metadata=alice),
            ):
                await until_refused(look)
        assert await asyncio.gather(*waiting) == [ENDED] * len(calls)
        assert await contents(guarded, bob) == before
        inbox = await pair.messaging.ReceiveMessages(m.ReceiveMessagesRequest(), metadata=bob)
        assert list(inbox.deliveries) == []


async def test_operators_without_an_agent_do_not_share_their_request_ids(
    guarded: Guarded,
) -> None:
    one, other = [await guarded.token("operator", "red") for _ in range(2)]
    stub = guarded.pair.tasks
    first = t.CreateTaskRequest(title="one", request_id="r")
    second = t.CreateTaskRequest(title="other", request_id="r")
    made = [
        (await stub.CreateTask(request, metadata=metadata)).task.task_id
        for request, metadata in ((first, one), (second, other), (first, one), (second, other))
    ]
    assert made == ["t1", "t2", "t1", "t2"]
    code, reason = await refused(stub.CreateTask(second, metadata=one))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


async def test_credentials_of_one_agent_share_its_request_ids(guarded: Guarded) -> None:
    """A new token in the place of an old one must not make a repeat a second task."""
    old, new = await guarded.agent("alice"), await guarded.agent("alice")
    request = t.CreateTaskRequest(title="one", request_id="r")
    made = [
        (await guarded.pair.tasks.CreateTask(request, metadata=metadata)).task.task_id
        for metadata in (old, new)
    ]
    assert made == ["t1", "t1"]
