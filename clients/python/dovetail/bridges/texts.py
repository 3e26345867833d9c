"""Messages and tasks as a model reads them: short, and what others wrote in fences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dovetail.bridges.fences import TEXT_CHARACTERS_MAX, Fences, one_line, word
from dovetail.bridges.senders import Senders
from dovetail.client.attachments import Attachment
from dovetail.client.message_records import Message
from dovetail.client.received import InboxMessage
from dovetail.client.task_records import Task, TaskQuestion

MESSAGE_CHARACTERS = 2_000
"""How much of each message of a list is shown."""

WHOLE_CHARACTERS = 16_000
"""How much of a text is shown that was asked for by itself."""

IDS_SHOWN = 20
URL_CHARACTERS = 400

TOLD_BY_TASK = ("assign", "become_ready", "reopen")
"""Notices whose text is that of the task, which its assignee reads when it claims it."""


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How a reader reads what was cut: calls of its own, with `{id}`, and `{offset}` to go on at.

    `message` shows one of a list whole, `rest` more of one that was shown by itself.
    """

    message: str
    rest: str
    task: str


class FencedTexts:
    """What one output shows. Make it when what is to be shown was read, and use it once."""

    def __init__(self, senders: Senders, ways: Ways) -> None:
        """Draw the mark of this output."""
        self._fences = Fences()
        self._senders = senders
        self._ways = ways

    async def messages(self, found: Iterable[InboxMessage]) -> str:
        """Messages of an inbox, each in a fence that says its number, its id and its sender."""
        shown: list[str] = []
        for each in found:
            origin = await self._senders.origin(each.sender_id, each.create_time)
            text = _notice_text(each) if each.notice else _message_text(each)
            fenced = self._fences.text(
                text,
                replace(origin, place=_place(each, f"#{each.sequence} ")),
                way=self._ways.message.format(id=word(each.message_id)),
                characters=MESSAGE_CHARACTERS,
            )
            shown.append(fenced)
        return self._with_note("\n".join(shown))

    async def message(self, message: Message, offset: int = 0) -> str:
        """One message, from a character on."""
        origin = await self._senders.origin(message.sender_id, message.create_time)
        end = offset + WHOLE_CHARACTERS
        fenced = self._fences.text(
            _message_text(message)[offset:],
            replace(origin, place=_place(message, "")),
            way=self._ways.rest.format(id=word(message.message_id), offset=end),
            characters=WHOLE_CHARACTERS,
        )
        return self._with_note(fenced)

    async def attachment(self, message: Message, attachment: Attachment) -> str:
        """An attachment of a message that is text; of any other what it is."""
        origin = await self._senders.origin(message.sender_id, message.create_time)
        data = b"" if attachment.data is None else attachment.data
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = ""
        fenced = self._fences.text(
            text or f"no text: {', '.join(_facts(attachment))}",
            replace(origin, place=f"{word(message.message_id)} {word(attachment.name)}"),
            way=f"dovetail message save {word(message.message_id)}",
            characters=WHOLE_CHARACTERS,
        )
        return self._with_note(fenced)

    async def task(self, task: Task, offset: int = 0) -> str:
        """A task: its facts, and each of its texts from a character on, with whose it is."""
        parts = [task_facts(task)]
        way = self._ways.task.format(id=word(task.task_id), offset=offset + TEXT_CHARACTERS_MAX)
        for place, author_id, text in _texts(task):
            if len(text) > offset:
                time = task.create_time if place == "task" else task.update_time
                origin = replace(await self._senders.origin(author_id, time), place=place)
                parts.append(self._fences.text(text[offset:], origin, way=way))
        return self._with_note("\n".join(parts))

    def rows(self, rows: list[str], head: str) -> str:
        """Rows that have words of others, in one fence."""
        return self._with_note(self._fences.lines(rows, head)) if rows else f"no {head}"

    def _with_note(self, text: str) -> str:
        return f"{self._fences.note}\n{text}" if self._fences.used else text


def _place(message: Message, number: str) -> str:
    """Where a message is, and to what it belongs."""
    facts = [f"{number}{word(message.message_id)}"]
    if message.notice:
        facts = [f"{number}{message.notice.verb}"]
    elif mail := message.mail_notice:
        facts = [f"{number}{mail.event} {word(mail.message_id)}"]
    facts += [f"group={word(each)}" for each in message.group_ids]
    if message.task_id:
        facts.append(f"task={word(message.task_id)}")
    if message.in_reply_to:
        facts.append(f"re={word(message.in_reply_to)}")
    if message.importance != "normal":
        facts.append(str(message.importance))
    return " ".join(facts)


def _message_text(message: Message) -> str:
    # Before the body: of a long message the end is cut.
    files = _attached(message.attachments)
    return _joined(message.subject, files, message.body, _json(message.data))


def _attached(attachments: Iterable[Attachment]) -> str:
    """A line for each attachment: its name, its type, its size if that is known, and its URL."""
    return "\n".join(f"attached: {', '.join(_facts(each))}" for each in attachments)


def _facts(attachment: Attachment) -> Iterable[str]:
    yield one_line(attachment.name)
    yield attachment.media_type
    if attachment.size or not attachment.url:
        yield f"{attachment.size:,} byte{'s' * (attachment.size != 1)}"
    if attachment.url:
        yield one_line(attachment.url, URL_CHARACTERS)


def _notice_text(message: Message) -> str:
    assert message.notice is not None
    return message.subject if message.notice.verb in TOLD_BY_TASK else _message_text(message)


def _json(data: Mapping[str, Any] | None) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")) if data else ""


def task_facts(task: Task) -> str:
    """What a task is, without a word that others wrote."""
    facts = [f"{word(task.task_id)} {task.state}"]
    facts.append(f"{shown_id(task.creator_id)} > {shown_id(task.assignee_id)}")
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
    """Each text of a task: what it is, who wrote it, and the text.

    The author is "" where the task does not say it: of a failure, since another may hold it by now;
    of an answer, which an operator may give too.
    """
    files = _attached(task.input_attachments)
    text = _joined(task.title, files, task.description, _json(task.input))
    yield "task", task.creator_id, text
    if task.progress and task.progress.note:
        yield "progress", task.assignee_id, task.progress.note
    if task.last_failure:
        yield "last-failure", "", task.last_failure.message
    if asked := task.question:
        author_id = task.assignee_id if task.state == "input_required" else ""
        text = _joined(asked.text, _offered(asked), _json(asked.data))
        yield f"question to={shown_id(asked.agent_id)}", author_id, text
    if given := task.answer:
        place = "answer default" if given.is_default else "answer"
        yield place, "", _joined(given.option, given.text, _json(given.data))
    if task.result:
        files = _attached(task.result.attachments)
        text = _joined(files, task.result.summary, _json(task.result.data))
        yield "result", task.assignee_id, text
    if task.failure:
        yield "failure", "", task.failure.message
    if task.cancel_reason:
        yield "cancelled", "", task.cancel_reason


def _offered(question: TaskQuestion) -> str:
    """The options of a question, a line each, and its default."""
    lines = [
        f"- {each.name}" + (f": {one_line(each.description)}" if each.description else "")
        for each in question.options
    ]
    if question.deadline_time:
        by = f"{question.deadline_time:%Y-%m-%dT%H:%M:%SZ}"
        lines.append(f"if there is no answer by {by}: {question.default_answer}")
    return "\n".join(lines)


def _joined(*texts: str) -> str:
    return "\n".join(filter(None, texts))


def shown_id(agent_id: str) -> str:
    """An agent's id, or what stands for none."""
    return word(agent_id) if agent_id else "-"


def _ids(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(word, ids[:IDS_SHOWN])) + more
