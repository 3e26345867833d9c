"""Notices: who is told of a change of a task, and in what words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from dovetail.server import preconditions
from dovetail.server.store import wire
from dovetail.server.store.tables import attachments, input_options
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.message_bytes import (
    AskedQuestion,
    Content,
    GivenAnswer,
    Importance,
    MessageKind,
    NewMessage,
    Notice,
)
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import MICROS

SHOWN_CHARACTERS = 4_096
SUBJECT_CHARACTERS = 512


_TOLD_AT_LENGTH = frozenset(
    {TaskVerb.ASSIGN, TaskVerb.UPDATE, TaskVerb.REOPEN, TaskVerb.BECOME_READY}
)


class Audience(Enum):
    """A part that an agent can have in a change."""

    ASSIGNEE = "assignee"
    FORMER_ASSIGNEE = "former assignee"
    CREATOR = "creator"
    ASKED = "the agent that is asked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The verb of a notice, what its subject says, and who gets it."""

    verb: TaskVerb
    says: str
    audience: tuple[Audience, ...]


_BOTH = (Audience.ASSIGNEE, Audience.CREATOR)
_ASSIGNED = Rule(verb=TaskVerb.ASSIGN, says="assigned to", audience=(Audience.ASSIGNEE,))
_UNASSIGNED = Rule(
    verb=TaskVerb.UNASSIGN, says="no longer assigned to", audience=(Audience.FORMER_ASSIGNEE,)
)


def _told(verb: TaskVerb, says: str, *audience: Audience) -> tuple[Rule, ...]:
    return (Rule(verb=verb, says=says, audience=audience),)


# The notices of each verb. The agent that acts gets none; nobody gets two of one change.
RULES: dict[TaskVerb, tuple[Rule, ...]] = {
    TaskVerb.CREATE: (_ASSIGNED,),
    TaskVerb.ASSIGN: (_ASSIGNED, _UNASSIGNED),
    TaskVerb.UNASSIGN: (_UNASSIGNED,),
    TaskVerb.UPDATE: _told(TaskVerb.UPDATE, "updated", Audience.ASSIGNEE),
    TaskVerb.DELETE: _told(TaskVerb.DELETE, "deleted", Audience.ASSIGNEE),
    TaskVerb.COMPLETE: _told(TaskVerb.COMPLETE, "completed", *_BOTH),
    TaskVerb.FAIL: _told(TaskVerb.FAIL, "failed", *_BOTH),
    TaskVerb.CANCEL: _told(TaskVerb.CANCEL, "cancelled", *_BOTH),
    TaskVerb.REOPEN: _told(TaskVerb.REOPEN, "reopened", *_BOTH),
    TaskVerb.EXPIRE_LEASE: _told(
        TaskVerb.EXPIRE_LEASE,
        "lost its lease",
        Audience.ASSIGNEE,
        Audience.FORMER_ASSIGNEE,
        Audience.CREATOR,
    ),
    TaskVerb.REQUEST_INPUT: _told(TaskVerb.REQUEST_INPUT, "needs an answer", Audience.ASKED),
    TaskVerb.PROVIDE_INPUT: _told(TaskVerb.PROVIDE_INPUT, "has its answer", Audience.ASSIGNEE),
    TaskVerb.BECOME_READY: _told(TaskVerb.BECOME_READY, "is ready", Audience.ASSIGNEE),
    TaskVerb.FAIL_DEPENDENCY: _told(
        TaskVerb.FAIL_DEPENDENCY, "depends on a task that failed", Audience.CREATOR
    ),
    TaskVerb.BECOME_OVERDUE: _told(TaskVerb.BECOME_OVERDUE, "is overdue", *_BOTH),
    TaskVerb.KEEP_LATE_RESULT: _told(
        TaskVerb.KEEP_LATE_RESULT, "got a late result", Audience.CREATOR
    ),
    TaskVerb.SPEND_BUDGET: _told(TaskVerb.SPEND_BUDGET, "has spent its budget", Audience.CREATOR),
}

ASKING_VERBS = frozenset(
    {
        TaskVerb.ASSIGN,
        TaskVerb.UPDATE,
        TaskVerb.REOPEN,
        TaskVerb.BECOME_READY,
        TaskVerb.BECOME_OVERDUE,
        TaskVerb.REQUEST_INPUT,
        TaskVerb.PROVIDE_INPUT,
    }
)
"""Notices that ask their recipients to do something for the task. A cancelled task withdraws those
that are unread; the others report what happened, and stay."""

# The notice of a failure after which another attempt follows.
RETRIED = Rule(
    verb=TaskVerb.RETRY, says="failed, and will be tried again", audience=(Audience.CREATOR,)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeContext:
    """A change of a task. `former_assignee_id` is set when the change took the assignee off.

    `attempt` is the number of the attempt that it is about.
    """

    verb: TaskVerb
    task: Task
    former_assignee_id: str
    actor_id: str
    reason: str
    attempt: int


def rules_of(change: NoticeContext) -> tuple[Rule, ...]:
    """The notices that a change has, whoever gets them."""
    if change.verb is TaskVerb.FAIL and not change.task.has_ended:
        return (RETRIED,)
    return RULES.get(change.verb, ())


def compose(change: NoticeContext, event_number: int) -> list[NewMessage]:
    """The messages that a change writes."""
    composed = [(_recipients(rule, change), rule) for rule in rules_of(change)]
    return [
        _message(rule, change, event_number, recipient_ids)
        for recipient_ids, rule in composed
        if recipient_ids
    ]


def _recipients(rule: Rule, change: NoticeContext) -> tuple[str, ...]:
    """Who gets a notice: each once, never the agent that acted."""
    parts = {
        Audience.ASSIGNEE: change.task.assignee_id,
        Audience.FORMER_ASSIGNEE: change.former_assignee_id,
        Audience.CREATOR: change.task.creator_id,
        Audience.ASKED: change.task.asked_id,
    }
    ids = dict.fromkeys(parts[audience] for audience in rule.audience)
    return tuple(agent_id for agent_id in ids if agent_id and agent_id != change.actor_id)


def _message(
    rule: Rule, change: NoticeContext, event_number: int, recipient_ids: tuple[str, ...]
) -> NewMessage:
    task = change.task
    notice = Notice(
        verb=rule.verb,
        task_id=task.task_id,
        event_number=event_number,
        actor_id=change.actor_id,
        assignee_id=task.assignee_id,
        former_assignee_id=change.former_assignee_id,
        question=_asked(task) if rule.verb is TaskVerb.REQUEST_INPUT else None,
        answer=_given(task) if rule.verb is TaskVerb.PROVIDE_INPUT else None,
    )
    data_json = _data_json(rule, change)
    return NewMessage(
        sender_id=change.actor_id,
        recipient_ids=recipient_ids,
        kind=MessageKind.NOTICE,
        content=Content(
            subject=_subject(rule, change),
            body=_body(rule, change),
            data=None if data_json is None else wire.json_object(json.loads(data_json)),
            importance=Importance.NORMAL,
            notice=notice,
        ),
        thread_id=task.thread_id,
        task_id=task.task_id,
    )


def _subject(rule: Rule, change: NoticeContext) -> str:
    task, whom = change.task, ""
    if rule.verb is TaskVerb.ASSIGN:
        whom = f" {task.assignee_id}"
    elif rule.verb is TaskVerb.UNASSIGN:
        whom = f" {change.former_assignee_id}"
    return cut(f"Task {task.task_id} {rule.says}{whom}: {task.title}", SUBJECT_CHARACTERS)


def _body(rule: Rule, change: NoticeContext) -> str:
    """What a reader needs to act, without another call. Questions and answers are told whole."""
    task = change.task
    if change.verb is TaskVerb.REQUEST_INPUT:
        return _paragraphs(task.question_text, _choice(task), default_told(task))
    if change.verb is TaskVerb.PROVIDE_INPUT:
        late = "This is the default: nobody has answered in time."
        given = (task.answer_option, task.answer_text, late if task.answer_is_default else "")
        return _paragraphs(*given)
    lines: list[str] = []
    if rule.verb is TaskVerb.ASSIGN and change.former_assignee_id:
        lines.append(f"It was assigned to {change.former_assignee_id} before.")
    elif rule.verb is TaskVerb.UNASSIGN and task.assignee_id:
        lines.append(f"It is now assigned to {task.assignee_id}.")
    if rule.verb in _TOLD_AT_LENGTH:
        lines += [task.description, *_facts(task)]
    lines += _ending(rule, change)
    if change.reason:
        is_said = change.verb is TaskVerb.KEEP_LATE_RESULT
        lines.append(change.reason if is_said else f"Reason: {change.reason}")
    return cut(_paragraphs(*lines), SHOWN_CHARACTERS)


def _asked(task: Task) -> AskedQuestion:
    return AskedQuestion(
        task_etag=preconditions.etag(task.version),
        options=input_options.decode(task.question_options_json),
        deadline_time=task.question_deadline_time,
        default_answer=task.default_answer,
    )


def _given(task: Task) -> GivenAnswer:
    return GivenAnswer(option=task.answer_option, is_default=task.answer_is_default)


def _choice(task: Task) -> str:
    """The options of a question, a line each, for readers who have nothing but the message."""
    options = input_options.decode(task.question_options_json)
    lines = [
        f"- {each.name}" + (f": {' '.join(each.description.split())}" if each.description else "")
        for each in options
    ]
    how = "Answer with the name of one of these options, or with a text of your own:"
    return "\n".join([how, *lines]) if lines else ""


def default_told(task: Task) -> str:
    """What happens to the open question at its deadline; empty: it has none."""
    if task.question_deadline_time is None:
        return ""
    by = utc(task.question_deadline_time)
    return f"If there is no answer by {by}, the answer is: {task.default_answer}"


def utc(time: int) -> str:
    """A time in microseconds for people and models, to the second."""
    return f"{datetime.fromtimestamp(time // MICROS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))


def _ending(rule: Rule, change: NoticeContext) -> list[str]:
    """How the task or an attempt ended."""
    task = change.task
    if rule.verb in (TaskVerb.COMPLETE, TaskVerb.FAIL):
        return [task.outcome_text, _attached(task.outcome_attachments_json)]
    if rule.verb is TaskVerb.RETRY:
        return [task.last_failure_text]
    if rule.verb is TaskVerb.EXPIRE_LEASE:
        what_now = "It has failed." if task.has_ended else "It waits to be tried again."
        failure = task.outcome_text if task.has_ended else task.last_failure_text
        return [f"{what_now} Attempt {change.attempt}: {failure}."]
    if rule.verb is TaskVerb.KEEP_LATE_RESULT:
        return [
            f"Attempt {change.attempt} of {change.actor_id or 'no agent'} had ended before. What it"
            f" brought is kept with the attempt, and leaves the task {task.state.name}."
        ]
    return []


def _data_json(rule: Rule, change: NoticeContext) -> str | None:
    """The part for programs: of a question, an answer, or a failure that is tried again."""
    task = change.task
    parts = {
        TaskVerb.REQUEST_INPUT: task.question_json,
        TaskVerb.PROVIDE_INPUT: task.answer_json,
        TaskVerb.RETRY: task.last_failure_json,
    }
    return parts.get(rule.verb)


def _facts(task: Task) -> list[str]:
    return [
        f"Priority: {task.priority}" if task.priority else "",
        f"Input: {task.input_json}" if task.input_json else "",
        _attached(task.input_attachments_json),
        "Labels: " + json.dumps(dict(task.labels), ensure_ascii=False) if task.labels else "",
    ]


def _attached(text: str) -> str:
    """The names of attachments, of which a column says this."""
    names = [each.name for each in attachments.decode(text)]
    return f"Attached: {', '.join(names)}" if names else ""


def cut(text: str, characters: int) -> str:
    """A text of so many characters at most."""
    return text if len(text) <= characters else text[: characters - 1] + "…"
