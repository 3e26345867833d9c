"""Agents that were asked and are away: whoever asked is told, once for each question.

An agent is away when it has made no write for as long as its team allows, has opened no inbox, and
has neither a stream open nor a call that waits. The store tells the former, presence the latter.
Every task server looks; the first to write does it, and the others find it done.

All state belongs to the event loop; units run on the store's thread and see only their arguments.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from math import inf

import structlog

from dovetail.server import clock
from dovetail.server.edge.paging import PAGE_BYTES
from dovetail.server.errors import DovetailError
from dovetail.server.presence import Presence
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, events, messages, presence, questions, tasks
from dovetail.server.store.tables.events import EventFilter, ListRequest, TaskVerb
from dovetail.server.store.tables.questions import Look, OldQuestion
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.store.transaction import MICROS, Snapshot, Transaction
from dovetail.server.tasks.wait_notices import Question, asked_away

PERIOD_SECONDS = 30.0
"""Between two looks."""

FIRST_PERIODS = 1.5
"""Before the first look: by then it is known which other servers are alive, and who is there."""

LOOKED_MAX = 500
"""Questions at which one look looks; the next one goes on after them."""

Key = tuple[str, str]
"""A team and an agent."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.questions")


class QuestionMonitor:
    """Finds questions whose agents are away, and tells those who asked."""

    def __init__(
        self, store: Store, known: Presence, away: int, period_seconds: float = PERIOD_SECONDS
    ) -> None:
        """Watch all teams. `away` is for teams that say nothing, in microseconds; 0: for ever."""
        self._store = store
        self._presence = known
        self._away = away
        self._period = period_seconds
        self._after = ("", "")
        # When agents of old questions were last found to be there. From then on their time counts.
        self._present: dict[Key, float] = {}
        self._met: set[Key] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop watching. A unit that runs still ends; nobody waits for it."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_PERIODS * self._period)
        while True:
            try:
                await self._look()
            except DovetailError:
                pass  # the store is away: health checks say so
            except Exception:
                log.exception("questions cannot be looked at")
            await asyncio.sleep(self._period)

    async def _look(self) -> None:
        """Look at some old questions, and tell of those whose agents are away."""
        look = Look(now=clock.now(), away=self._away, after=self._after, most=LOOKED_MAX)
        found = await self._store.read("", partial(questions.old, look=look))
        for team_id, of_team in itertools.groupby(found, lambda each: each.team_id):
            for question in await self._unattended(team_id, [*of_team]):
                unit = partial(_tell, question=question)
                if await self._store.write(team_id, unit, [tasks.need(question.task_id)]):
                    log.info("asked agent away", team_id=team_id, task_id=question.task_id)
        if len(found) == LOOKED_MAX:
            self._after = found[-1].team_id, found[-1].task_id
            return
        self._after = "", ""
        self._present = {key: time for key, time in self._present.items() if key in self._met}
        self._met.clear()

    async def _unattended(self, team_id: str, found: Iterable[OldQuestion]) -> list[OldQuestion]:
        """Those of these questions of a team whose agents are not there, nor were of late."""
        asked = [*dict.fromkeys(each.asked_id for each in found)]
        told = await self._store.read(team_id, partial(presence.of_agents, agent_ids=asked))
        now = asyncio.get_running_loop().time()
        for agent_id, count in zip(asked, self._presence.of(team_id, asked, told), strict=True):
            self._met.add((team_id, agent_id))
            if count:
                self._present[team_id, agent_id] = now
        return [
            each
            for each in found
            if now - self._present.get((team_id, each.asked_id), -inf) >= each.away / MICROS
        ]


def _tell(transaction: Transaction, question: OldQuestion) -> bool:
    """Tell the agent that asked, if the question is as it was seen. Returns whether it was."""
    task = tasks.find(transaction, question.task_id)
    if task is None or task.state is not TaskState.INPUT_REQUIRED or task.away_told:
        return False
    asked = agents.find(transaction, task.asked_id)
    limit = transaction.team.stamp - question.away
    if asked is None or asked.last_seen_time > limit or (task.ask_time or 0) > limit:
        return False
    seconds = (transaction.team.stamp - asked.last_seen_time) // MICROS
    reason = f"{task.asked_id} has not been seen for {_length(seconds)}."
    last_sequences = agents.last_sequences(transaction, [task.assignee_id])
    if last_sequences:
        number = _message_number(transaction, task.task_id)
        notice = asked_away(Question(task=task, message_number=number), reason)
        messages.append(transaction, notice, last_sequences)
    tasks.save(transaction, replace(task, away_told=True))
    return bool(last_sequences)


def _message_number(snapshot: Snapshot, task_id: str) -> int | None:
    """The message of the last question of a task."""
    asked = EventFilter(task_id=task_id, verbs=(TaskVerb.REQUEST_INPUT,))
    request = ListRequest(
        filter=asked, newest_first=True, after=None, most=1, most_bytes=PAGE_BYTES
    )
    found, _ = events.page(snapshot, request)
    return found[0].message_number if found else None


def _length(seconds: int) -> str:
    """A length of time for people, rounded down."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = seconds // size
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} s"
