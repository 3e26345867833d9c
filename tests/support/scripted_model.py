"""An agent that works by a script, with the command line alone: it reads its inbox and acts on it.

It is one of a team in which each creates tasks for another. A task's label says what happens on the
way to its completion: nothing, a question, a failure that its creator reopens, another assignee.
Every step asks for the state first, and has a request id: a repeat after a crash does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cli.shell import Finished, Shell

KINDS = ("plain", "ask", "fail", "move")
NO_ANSWER, NOTHING_CAME = 6, 7
OWN = ("assign", "reopen", "provide_input")
"""The notices that make a task this agent's to work on."""


@dataclass(kw_only=True)
class Model:
    """One agent of a team. After each command the host's hook runs: `used`, which returns whether
    it showed new messages. Then the agent looks at its inbox before it goes on with other messages.
    """

    agent_id: str
    team: Sequence[str]
    shell: Shell
    used: Callable[[], bool] = lambda: False
    completed: list[str] = field(default_factory=list[str])
    latest_seconds: float = 0.0
    """The longest time for which a message was unread when it was read first."""
    _read: set[str] = field(default_factory=set[str])
    _is_told: bool = False

    def create(self, task_id: str, kind: str, assignee: str) -> None:
        """Give another agent a task."""
        words = ("--id", task_id, "--assignee", assignee, "--label", f"kind={kind}")
        self._do("task", "create", f"work {task_id}", *words, "--request-id", f"create-{task_id}")

    def work(self) -> None:
        """Read the inbox, and act on each message, until it is empty."""
        while deliveries := self._unread():
            for delivery in deliveries:
                self._act(delivery["message"], str(delivery["receipt"]["sequence"]))
                if self._is_told:
                    break

    def _unread(self) -> list[dict[str, Any]]:
        """What is in the inbox now."""
        self._is_told = False
        found = json.loads(self._do("inbox", "--json").out)
        now = datetime.now(UTC)
        for message in (each["message"] for each in found):
            if message["message_id"] not in self._read:
                self._read.add(message["message_id"])
                waited = now - datetime.fromisoformat(message["create_time"])
                self.latest_seconds = max(self.latest_seconds, waited.total_seconds())
        return found

    def _act(self, message: dict[str, Any], sequence: str) -> None:
        verb, task_id = message.get("notice", {}).get("verb", ""), message.get("task_id", "")
        if verb in OWN:
            self._work_on(task_id, verb, sequence)
        elif verb == "request_input":
            words = ("task", "answer", task_id, "this one", "--request-id", f"answer-{task_id}")
            self._do(*words)
        elif verb == "fail":
            self._do("task", "reopen", task_id, "--request-id", f"reopen-{task_id}")
        elif not verb:
            self._do("task", "assign", task_id, self._other(message["sender_id"]))
        self._do("acknowledge", sequence)

    def _work_on(self, task_id: str, verb: str, sequence: str) -> None:
        """One step of a task, if it is still this agent's."""
        task = json.loads(self._do("task", "show", task_id, "--json").out)
        if task.get("assignee_id") != self.agent_id:
            return
        kind = task["labels"]["kind"]
        if kind == "move" and self.agent_id == self._assignee_at_first(task):
            words = ("please give it to another", "--task", task_id)
            self._do("send", task["creator_id"], *words, "--request-id", f"move-{task_id}")
            return
        if task["state"] == "pending":
            self._do("task", "start", task_id, "--request-id", f"start-{task_id}-{sequence}")
        if kind == "ask" and verb == "assign":
            self._do("task", "ask", task_id, "which one?", "--request-id", f"ask-{task_id}")
        elif kind == "fail" and verb == "assign":
            self._do("task", "fail", task_id, "broken", "--request-id", f"fail-{task_id}")
        else:
            words = ("done", "--acknowledge", sequence, "--request-id", f"complete-{task_id}")
            if self._do("task", "complete", task_id, *words).exit_code == 0:
                self.completed.append(task_id)

    def _assignee_at_first(self, task: dict[str, Any]) -> str:
        return self._after(task["creator_id"])

    def _other(self, agent_id: str) -> str:
        """An agent that is neither this one nor that one."""
        return next(each for each in self._all_after(agent_id) if each != self.agent_id)

    def _after(self, agent_id: str) -> str:
        return next(self._all_after(agent_id))

    def _all_after(self, agent_id: str) -> Iterator[str]:
        at = self.team.index(agent_id)
        yield from (*self.team[at + 1 :], *self.team[:at])

    def _do(self, *words: str) -> Finished:
        """Run a command until its outcome is known; a refusal is one."""
        while True:
            done = self.shell.run(*words)
            if done.exit_code != NO_ANSWER:
                break
        assert done.exit_code in (0, 4), (self.agent_id, words, done)
        self._is_told |= self.used()
        return done
