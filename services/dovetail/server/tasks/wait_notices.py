"""Notices about waits: what they say of circles of agents, and of agents that are away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.server.store.tables.message_bytes import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    MailEvent,
    MailNotice,
    MessageKind,
    NewMessage,
    message_id,
)
from dovetail.server.store.tables.tasks import Task
from dovetail.server.tasks.notices import cut, default_told

SUBJECT_CHARACTERS = 512
NAMED_MAX = 3
"""Agents that a subject names; the body has more."""


class Wait(NamedTuple):
    """An agent waits for another with a task: by a question, or because the task depends on it."""

    agent_id: str
    other_id: str
    task_id: str
    is_question: bool = False

    def __str__(self) -> str:
        why = "asks" if self.is_question else "depends on open tasks of"
        return (
            f"{self.agent_id} waits for {self.other_id}: task {self.task_id} {why} {self.other_id}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A task with an open question, and the message of that, if it is kept."""

    task: Task
    message_number: int | None

    @property
    def message_id(self) -> str:
        """The id of the message; empty: it is not kept."""
        return "" if self.message_number is None else message_id(self.message_number)


def mutual_wait(
    question: Question, waits: Sequence[Wait], other_ids: Sequence[str], told_ids: Sequence[str]
) -> NewMessage:
    """What all agents in circles are told that a question closed: `waits` is the shortest."""
    agent_ids = [wait.agent_id for wait in waits]
    shown = waits[:SHOWN_RECIPIENTS_MAX]
    lines = [*map(str, shown)]
    if len(waits) > len(shown):
        lines.append(f"… and so on, {len(waits):,} agents in all")
    if other_ids:
        lines.append(f"In circles with them: {_names(other_ids, SHOWN_RECIPIENTS_MAX)}")
    reason = "\n".join(lines)
    advice = (
        "None of these agents has other work to go on with. One of them has to answer first,"
        " without what it waits for, or give its task back (release, fail or cancel it)."
    )
    return _notice(
        question,
        told_ids,
        subject=f"Task {question.task.task_id}: its question closes a circle of waits of"
        f" {_names(agent_ids, NAMED_MAX)}",
        body=f"{reason}\n\n{advice}",
        notice=MailNotice(
            event=MailEvent.MUTUAL_WAIT,
            message_id=question.message_id,
            recipient_ids=tuple(agent_ids[:SHOWN_RECIPIENTS_MAX]),
            recipient_count=len(waits),
            reason=reason,
            task_ids=tuple(wait.task_id for wait in shown),
        ),
    )


def asked_away(question: Question, reason: str) -> NewMessage:
    """What the agent that asked is told when no answer is to be expected, and why."""
    task = question.task
    advice = (
        "The question stays open, and it can still be answered. To go on without the answer, give"
        " the task back (release it), start it again and ask another agent, or fail it; an operator"
        " may answer for the agent that was asked."
    )
    if expected := default_told(task):
        advice = f"{expected}\n\n{advice}"
    return _notice(
        question,
        (task.assignee_id,),
        subject=f"Task {task.task_id}: {task.asked_id}, who was asked, is away",
        body=f"{reason}\n\n{advice}",
        notice=MailNotice(
            event=MailEvent.ASKED_AWAY,
            message_id=question.message_id,
            recipient_ids=(task.asked_id,),
            recipient_count=1,
            reason=reason,
        ),
    )


def _notice(
    question: Question, told_ids: Sequence[str], *, subject: str, body: str, notice: MailNotice
) -> NewMessage:
    return NewMessage(
        sender_id="",
        recipient_ids=tuple(told_ids),
        kind=MessageKind.NOTICE,
        content=Content(
            subject=cut(subject, SUBJECT_CHARACTERS),
            body=body,
            mail_notice=notice,
        ),
        thread_id=question.task.thread_id,
        task_id=question.task.task_id,
    )


def _names(agent_ids: Sequence[str], most: int) -> str:
    """The first of these ids, and how many more there are."""
    more = len(agent_ids) - most
    return ", ".join(agent_ids[:most]) + (f" and {more:,} more" if more > 0 else "")
