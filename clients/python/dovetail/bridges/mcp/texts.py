"""Messages, tasks and agents as a model reads them: short, and what others wrote in fences."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dovetail.bridges.fences import TEXT_CHARACTERS_MAX, Fences, Origin, one_line, origin_of, word
from dovetail.bridges.mcp.unread import passed
from dovetail.client import Agent, DovetailError
from dovetail.client.message_records import AgentRecord, Message
from dovetail.client.received import ReceivedMessage
from dovetail.client.task_records import Report, Task

MESSAGE_CHARACTERS = 2_000
"""How much of each message of a list is shown."""

WHOLE_CHARACTERS = 16_000
"""How much of a text is shown that was asked for by itself."""

SENDERS_KEPT = 500
LABELS_AGE = timedelta(minutes=1)
IDS_SHOWN = 20
ASSIGNEES_SHOWN = 20

TOLD_BY_CLAIM = ("assign", "become_ready", "reopen")
"""Notices whose text claim_task shows again: of them the subject is enough."""

Labels = Mapping[str, str] | None


class Senders:
    """What the directory says of senders, kept for a minute."""

    def __init__(self, agent: Agent) -> None:
        """Know nobody yet."""
        self._agent = agent
        self._known: OrderedDict[str, tuple[datetime, Labels]] = OrderedDict()

    async def origin(self, sender_id: str, time: datetime | None = None) -> Origin:
        """The origin of a text of this agent."""
        return origin_of(sender_id, time, await self._labels(sender_id) if sender_id else None)

    async def _labels(self, agent_id: str) -> Labels:
        now = datetime.now(UTC)
        read_time, labels = self._known.get(agent_id, (None, None))
        if read_time is None or now - read_time > LABELS_AGE:
            labels = await self._read(agent_id)
            self._known[agent_id] = (now, labels)
            self._known.move_to_end(agent_id)
            if len(self._known) > SENDERS_KEPT:
                self._known.popitem(last=False)
        return labels

    async def _read(self, agent_id: str) -> Labels:
        """Labels are a courtesy: a text is shown without them when they cannot be read."""
        try:
            return (await self._agent.agent(agent_id)).labels
        except DovetailError:
            return None


async def messages_text(fences: Fences, senders: Senders, found: Iterable[ReceivedMessage]) -> str:
    """Messages of the inbox, each in a fence that says its number, its id and its sender."""
    shown: list[str] = []
    for each in found:
        origin = await senders.origin(each.sender_id, each.create_time)
        origin = replace(origin, place=_place(each, f"#{each.sequence} "))
        way = f"receive_messages(message_id={word(each.message_id)})"
        text = _notice_text(each) if each.notice else _message_text(each)
        shown.append(fences.text(text, origin, way=way, characters=MESSAGE_CHARACTERS))
    return "\n".join(shown)


async def message_text(fences: Fences, senders: Senders, message: Message, offset: int) -> str:
    """One message from a character on."""
    origin = await senders.origin(message.sender_id, message.create_time)
    way = f"receive_messages(message_id={word(message.message_id)}, offset="
    text = _message_text(message)[offset:]
    return fences.text(
        text,
        replace(origin, place=_place(message, "")),
        way=f"{way}{offset + WHOLE_CHARACTERS})",
        characters=WHOLE_CHARACTERS,
    )


def _place(message: Message, number: str) -> str:
    """Where a message is, and to what it belongs."""
    facts = [f"{number}{word(message.message_id)}"]
    if message.notice:
        facts = [f"{number}{message.notice.verb}"]
    if message.task_id:
        facts.append(f"task={word(message.task_id)}")
    if message.in_reply_to:
        facts.append(f"re={word(message.in_reply_to)}")
    if message.importance != "normal":
        facts.append(str(message.importance))
    return " ".join(facts)


def _message_text(message: Message) -> str:
    return "\n".join(filter(None, (message.subject, message.body, _json(message.data))))


def _notice_text(message: Message) -> str:
    assert message.notice is not None
    return message.subject if message.notice.verb in TOLD_BY_CLAIM else _message_text(message)


def _json(data: Mapping[str, Any] | None) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) if data else ""


class TaskText:
    """A task in full: its facts, and each text of it with whose it is."""

    def __init__(self, fences: Fences, senders: Senders, offset: int = 0) -> None:
        """Show texts from a character on."""
        self._fences = fences
        self._senders = senders
        self._offset = offset

    async def of(self, task: Task) -> str:
        """The text."""
        parts = [task_facts(task)]
        for place, author_id, text in _texts(task):
            if len(text) > self._offset:
                parts.append(await self._fenced(task, place, author_id, text[self._offset :]))
        return "\n".join(parts)

    async def _fenced(self, task: Task, place: str, author_id: str, text: str) -> str:
        time = task.create_time if place == "task" else task.update_time
        origin = replace(await self._senders.origin(author_id, time), place=place)
        end = self._offset + TEXT_CHARACTERS_MAX
        way = f"get_task(task_id={word(task.task_id)}, offset={end})"
        return self._fences.text(text, origin, way=way)


def task_facts(task: Task) -> str:
    """What a task is, without a word that others wrote."""
    facts = [f"{word(task.task_id)} {task.state}"]
    facts.append(f"{_id(task.creator_id)} > {_id(task.assignee_id)}")
    if task.attempt > 1:
        facts.append(f"attempt {task.attempt} of {task.max_attempts}")
    if task.priority:
        facts.append(f"priority {task.priority}")
    if task.progress:
        facts.append(f"{task.progress.percent} %")
    if task.waiting_for_count:
        facts.append(f"waits for {_ids(task.depends_on)}")
    if task.parent_task_id:
        facts.append(f"part of {word(task.parent_task_id)}")
    if task.due_time:
        facts.append(f"due {task.due_time:%Y-%m-%dT%H:%MZ}")
    return ", ".join(facts)


def _texts(task: Task) -> Iterable[tuple[str, str, str]]:
    """Each text of a task: what it is, who wrote it, and the text."""
    texts = (task.title, task.description, _json(task.input))
    yield "task", task.creator_id, "\n".join(filter(None, texts))
    if task.progress and task.progress.note:
        yield "progress", task.assignee_id, task.progress.note
    if task.last_failure:
        yield "last-failure", task.assignee_id, task.last_failure.message
    asked_id = ""
    if task.question:
        asked_id = task.question.agent_id
        text = "\n".join(filter(None, (task.question.text, _json(task.question.data))))
        yield f"question to={_id(asked_id)}", task.assignee_id, text
    if task.answer:
        yield (
            "answer",
            asked_id,
            "\n".join(filter(None, (task.answer.text, _json(task.answer.data)))),
        )
    if task.result:
        texts = (task.result.summary, _json(task.result.data))
        yield "result", task.assignee_id, "\n".join(filter(None, texts))
    if task.failure:
        yield "failure", task.assignee_id, task.failure.message
    if task.cancel_reason:
        yield "cancelled", "", task.cancel_reason


def task_row(task: Task) -> str:
    """A task as a line of a list, which stands in a fence."""
    return f"{task_facts(task)}: {one_line(task.title)}"


def agent_row(agent: AgentRecord) -> str:
    """An agent as a line of a list, which stands in a fence."""
    origin = origin_of(agent.agent_id, None, agent.labels)
    facts = [word(agent.agent_id), f"unread {agent.unacknowledged_count}"]
    facts.append(f"seen {passed(agent.last_seen_time)} ago")
    if origin.role:
        facts.append(f"role {one_line(origin.role, 40)}")
    if origin.is_person:
        facts.append("person")
    name = one_line(agent.display_name, 60)
    return ", ".join(facts) + (f": {name}" if name else "")


def report_text(fences: Fences, report: Report) -> str:
    """Totals, times, and who has what to do."""
    states = [f"{each.count} {each.state}" for each in report.states if each.count]
    lines = [", ".join((f"{report.total_tasks:,} tasks", *states))]
    times = {"queue": report.queue_time, "work": report.task_time}
    known = {name: time.median for name, time in times.items() if time and time.median is not None}
    if known:
        lines.append(
            "median " + ", ".join(f"{n} {t.total_seconds():.0f} s" for n, t in known.items())
        )
    rows = [
        f"{_id(each.assignee_id)}: {each.open_tasks} open, {each.in_progress_tasks} in progress,"
        f" {each.completed_tasks} done, {each.failed_tasks} failed,"
        f" unread {each.unacknowledged_messages}"
        for each in report.assignees[:ASSIGNEES_SHOWN]
    ]
    if left := report.total_assignees - len(rows):
        rows.append(f"and {left} more")
    return "\n".join((*lines, fences.lines(rows, "agents"))) if rows else "\n".join(lines)


def _id(agent_id: str) -> str:
    return word(agent_id) if agent_id else "-"


def _ids(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(word, ids[:IDS_SHOWN])) + more
