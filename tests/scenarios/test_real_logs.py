"""Real logs, played by their agents while the servers are killed again and again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import chain
from pathlib import Path

import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from support.audit import faults
from support.followers import receive
from support.real_logs import FOLDER, PERSON, Log, Turn, read_all
from support.servers import Servers, insist, serving
from support.soak import full_or_tenth

pytestmark = pytest.mark.soak

LOGS = read_all()
KILLS = full_or_tenth(50)
STEPS_PER_TASK = 4


class Killer:
    """Kills one of the servers with -9, and starts it again, at steps chosen by a seed."""

    def __init__(self, servers: Servers, steps: int, seed: int) -> None:
        """Choose the steps."""
        self._servers = servers
        self._random = random.Random(seed)
        self._steps = 0
        self._at = set(self._random.sample(range(1, steps + 1), KILLS))

    def step(self) -> None:
        """One more call was answered."""
        self._steps += 1
        if self._steps in self._at:
            server = self._random.choice(self._servers.both)
            server.kill()
            server.start(wait=False)


@pytest.mark.skipif(not LOGS, reason=f"no logs in {FOLDER}: set DOVETAIL_LOGS to their folder")
async def test_real_logs_survive_kill_nine_turn_by_turn_and_byte_for_byte(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    turns = [turn for log in LOGS for turn in log.turns]
    steps = len(turns) + STEPS_PER_TASK * len(LOGS)
    async with serving(store_url, tmp_path) as servers:
        await servers.register(*set(chain.from_iterable(log.participants for log in LOGS)))
        killer = Killer(servers, steps, seed=184)
        async with asyncio.TaskGroup() as working:
            for log in LOGS:
                working.create_task(_play(log, servers, killer))
            received = {
                addressee: working.create_task(_listen(servers, addressee, count))
                for addressee, count in Counter(turn.addressee for turn in turns).items()
            }
        for log in LOGS:
            assert [turn async for turn in _stored(servers, log.name)] == list(log.turns)
        for addressee, deliveries in received.items():
            _check_received(addressee, deliveries.result())
        report = await insist(servers.tasks_stub.GetReport, tasks_pb.GetReportRequest(), "")
        assert report.report.completed_tasks == report.report.total_tasks == len(LOGS)
        assert faults(store_url) == []
    characters = sum(len(turn.text) for turn in turns)
    report_figures(
        f"{len(LOGS)} logs, {len(turns)} turns, {characters:,} characters,"
        f" {steps} steps, {KILLS} kills: every turn once, in order; {len(LOGS)} tasks completed"
    )


async def _play(log: Log, servers: Servers, killer: Killer) -> None:
    """A person hands a log's question to its worker as a task; all say what they said."""

    async def step(method: Callable, request: object, agent_id: str) -> None:
        await insist(method, request, agent_id)
        killer.step()

    stub, name = servers.tasks_stub, log.name
    create = tasks_pb.CreateTaskRequest(
        task_id=name, title=log.question[:512], thread_id=name, request_id=f"{name} create"
    )
    await step(stub.CreateTask, create, PERSON)
    assign = tasks_pb.AssignTaskRequest(
        task_id=name, assignee_id=log.worker, request_id=f"{name} assign"
    )
    await step(stub.AssignTask, assign, PERSON)
    start = tasks_pb.StartTaskRequest(task_id=name, request_id=f"{name} start")
    await step(stub.StartTask, start, log.worker)
    for number, turn in enumerate(log.turns):
        send = messaging_pb.SendMessageRequest(
            recipient_ids=[turn.addressee],
            body=turn.text,
            thread_id=name,
            task_id=name,
            request_id=f"{name} {number}",
        )
        await step(servers.messaging_stub.SendMessage, send, turn.speaker)
    complete = tasks_pb.CompleteTaskRequest(
        task_id=name,
        result=tasks_pb.TaskResult(summary=log.turns[-1].text),
        request_id=f"{name} complete",
    )
    await step(stub.CompleteTask, complete, log.worker)


async def _listen(servers: Servers, agent_id: str, turns: int) -> list[messaging_pb.Delivery]:
    """Read an inbox on a stream until all turns for this agent are there."""
    return await receive(
        servers, agent_id, lambda found: sum(_is_turn(d.message) for d in found) == turns
    )


def _check_received(addressee: str, deliveries: Sequence[messaging_pb.Delivery]) -> None:
    """On its stream an agent got what was said to it, thread by thread, in order."""
    for log in LOGS:
        heard = [
            _turn(delivery.message)
            for delivery in deliveries
            if delivery.message.thread_id == log.name and _is_turn(delivery.message)
        ]
        assert heard == [turn for turn in log.turns if turn.addressee == addressee]


async def _stored(servers: Servers, thread_id: str) -> AsyncIterator[Turn]:
    """The turns of a thread, as they are listed."""
    filter = messaging_pb.MessageFilter(
        thread_id=thread_id, kinds=[messaging_pb.MESSAGE_KIND_MESSAGE]
    )
    page_token = ""
    while True:
        request = messaging_pb.ListMessagesRequest(filter=filter, page_token=page_token)
        page = await insist(servers.messaging_stub.ListMessages, request, PERSON)
        for record in page.records:
            yield _turn(record.message)
        page_token = page.next_page_token
        if not page_token:
            break


def _is_turn(message: messaging_pb.Message) -> bool:
    return message.kind == messaging_pb.MESSAGE_KIND_MESSAGE


def _turn(message: messaging_pb.Message) -> Turn:
    (addressee,) = message.recipient_ids
    return Turn(speaker=message.sender_id, addressee=addressee, text=message.body)
