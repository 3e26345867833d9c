"""Claimer processes, and the audit of what they were told against what the store says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import claimer
from support.audit import rows
from support.tables import COMPLETED, LEADS, PENDING, STATES, row_of

EVENTS = """
    SELECT task_id, verb, actor_id, from_state, to_state, request_id
    FROM task_events ORDER BY number"""
TASKS = "SELECT task_id, state, attempt, failed_attempts, lease_token FROM tasks"
KINDS = ("given", "completed", "refused")

Hold = tuple[str, str, str]
"""Agent, task and token."""


@dataclass
class ClaimerProcess:
    """Some agents that claim, in a process of their own: start it, kill it, start it again."""

    address: str
    lease_seconds: float
    agent_ids: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. What it is told comes after what it was told before."""
        command = [sys.executable, claimer.__file__, self.address, str(self.lease_seconds)]
        command += [str(self.log), *self.agent_ids]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone. It must not have ended by itself."""
        self.signal(signal.SIGKILL)
        assert self._end() == -signal.SIGKILL

    def stop(self) -> None:
        """Have it end; it must have met no answer that it cannot explain."""
        assert self.process is not None
        assert self._end() == 0

    def _end(self) -> int:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)


@contextmanager
def claiming(processes: Iterable[ClaimerProcess]) -> Generator[None]:
    """Run claimers inside the block; stop them at its end."""
    started: list[ClaimerProcess] = []
    try:
        for each in processes:
            each.start()
            started.append(each)
        yield
        while started:
            started.pop().stop()
    finally:
        for each in started:
            if each.process is not None and each.process.poll() is None:
                each.kill()


@dataclass
class Told:
    """What claimers wrote down: the attempt that each hold began, and what became of it."""

    given: dict[Hold, int] = field(default_factory=dict[Hold, int])
    completed: set[Hold] = field(default_factory=set[Hold])
    refused: set[Hold] = field(default_factory=set[Hold])
    twice: list[Hold] = field(default_factory=list[Hold])

    @classmethod
    def read(cls, logs: Iterable[Path]) -> Told:
        """Read all logs."""
        told = cls()
        for log in logs:
            for line in log.read_text().splitlines():
                kind, agent_id, task_id, token, *attempt = json.loads(line)
                told._add(kind, (agent_id, task_id, token), attempt)
        return told

    def _add(self, kind: str, hold: Hold, attempt: list[int]) -> None:
        assert kind in KINDS
        if kind == "given":
            self.twice += [hold] if hold in self.given else []
            self.given[hold] = attempt[0]
        else:
            getattr(self, kind).add(hold)


@dataclass
class History:
    """The events of one task, followed one by one; what is wrong with them is kept."""

    state: int = 0
    holder: str = ""
    claims: int = 0
    failures: int = 0
    completions: list[tuple[str, str | None, int]] = field(
        default_factory=list[tuple[str, str | None, int]]
    )
    faults: list[str] = field(default_factory=list[str])

    def follow(self, verb: str, actor: str, before: int, after: int, request: str | None) -> None:
        """Take one event."""
        if before != self.state or not _legal(verb, before, after):
            self.faults.append(f"{verb} from {before} to {after}, after {self.state}")
        self.state = after
        match verb:
            case "CLAIM":
                self.claims += 1
                self.holder = actor
            case "COMPLETE":
                if actor != self.holder:
                    self.faults.append(f"completed by {actor}, held by {self.holder}")
                self.completions.append((actor, request, self.claims))
            case "EXPIRE_LEASE" | "FAIL":
                self.failures += 1
            case _:
                pass


def _legal(verb: str, before: int, after: int) -> bool:
    """Whether the state machine knows a step."""
    if verb == "KEEP_LATE_RESULT":  # Of a claimer that was too slow: the task stays as it is.
        return before == after
    if verb == "CREATE":
        return (before, after) == (0, PENDING)
    names: dict[int, str] = {state: name for name, state in STATES.items()}
    cells = {LEADS.get((row_of(verb) + mark, names.get(before, ""))) for mark in ("", "!", "~")}
    return names[after] in cells


def disagreements(store_url: str, told: Told) -> list[str]:
    """Where tasks, their events and what claimers were told do not agree; empty if nowhere."""
    histories: dict[str, History] = defaultdict(History)
    for task_id, *event in rows(store_url, EVENTS):
        histories[task_id].follow(*event)
    return [
        *_wrong_tasks(store_url, histories),
        *_wrong_holds(histories, told),
        *(f"given twice: {hold}" for hold in told.twice),
    ]


def _wrong_tasks(store_url: str, histories: dict[str, History]) -> list[str]:
    wrong: list[str] = []
    for task_id, state, attempt, failed, token in rows(store_url, TASKS):
        history = histories[task_id]
        wrong += [f"{task_id}: {fault}" for fault in history.faults]
        if len(history.completions) != 1 or state != COMPLETED or token:
            wrong.append(f"{task_id}: {state}, completed {history.completions}, held by {token!r}")
        if (attempt, failed) != (history.claims, history.failures):
            wrong.append(f"{task_id}: {attempt} attempts, {failed} failed, by {history}")
    return wrong


def _wrong_holds(histories: dict[str, History], told: Told) -> list[str]:
    """A completion is the holder's of the last attempt; what was acknowledged is in the store."""
    stored = {
        (actor, task_id, token or ""): attempt
        for task_id, history in histories.items()
        for actor, token, attempt in history.completions
    }
    tokens: Counter[Any] = Counter(token for _, _, token in told.given)
    attempts: Counter[Any] = Counter(
        (task_id, attempt) for (_, task_id, _), attempt in told.given.items()
    )
    return [
        *(f"two winners: {each}" for each, n in (tokens + attempts).items() if n > 1),
        *(f"acknowledged, not stored: {hold}" for hold in told.completed - stored.keys()),
        *(f"completed and refused: {hold}" for hold in told.completed & told.refused),
        *(
            f"completed in attempt {attempt}, not given so: {hold}"
            for hold, attempt in stored.items()
            if told.given.get(hold) != attempt
        ),
    ]
