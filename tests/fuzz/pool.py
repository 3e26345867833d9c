"""What the fuzzer has learnt from answers: ids, tokens, sequences, the tasks it may change."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

KEPT = 100
"""Values of a kind, of a team: the newest."""

TASKS_KEPT = 100
PAGES_KEPT = 20

# What a field holds, by its name: a value of a kind fits wherever that kind is asked for.
KINDS = {
    **dict.fromkeys(("task_id", "parent_task_id", "linked_task_id", "depends_on"), "task"),
    **dict.fromkeys(
        (
            *("agent_id", "assignee_id", "assignee_ids", "creator_id", "creator_ids"),
            *("recipient_id", "recipient_ids", "sender_id", "sender_ids", "agent_ids"),
        ),
        "agent",
    ),
    **dict.fromkeys(("message_id", "in_reply_to"), "message"),
    **dict.fromkeys(("group_id", "group_ids"), "group"),
    **dict.fromkeys(
        (
            *("sequence", "sequences", "through_sequence", "after_sequence", "last_sequence"),
            *("acknowledge_sequences", "acknowledge_through_sequence"),
        ),
        "sequence",
    ),
    **dict.fromkeys(("page_token", "next_page_token"), "page token"),
    **dict.fromkeys(("credential_id", "rotated_credential_id"), "credential"),
    "name": "file",
    "thread_id": "thread",
    "team_id": "team",
    "request_id": "request",
    "etag": "etag",
    "lease_token": "lease token",
}


@dataclass
class KnownTask:
    """A task as an answer showed it last, and the token of its lease where one was granted."""

    task_id: str
    etag: str = ""
    assignee_id: str = ""
    lease_token: str = ""


@dataclass(frozen=True)
class Page:
    """A request for the next page of a listing, and where to send it."""

    path: str
    request: Message


class Pool:
    """Values of each team, by kind. What is `protected` is nobody's to draw or to keep."""

    def __init__(self, protected: tuple[str, ...]) -> None:
        self.protected = protected
        self._values: dict[tuple[str, str], deque[Any]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._tasks: dict[str, dict[str, KnownTask]] = defaultdict(dict)
        self.pages: deque[Page] = deque(maxlen=PAGES_KEPT)

    def add(self, team_id: str, kind: str, value: Any) -> None:
        """Keep a value."""
        if value and value not in self.protected:
            self._values[team_id, kind].append(value)

    def draw(self, rng: random.Random, team_id: str, kind: str) -> Any:
        """A value of a kind, mostly of this team, or None."""
        teams = [team_id] * 9 + [team for team, of in self._values if of == kind]
        values = self._values.get((rng.choice(teams), kind))
        return rng.choice(values) if values else None

    def draw_task(self, rng: random.Random, team_id: str) -> KnownTask | None:
        """A task of a team, or None: lately changed ones rather."""
        tasks = list(self._tasks[team_id].values())
        if not tasks:
            return None
        return rng.choice(tasks[-10:] if rng.random() < 0.5 else tasks)

    def learn(self, team_id: str, answer: Message) -> None:
        """Take all that an answer to a caller of this team holds."""
        for message in _messages(answer):
            self._learn(team_id, message)

    def learn_page(self, path: str, request: Message) -> None:
        """Take a request for a page that goes on."""
        self.pages.append(Page(path, request))

    def _learn(self, team_id: str, message: Any) -> None:
        fields = {field.name: value for field, value in message.ListFields()}
        if any(fields.get(name) in self.protected for name in ("credential_id", "team_id")):
            return
        for name, value in fields.items():
            if kind := KINDS.get(name):
                values = [value] if isinstance(value, (str, int)) else value
                for each in values:
                    self.add(team_id, kind, each)
        if "task" in fields and "lease_token" in fields:
            self._task(team_id, message.task.task_id).lease_token = message.lease_token
        elif message.DESCRIPTOR.name == "Task":
            task = self._task(team_id, message.task_id)
            task.etag, task.assignee_id = message.etag, message.assignee_id

    def _task(self, team_id: str, task_id: str) -> KnownTask:
        tasks = self._tasks[team_id]
        task = tasks.pop(task_id, None) or KnownTask(task_id)
        tasks[task_id] = task
        if len(tasks) > TASKS_KEPT:
            del tasks[next(iter(tasks))]
        return task


def _messages(message: Message) -> Iterator[Message]:
    """A message and all within it; structured data is nobody's to learn from."""
    if message.DESCRIPTOR.full_name.startswith("google."):
        return
    yield message
    for field, value in message.ListFields():
        inner = field.message_type
        if inner is None or inner.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            yield from _messages(each)
