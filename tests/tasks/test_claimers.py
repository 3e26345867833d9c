"""What claims cost: the statements that a task server runs, however many wait."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.teams import Team
from support.waiting import until

MANY, FEW = 1_000, 10
NOISE = 20
"""Statements more or less: how often the net rings meanwhile, and what a look finds at once."""


class Statements(logging.Handler):
    """Keeps what the stores' readers and writers run for a team, as Peewee logs it.

    The lease monitor's looks come with time, not with work: they have threads of their own.
    """

    def __init__(self, team_id: str) -> None:
        super().__init__()
        self._team_id = team_id
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text, thread = str(record.msg), str(record.threadName)
        if self._team_id in text and thread.startswith(("reader", "writer")):
            self.seen.append(text)


@contextmanager
def statements(team: Team) -> Generator[list[str]]:
    """The statements that are run for a team inside the block."""
    logger, handler = logging.getLogger("peewee"), Statements(team.team_id)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.seen
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


async def waiting(team: Team, count: int) -> list[asyncio.Task[list[pb.ClaimedTask]]]:
    """So many claims of as many agents, all of which have looked once and wait."""
    with statements(team) as seen:
        claims = [
            asyncio.create_task(team.caller(f"w{n}").claim(max_wait=50)) for n in range(count)
        ]

        async def all_have_looked() -> bool:
            return len(set(re.findall(r"'w\d+'", " ".join(seen)))) == count

        await until(all_have_looked)
    await team.caller().page(page_size=1)  # behind the last look, so that it is over
    return claims


async def statements_for_one_task(team: Team, count: int) -> int:
    """How many statements a new task costs while so many wait. Exactly one of them gets it."""
    claims = await waiting(team, count)
    with statements(team) as seen:
        task = await team.caller("joe").made()
        done, _ = await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
        own = len(seen)

        async def net_has_rung() -> bool:
            # It compares what all wait for, and has all look that wait in this team.
            return any('"removal_count" FROM' in text for text in seen[own:])

        await until(net_has_rung)
        await team.caller().page(page_size=1)
        await team.row(task.task_id)
    (winner,) = done
    assert [each.task.task_id for each in winner.result()] == [task.task_id]
    assert [claim for claim in claims if claim.done()] == [winner]
    assert await team.verbs(task.task_id) == ["create", "claim"]
    for claim in claims:
        claim.cancel()
    await asyncio.gather(*claims, return_exceptions=True)
    assert seen
    return len(seen)


@pytest.mark.timeout(60)
async def test_a_new_task_costs_the_same_however_many_wait_for_it(team: Team) -> None:
    few = await statements_for_one_task(Team(team.pair, f"{team.team_id}, few"), FEW)
    many = await statements_for_one_task(Team(team.pair, f"{team.team_id}, many"), MANY)
    assert 0 < many <= few + NOISE


async def test_a_waiting_claim_sleeps_while_tasks_of_others_become_due(team: Team) -> None:
    joe, ann, _ = await team.known("joe", "ann", "bob")
    due = Timestamp()
    due.FromMicroseconds(time.time_ns() // 1_000 + 200_000)
    await joe.made(assignee_id="bob", schedule_time=due)
    with statements(team) as seen:
        assert await ann.claim(max_wait=1) == []
    assert 0 < len(seen) < 40
