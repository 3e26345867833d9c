"""What is bounded stays bounded: silence, pages, filters, and what a refusal leaves behind."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.store.schema import TeamRow
from support.pair import Pair, identity, running_pair
from support.refusals import bad_fields

MEBIBYTE = 1024 * 1024


async def test_a_stream_that_is_rung_for_nothing_still_has_its_heartbeat(sqlite_url: str) -> None:
    async with running_pair(sqlite_url, heartbeat_seconds=0.2) as pair:
        await pair.messaging.RegisterAgent(pb.RegisterAgentRequest(), metadata=identity("bob"))
        wish = pb.SubscribeInboxRequest(filter=pb.MessageFilter(thread_id="another"))
        stream = pair.messaging.SubscribeInbox(wish, metadata=identity("bob"))
        heard: list[pb.SubscribeInboxResponse] = []

        async def listen() -> None:
            while len(heard) < 3:
                response = await stream.read()
                assert isinstance(response, pb.SubscribeInboxResponse)
                heard.append(response)

        listening = asyncio.create_task(listen())
        sent = 0
        while not listening.done():
            request = pb.SendMessageRequest(recipient_ids=["bob"], body="not for this stream")
            await pair.messaging.SendMessage(request, metadata=identity("alice"))
            sent += 1
        await listening
        marks = [response.mark for response in heard]
        beat = pb.STREAM_MARK_HEARTBEAT
        assert marks == [pb.STREAM_MARK_CAUGHT_UP, beat, beat]
        assert 0 < heard[1].through_sequence <= heard[2].through_sequence <= sent
        stream.cancel()


async def test_a_page_of_agents_ends_at_a_mebibyte(sqlite_pair: Pair) -> None:
    labels = {f"{number:02}" + "k" * 62: "🦊" * 256 for number in range(16)}
    for number in range(100):
        request = pb.RegisterAgentRequest(agent_id=f"agent-{number:03}", labels=labels)
        await sqlite_pair.messaging.RegisterAgent(request)
    found: list[str] = []
    token = ""
    while True:
        page = await sqlite_pair.messaging.ListAgents(
            pb.ListAgentsRequest(page_size=1_000, page_token=token)
        )
        assert page.ByteSize() < 1.1 * MEBIBYTE
        found += [agent.agent_id for agent in page.agents]
        token = page.next_page_token
        if not token:
            break
    assert found == [f"agent-{number:03}" for number in range(100)]


@pytest.mark.parametrize(
    ("filter", "field"),
    [
        (pb.MessageFilter(sender_ids=["a"] * 1_001), "filter.sender_ids"),
        (pb.MessageFilter(kinds=[pb.MESSAGE_KIND_NOTICE] * 1_001), "filter.kinds"),
    ],
)
async def test_a_filter_with_too_many_entries_is_refused(
    sqlite_pair: Pair, filter: pb.MessageFilter, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sqlite_pair.messaging.ListMessages(pb.ListMessagesRequest(filter=filter))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(bad_fields(caught.value)) == [field]


async def test_a_refused_write_leaves_not_even_its_team(pair: Pair) -> None:
    request = pb.SendMessageRequest(recipient_ids=["nobody"], body="hello")
    with pytest.raises(grpc.aio.AioRpcError):
        await pair.messaging.SendMessage(request, metadata=identity("alice", "misspelt"))
    teams = await pair.messaging_store.read("", lambda s: s.select(TeamRow.select()))
    assert teams == []
