"""Agents that talk over real channels: the words in which the tests of messaging are written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import Metadata, Pair, caller


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    """The error of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def sequences(deliveries: Iterable[pb.Delivery]) -> list[int]:
    """Where deliveries stand in their inbox."""
    return [delivery.receipt.sequence for delivery in deliveries]


class Inbox:
    """An open stream of an inbox."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> pb.SubscribeInboxResponse:
        """The next response."""
        response = await self._call.read()
        assert isinstance(response, pb.SubscribeInboxResponse), await self.end()
        return response

    async def until(self, mark: pb.StreamMark.ValueType) -> list[pb.SubscribeInboxResponse]:
        """All responses up to the first with this mark."""
        responses = [await self.next()]
        while responses[-1].mark != mark:
            responses.append(await self.next())
        return responses

    async def backlog(self) -> list[pb.Delivery]:
        """All deliveries up to the mark CAUGHT_UP."""
        responses = await self.until(pb.STREAM_MARK_CAUGHT_UP)
        return [delivery for response in responses for delivery in response.deliveries]

    async def take(self, count: int) -> list[pb.Delivery]:
        """At least so many deliveries more, whatever the marks."""
        found: list[pb.Delivery] = []
        while len(found) < count:
            found.extend((await self.next()).deliveries)
        return found

    async def end(self) -> grpc.aio.AioRpcError:
        """The error with which the stream ends."""
        return await refusal(self._call.read())


@dataclass(frozen=True)
class Agent:
    """One agent of a team, as a caller. Fields of requests are given as keywords."""

    stub: messaging_pb2_grpc.MessagingServiceAsyncStub
    agent_id: str = ""
    team_id: str = ""

    @property
    def metadata(self) -> Metadata:
        """What tells the server who calls."""
        return caller(self.agent_id, self.team_id)

    def register(self, **fields: Any) -> Coroutine[Any, Any, pb.RegisterAgentResponse]:
        return self._call(self.stub.RegisterAgent, pb.RegisterAgentRequest(**fields))

    async def look(self, **fields: Any) -> pb.Agent:
        """GetAgent."""
        request = pb.GetAgentRequest(**fields)
        return (await self._call(self.stub.GetAgent, request)).agent

    def list_agents(self, **fields: Any) -> Coroutine[Any, Any, pb.ListAgentsResponse]:
        return self._call(self.stub.ListAgents, pb.ListAgentsRequest(**fields))

    def send(
        self, *recipient_ids: str, **fields: Any
    ) -> Coroutine[Any, Any, pb.SendMessageResponse]:
        request = pb.SendMessageRequest(recipient_ids=recipient_ids, **fields)
        return self._call(self.stub.SendMessage, request)

    def acknowledge(self, **fields: Any) -> Coroutine[Any, Any, pb.AcknowledgeMessagesResponse]:
        request = pb.AcknowledgeMessagesRequest(**fields)
        return self._call(self.stub.AcknowledgeMessages, request)

    async def read(self, message_id: str) -> pb.MessageRecord:
        """GetMessage."""
        request = pb.GetMessageRequest(message_id=message_id)
        return (await self._call(self.stub.GetMessage, request)).record

    def list_messages(self, **fields: Any) -> Coroutine[Any, Any, pb.ListMessagesResponse]:
        return self._call(self.stub.ListMessages, pb.ListMessagesRequest(**fields))

    @asynccontextmanager
    async def inbox(self, **fields: Any) -> AsyncGenerator[Inbox]:
        """SubscribeInbox, for as long as the block lasts."""
        request = pb.SubscribeInboxRequest(**fields)
        call = self.stub.SubscribeInbox(request, metadata=self.metadata)
        try:
            yield Inbox(call)
        finally:
            call.cancel()

    async def backlog(self, **fields: Any) -> list[pb.Delivery]:
        """What a subscription gives up to the mark CAUGHT_UP."""
        async with self.inbox(**fields) as inbox:
            return await inbox.backlog()

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request, metadata=self.metadata)


def caller_of(pair: Pair, agent_id: str = "", team_id: str = "") -> Agent:
    """One who calls, registered or not, in the team of the test."""
    return Agent(pair.messaging, agent_id, team_id or pair.team_id)


async def known(pair: Pair, *agent_ids: str, team_id: str = "") -> list[Agent]:
    """Agents of these ids, registered."""
    agents = [caller_of(pair, agent_id, team_id) for agent_id in agent_ids]
    for agent in agents:
        await agent.register()
    return agents


async def bob_with(pair: Pair, count: int, **fields: Any) -> Agent:
    """A new agent, bob, to whom alice has sent so many messages."""
    alice, bob = await known(pair, "alice", "bob")
    for number in range(1, count + 1):
        await alice.send("bob", subject=str(number), **fields)
    return bob
