"""Five scripted models that work as a team, with the tools of `dovetail mcp` alone.

A round of work: its creator creates a task for a first agent, which claims it, asks, and fails it
for another try; the creator assigns it to a second one, which reports progress and completes it;
then the creator reads the report. Each model keeps no more than a model has in its context, and
every step may be lost: the bridge, a server or an answer may be gone at any moment.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridges.hosts import Host, RefusedError, Workplace

TEAM = ("ada", "bob", "cleo", "dan", "eve")
CALLS_REPEATED_MAX = 50
RESTARTS_MAX = 500
MESSAGE = re.compile(r"^<\d{9} #(\d+) (\w+) (?:task=(\S+) )?.*at=", re.MULTILINE)
CLAIMED = re.compile(r"^(\S+) in_progress, ", re.MULTILINE)
ROUND = re.compile(r"^round (\d+)$", re.MULTILINE)

LEASE = "3s"
BYE = "All rounds have ended."


def part(number: int, place: int) -> str:
    """The agent that has a part in a round: 0 creates it, 1 begins it, 2 completes it."""
    return TEAM[(number + place) % len(TEAM)]


@dataclass(kw_only=True)
class Team:
    """The team, and what its models saw. `called` is told of every call, before it is made."""

    workplace: Workplace
    rounds: int
    logs: Path
    called: Callable[[], None]
    created: dict[int, str] = field(default_factory=dict[int, str])
    ended: set[int] = field(default_factory=set[int])
    assignments_shown: Counter[str] = field(default_factory=Counter[str])
    completions: Counter[str] = field(default_factory=Counter[str])
    first_shown: dict[tuple[str, int], float] = field(default_factory=dict[tuple[str, int], float])
    calls: int = 0
    refused: int = 0
    restarts: int = 0

    async def work(self) -> None:
        """Work until every round has ended, and all have read what they got."""
        async with asyncio.TaskGroup() as group:
            for agent_id in TEAM:
                group.create_task(Model(self, agent_id).live())

    @property
    def is_done(self) -> bool:
        """Whether every round has ended."""
        return len(self.ended) == self.rounds


class Model:
    """One of them."""

    def __init__(self, team: Team, agent_id: str) -> None:
        self._team = team
        self._agent_id = agent_id
        self._held: dict[str, int] = {}
        """The rounds that it works on, by task."""
        self._handled: list[int] = []

    async def live(self) -> None:
        """Work, with one bridge after the other."""
        while True:
            try:
                errors = (self._team.logs / f"{self._agent_id}.log").open("a")
                with errors:
                    async with self._team.workplace.process(
                        self._agent_id, "--lease", LEASE, errors=errors
                    ) as host:
                        await self._turns(host)
                        return
            except Exception as lost:  # The SDK raises what its pipes met, in groups.
                self._team.restarts += 1
                if self._team.restarts > RESTARTS_MAX:
                    raise
                self._held.clear()
                raise_unless_lost(lost)

    async def _turns(self, host: Host) -> None:
        text = ""
        while not (self._team.is_done and text.startswith("no messages")):
            await self._create(host)
            text = await self._call(
                host,
                "receive_messages",
                wait="none" if self._team.is_done else "short",
                acknowledge=self._handled,
            )
            self._handled = []
            self._note_shown(text)
            for sequence, verb, task_id in MESSAGE.findall(text):
                await self._read(host, verb, task_id)
                self._handled.append(int(sequence))
            while await self._claim(host):
                pass

    async def _create(self, host: Host) -> None:
        """Begin the next round of its own, once the last one has ended."""
        mine = [n for n in range(self._team.rounds) if part(n, 0) == self._agent_id]
        todo = [n for n in mine if n not in self._team.ended]
        if not todo or todo[0] in self._team.created:
            return
        number = todo[0]
        text = await self._call(
            host,
            "create_task",
            title=f"round {number}",
            description="Ask which way, and go.",
            assignee=part(number, 1),
            request_id=f"round {number}",
        )
        task_id = text.split()[0]
        self._team.created[number] = task_id

    async def _read(self, host: Host, verb: str, task_id: str) -> None:
        """Do what a notice asks for."""
        numbers = {task: number for number, task in self._team.created.items()}
        number = numbers.get(task_id)
        if number is None or part(number, 0) != self._agent_id:
            return
        if verb == "request_input":
            await self._try(host, "update_task", task_id=task_id, action="answer", text="left")
        elif verb == "retry":
            to = part(number, 2)
            await self._try(host, "update_task", task_id=task_id, action="reassign", to=to)
        elif verb == "complete":
            await self._call(host, "get_report")
            self._team.ended.add(number)
            if self._team.is_done:
                await self._call(host, "send_message", to=TEAM, text=BYE, request_id=BYE)

    async def _claim(self, host: Host) -> bool:
        """Go on with what it holds, or claim the next task; return whether there may be more."""
        if not self._held:
            text = await self._call(host, "claim_task")
            if not (found := CLAIMED.search(text)):
                return False
            self._held[found[1]] = int(ROUND.findall(text)[0])
        for task_id, number in [*self._held.items()]:
            if await self._work(host, task_id, number):
                del self._held[task_id]
        return not self._held

    async def _work(self, host: Host, task_id: str, number: int) -> bool:
        """Go on with a task; return whether it is no longer held."""
        text = await self._call(host, "get_task", task_id=task_id)
        if f"{task_id} input_required" in text:
            return False
        if f"{task_id} in_progress" not in text or f"> {self._agent_id}" not in text:
            return True
        if part(number, 1) == self._agent_id:
            if " answer from=" not in text:
                await self._try(
                    host, "update_task", task_id=task_id, action="ask", text="Which way?"
                )
                return False
            return await self._finish(host, task_id, "the way is blocked", "retry")
        await self._try(host, "update_task", task_id=task_id, action="progress", percent=50)
        return await self._finish(host, task_id, f"done by {self._agent_id}", "completed")

    async def _finish(self, host: Host, task_id: str, summary: str, outcome: str) -> bool:
        answer = await self._try(
            host, "finish_task", task_id=task_id, summary=summary, outcome=outcome
        )
        if answer.startswith(f"{task_id} completed"):
            self._team.completions[task_id] += 1
        return True

    def _note_shown(self, text: str) -> None:
        """Note when each message was shown first."""
        for sequence, verb, _ in MESSAGE.findall(text):
            place = (self._agent_id, int(sequence))
            if place not in self._team.first_shown:
                self._team.first_shown[place] = time.time()
                self._team.assignments_shown[self._agent_id] += verb == "assign"

    async def _try(self, host: Host, name: str, **arguments: Any) -> str:
        """What a tool answers, or why it does not: the next turn sees what became of it."""
        try:
            return await self._call(host, name, **arguments)
        except RefusedError as error:
            return f"refused: {error}"

    async def _call(self, host: Host, name: str, **arguments: Any) -> str:
        """Call a tool, and call it again where its answer says so: a server is down."""
        for _ in range(CALLS_REPEATED_MAX):
            self._team.calls += 1
            self._team.called()
            try:
                return await host.call(name, **arguments)
            except RefusedError as error:
                self._team.refused += 1
                if "ry again" not in str(error) and "No answer in time" not in str(error):
                    raise
        raise AssertionError(f"{name} was refused {CALLS_REPEATED_MAX} times")


def raise_unless_lost(error: BaseException) -> None:
    """Raise what is no consequence of a bridge that is gone."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            raise_unless_lost(each)
    elif isinstance(error, (AssertionError, RefusedError, KeyError, IndexError, TypeError)):
        raise error
