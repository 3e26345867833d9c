"""Callers that change everything at once, and the ledger of what was acknowledged to them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from dovetail.types.v1 import types_pb2
from support.audit import rows
from support.servers import Servers, insist

SENT = """
    SELECT m.sender_id, m.request_id, m.number, m.payload, d.agent_id, d.sequence
    FROM messages AS m LEFT JOIN deliveries AS d
        ON d.team_id = m.team_id AND d.message_number = m.number
    WHERE m.request_id IS NOT NULL"""
CHANGED = """
    SELECT actor_id, request_id, verb, task_id FROM task_events WHERE request_id IS NOT NULL"""
UNACKNOWLEDGED = """
    SELECT agent_id, MIN(sequence) FROM deliveries WHERE acknowledge_time IS NULL
    GROUP BY agent_id"""

Request = tuple[str, str]


@dataclass
class Ledger:
    """What the servers acknowledged, by caller and request_id; how often they did not."""

    sent: dict[Request, set[tuple[int, str, str, int]]] = field(default_factory=dict)
    changed: dict[Request, tuple[str, str]] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    repeated: int = 0
    writes: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wrote(self) -> None:
        """Count one acknowledged write."""
        async with self._news:
            self.writes += 1
            self._news.notify_all()

    async def reached(self, writes: int) -> None:
        """Wait until so many writes were acknowledged."""
        async with self._news:
            await self._news.wait_for(lambda: self.writes >= writes)

    def count_unknown(self) -> None:
        """Count a call whose outcome is unknown."""
        self.unknown += 1

    def losses(self, store_url: str) -> list[str]:
        """How the store differs from what was acknowledged; empty when it does not."""
        sent: dict[Request, set[tuple[int, str, str, int]]] = {}
        for sender_id, request_id, number, payload, agent_id, sequence in rows(store_url, SENT):
            body = messaging_pb.Message.FromString(payload).body
            delivery = number, body, agent_id, sequence
            sent.setdefault((sender_id, request_id), set()).add(delivery)
        changed = {
            (actor_id, request_id): (verb, task_id)
            for actor_id, request_id, verb, task_id in rows(store_url, CHANGED)
        }
        late = [
            f"acknowledged by {agent_id}, and is not: {first}"
            for agent_id, first in rows(store_url, UNACKNOWLEDGED)
            if first <= self.acknowledged.get(agent_id, 0)
        ]
        return _differences(self.sent, sent) + _differences(self.changed, changed) + late


def _differences(acknowledged: dict[Request, Any], stored: dict[Request, Any]) -> list[str]:
    return [
        f"{request}: acknowledged {acknowledged.get(request)}, stored {stored.get(request)}"
        for request in acknowledged.keys() | stored.keys()
        if acknowledged.get(request) != stored.get(request)
    ]


class Caller:
    """An agent that sends, acknowledges and works on tasks, and repeats what was not answered."""

    def __init__(self, agent_id: str, peers: list[str], servers: Servers, ledger: Ledger) -> None:
        """Act as `agent_id` towards `peers`."""
        self._agent_id = agent_id
        self._peers = peers
        self._servers = servers
        self._ledger = ledger
        self._random = random.Random(agent_id)
        self._number = count(1)
        self._read = 0

    async def work(self, stop: asyncio.Event) -> None:
        """Do one thing after the other until told to stop."""
        while not stop.is_set():
            await self._random.choice((self.send, self.send, self.carry_out, self.acknowledge))()

    async def send(self) -> None:
        """Send a message to some others."""
        request_id = self._request_id("send")
        request = messaging_pb.SendMessageRequest(
            recipient_ids=self._random.sample(self._peers, self._random.randint(1, 3)),
            body=f"{self._agent_id} says {request_id}",
            request_id=request_id,
        )
        response = await self._call(self._servers.messaging_stub.SendMessage, request)
        self._ledger.sent[self._agent_id, request_id] = {
            (int(response.message_id[1:]), request.body, position.recipient_id, position.sequence)
            for position in response.receipts
        }

    async def carry_out(self) -> None:
        """Create a task for another, give it to a third, take it, and do it."""
        stub = self._servers.tasks_stub
        others = self._random.sample(self._peers, 2)
        create = tasks_pb.CreateTaskRequest(title="work", assignee_id=others[0])
        task_id = (await self._change("create", stub.CreateTask, create)).task.task_id
        for assignee_id in (others[1], self._agent_id):
            assign = tasks_pb.AssignTaskRequest(task_id=task_id, assignee_id=assignee_id)
            await self._change("assign", stub.AssignTask, assign)
        await self._change("start", stub.StartTask, tasks_pb.StartTaskRequest(task_id=task_id))
        complete = tasks_pb.CompleteTaskRequest(task_id=task_id)
        await self._change("complete", stub.CompleteTask, complete)

    async def acknowledge(self) -> None:
        """Acknowledge all that is in the inbox now, read on from where it was read last."""
        stub = self._servers.messaging_stub
        agent = (await self._insist(stub.GetAgent, messaging_pb.GetAgentRequest())).agent
        if agent.last_sequence:
            request = messaging_pb.AcknowledgeMessagesRequest(through_sequence=agent.last_sequence)
            await self._call(stub.AcknowledgeMessages, request)
            self._ledger.acknowledged[self._agent_id] = agent.last_sequence

    async def read_on(self) -> int:
        """Read the inbox from where it was read last; fails on a gap. Answers its last sequence."""
        request = messaging_pb.SubscribeInboxRequest(
            after_sequence=self._read, include_acknowledged=True
        )
        stream = self._servers.messaging_stub.SubscribeInbox(
            request, metadata=[("dovetail-agent", self._agent_id)], wait_for_ready=True
        )
        async for response in stream:
            sequences = [delivery.receipt.sequence for delivery in response.deliveries]
            assert sequences == list(range(self._read + 1, response.through_sequence + 1))
            self._read = response.through_sequence
            if response.mark == messaging_pb.STREAM_MARK_CAUGHT_UP:
                break
        stream.cancel()
        return self._read

    async def _change(self, verb: str, method: Any, request: Any) -> Any:
        request.request_id = self._request_id(verb)
        response = await self._call(method, request)
        task_id = response.task.task_id
        self._ledger.changed[self._agent_id, request.request_id] = verb.upper(), task_id
        return response

    async def _call(self, method: Any, request: Any) -> Any:
        """Make a write; now and then make it again, to see that it has one result."""
        response = await self._insist(method, request)
        await self._ledger.wrote()
        if "request_id" in request.DESCRIPTOR.fields_by_name and self._random.random() < 0.1:
            again = await self._insist(method, request)
            assert _as_written(again) == _as_written(response), (
                f"two results: {response} and {again}"
            )
            self._ledger.repeated += 1
        return response

    async def _insist(self, method: Any, request: Any) -> Any:
        return await insist(method, request, self._agent_id, self._ledger.count_unknown)

    def _request_id(self, what: str) -> str:
        return f"{what}-{next(self._number)}"


def _as_written(response: Any) -> Any:
    """A response whose receipts are as they were at first; a repeat has them as they are now."""
    copy = type(response).FromString(response.SerializeToString())
    for receipt in getattr(copy, "receipts", None) or getattr(copy, "notices", ()):
        receipt.state = types_pb2.DELIVERY_STATE_UNACKNOWLEDGED
        receipt.ClearField("state_time")
    return copy
