"""Notices: who is told of a change of a task, and in what words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from dovetail.server.store.records import (
    Content,
    Importance,
    MessageKind,
    NewMessage,
    Notice,
    NoticeEvent,
    Task,
)
from dovetail.server.tasks.states import Verb

SHOWN_CHARACTERS = 4_096
SUBJECT_CHARACTERS = 512


_TOLD_AT_LENGTH = frozenset({Verb.CREATE, Verb.ASSIGN, Verb.UPDATE, Verb.REOPEN, Verb.BECOME_READY})


class Audience(Enum):
    """A part that an agent can have in a change."""

    ASSIGNEE = "assignee"
    FORMER_ASSIGNEE = "former assignee"
    CREATOR = "creator"
    ASKED = "the agent that is asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a verb's notice is called, what its subject says, and to whom it goes."""

    event: NoticeEvent
    says: str
    audience: tuple[Audience, ...]


_BOTH = (Audience.ASSIGNEE, Audience.CREATOR)

# Who is told of what. The one who acts is never told; nobody is told twice of one change.
RULES: dict[Verb, Rule] = {
    Verb.CREATE: Rule(
        event=NoticeEvent.TASK_ASSIGNED, says="assigned to", audience=(Audience.ASSIGNEE,)
    ),
    Verb.ASSIGN: Rule(
        event=NoticeEvent.TASK_ASSIGNED,
        says="assigned to",
        audience=(Audience.ASSIGNEE, Audience.FORMER_ASSIGNEE),
    ),
    Verb.UNASSIGN: Rule(
        event=NoticeEvent.TASK_UNASSIGNED,
        says="no longer assigned to",
        audience=(Audience.FORMER_ASSIGNEE,),
    ),
    Verb.UPDATE: Rule(
        event=NoticeEvent.TASK_UPDATED, says="updated", audience=(Audience.ASSIGNEE,)
    ),
    Verb.DELETE: Rule(
        event=NoticeEvent.TASK_DELETED, says="deleted", audience=(Audience.ASSIGNEE,)
    ),
    Verb.COMPLETE: Rule(event=NoticeEvent.TASK_COMPLETED, says="completed", audience=_BOTH),
    Verb.FAIL: Rule(event=NoticeEvent.TASK_FAILED, says="failed", audience=_BOTH),
    Verb.CANCEL: Rule(event=NoticeEvent.TASK_CANCELLED, says="cancelled", audience=_BOTH),
    Verb.REOPEN: Rule(event=NoticeEvent.TASK_REOPENED, says="reopened", audience=_BOTH),
    Verb.LOSE_LEASE: Rule(
        event=NoticeEvent.TASK_LEASE_LOST,
        says="lost its lease",
        audience=(Audience.ASSIGNEE, Audience.FORMER_ASSIGNEE, Audience.CREATOR),
    ),
    Verb.REQUEST_INPUT: Rule(
        event=NoticeEvent.TASK_QUESTION, says="needs an answer", audience=(Audience.ASKED,)
    ),
    Verb.PROVIDE_INPUT: Rule(
        event=NoticeEvent.TASK_ANSWER, says="has its answer", audience=(Audience.ASSIGNEE,)
    ),
    Verb.BECOME_READY: Rule(
        event=NoticeEvent.TASK_READY, says="is ready", audience=(Audience.ASSIGNEE,)
    ),
    Verb.LOSE_DEPENDENCY: Rule(
        event=NoticeEvent.TASK_DEPENDENCY_FAILED,
        says="waits for what ended badly",
        audience=(Audience.CREATOR,),
    ),
    Verb.BECOME_OVERDUE: Rule(event=NoticeEvent.TASK_OVERDUE, says="is overdue", audience=_BOTH),
}

# What is told of a failure after which another attempt follows.
RETRIED = Rule(
    event=NoticeEvent.TASK_RETRIED,
    says="failed, and will be tried again",
    audience=(Audience.CREATOR,),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A change of a task. `former_assignee_id` is set when the change took the assignee off."""

    verb: Verb
    task: Task
    former_assignee_id: str
    actor_id: str
    reason: str


def rule_of(change: Change) -> Rule | None:
    """Who is told of a change, and how; None: nobody."""
    if change.verb is Verb.FAIL and not change.task.has_ended:
        return RETRIED
    return RULES.get(change.verb)


def recipients(change: Change) -> tuple[str, ...]:
    """Whom the change concerns: each once, never the one who acted."""
    rule = rule_of(change)
    if rule is None:
        return ()
    parts = {
        Audience.ASSIGNEE: change.task.assignee_id,
        Audience.FORMER_ASSIGNEE: change.former_assignee_id,
        Audience.CREATOR: change.task.creator_id,
        Audience.ASKED: change.task.asked_id,
    }
    ids = dict.fromkeys(parts[audience] for audience in rule.audience)
    return tuple(agent_id for agent_id in ids if agent_id and agent_id != change.actor_id)


def compose(change: Change, event_number: int, recipient_ids: tuple[str, ...]) -> NewMessage:
    """The message that tells of a change."""
    rule, task = rule_of(change), change.task
    assert rule is not None
    notice = Notice(
        event=rule.event,
        task_id=task.task_id,
        event_number=event_number,
        actor_id=change.actor_id,
        assignee_id=task.assignee_id,
        former_assignee_id=change.former_assignee_id,
    )
    subject, body, data = _subject(rule, change), _body(change), _data(change)
    return NewMessage(
        sender_id=change.actor_id,
        recipient_ids=recipient_ids,
        kind=MessageKind.NOTICE,
        content=Content(
            subject=subject,
            body=body,
            data_json=data,
            importance=Importance.NORMAL,
            notice=notice,
        ),
        size=sum(len(text.encode()) for text in (subject, body, data or "")),
        thread_id=task.thread_id,
        task_id=task.task_id,
    )


def _subject(rule: Rule, change: Change) -> str:
    task, whom = change.task, ""
    if rule.event is NoticeEvent.TASK_ASSIGNED:
        whom = f" {task.assignee_id}"
    elif rule.event is NoticeEvent.TASK_UNASSIGNED:
        whom = f" {change.former_assignee_id}"
    return _cut(f"Task {task.task_id} {rule.says}{whom}: {task.title}", SUBJECT_CHARACTERS)


def _body(change: Change) -> str:
    """What a reader needs to act, without another call. Questions and answers are told whole."""
    task = change.task
    if change.verb is Verb.REQUEST_INPUT:
        return task.question_text
    if change.verb is Verb.PROVIDE_INPUT:
        return task.answer_text
    lines: list[str] = []
    if change.former_assignee_id and task.assignee_id:
        lines.append(f"It was assigned to {change.former_assignee_id} before.")
    if change.verb in _TOLD_AT_LENGTH:
        lines += [task.description, *_facts(task)]
    elif change.verb in (Verb.COMPLETE, Verb.FAIL):
        lines.append(task.outcome_text)
    elif change.verb is Verb.LOSE_LEASE:
        lines.append("It has failed." if task.has_ended else "It waits to be tried again.")
    if change.reason:
        lines.append(f"Reason: {change.reason}")
    return _cut("\n\n".join(line for line in lines if line), SHOWN_CHARACTERS)


def _data(change: Change) -> str | None:
    """The part of a question or an answer that is for programs."""
    if change.verb is Verb.REQUEST_INPUT:
        return change.task.question_json
    return change.task.answer_json if change.verb is Verb.PROVIDE_INPUT else None


def _facts(task: Task) -> list[str]:
    return [
        f"Priority: {task.priority}" if task.priority else "",
        f"Input: {task.input_json}" if task.input_json else "",
        "Labels: " + json.dumps(dict(task.labels), ensure_ascii=False) if task.labels else "",
    ]


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
