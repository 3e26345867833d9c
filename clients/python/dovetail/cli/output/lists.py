"""How items are listed: a row each. What a narrow terminal leaves out stands last."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.cli.output.cells import one_line
from dovetail.cli.output.chosen import preview
from dovetail.cli.output.json_values import WELL_KNOWN, dumps
from dovetail.cli.output.messages import delivery_state
from dovetail.cli.output.render import (
    default_of,
    end_of,
    labels_of,
    options_of,
    presence,
    role_of,
    said,
    state,
    time_of,
    used,
)
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Cell, Column, Listing
from dovetail.cli.output.text import age, length, local
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2 as types

AGENT = 12
"""To so many cells the ids of agents may be cut."""

LABELS = Column(name="labels", terminal_min=100, cells_min=12, weight=2)
CREATED = Column(name="created", terminal_min=120)


def _agent(agent_id: str) -> Text:
    return Text(one_line(agent_id) or "-", style="cyan")


def _task(item: work.Task) -> tuple[Cell, ...]:
    return (
        Text(one_line(item.task_id), style="bold"),
        state(item.state),
        _agent(item.assignee_id),
        one_line(item.title),
        age(item.create_time),
        str(item.priority or ""),
        labels_of(item.labels),
        time_of(item, "create_time"),
    )


TASKS: Listing[work.Task] = Listing(
    columns=(
        Column(name="task", cells_min=20),
        Column(name="state"),
        Column(name="assignee", cells_min=AGENT, weight=2),
        Column(name="title", cells_min=10),
        Column(name="age", is_number=True, only_on_terminals=True),
        Column(name="priority", is_number=True, terminal_min=80),
        LABELS,
        CREATED,
    ),
    row=_task,
    empty="no tasks",
)


def _event(item: work.TaskEvent) -> tuple[Cell, ...]:
    return (
        age(item.create_time),
        Text(one_line(item.task_id), style="bold"),
        _verb(item),
        _agent(item.actor_id),
        state(item.to_state),
        _what(item),
        str(item.attempt or ""),
        time_of(item, "create_time"),
    )


def _verb(item: work.TaskEvent) -> str:
    return said(types.TaskVerb, item.verb)


def event_line(item: work.TaskEvent) -> Text:
    """An event by itself: its number, and what a row of the history says."""
    said = _what(item)
    return Text.assemble(
        (f"#{item.event_number}", "bold"),
        f"  {local(item.create_time)}  ",
        (one_line(item.task_id), "bold"),
        f"  {_verb(item)} by ",
        _agent(item.actor_id),
        ": ",
        state(item.to_state),
        f"; {said}" if said else "",
    )


_ANSWERS = {types.TASK_VERB_REQUEST_INPUT: "question", types.TASK_VERB_PROVIDE_INPUT: "answer"}


def _said(item: talk.Message, characters: int) -> tuple[Cell, ...]:
    """A message about a task, as a row of its history; questions and answers without a subject."""
    usual = "notice" if item.HasField("mail_notice") else "message"
    kind = _ANSWERS.get(item.notice.verb, usual)
    text = f"{item.subject}: " if kind == usual and item.subject else ""
    more = item.recipient_count - len(item.recipient_ids)
    to = ", ".join(item.recipient_ids) + (f" and {more:,} more" if more else "")
    body = preview(item.body, characters, f"dovetail message show {item.message_id}")
    return (
        age(item.create_time),
        Text(one_line(item.task_id), style="bold"),
        kind,
        _agent(item.sender_id),
        "",
        one_line(f"to {to}: {text}{body}"),
        "",
        time_of(item, "create_time"),
    )


def _what(item: work.TaskEvent) -> str:
    """Why, to whom, and which fields changed to what."""
    parts = [one_line(item.reason)] if item.reason else []
    if item.former_assignee_id or item.verb in (types.TASK_VERB_ASSIGN, types.TASK_VERB_UNASSIGN):
        former, now = (one_line(a) or "-" for a in (item.former_assignee_id, item.assignee_id))
        parts.append(f"assignee {former} {signs('→')} {now}")
    for each in item.changes:
        old = _value(each.old_value) if each.HasField("old_value") else "-"
        new = _value(each.new_value) if each.HasField("new_value") else "-"
        parts.append(f"{each.field} {old} {signs('→')} {new}")
    return "; ".join(parts)


def _value(value: Message) -> str:
    return one_line(dumps(WELL_KNOWN["google.protobuf.Value"](value)))


_EVENT_COLUMNS = (
    Column(name="age", is_number=True, only_on_terminals=True),
    Column(name="task", cells_min=20),
    Column(name="change"),
    Column(name="by", cells_min=AGENT, weight=2),
    Column(name="state"),
    Column(name="what", cells_min=14, weight=2),
    Column(name="attempt", is_number=True, terminal_min=80),
    Column(name="time", terminal_min=120),
)


def history(characters: int) -> Listing[work.TaskEvent | talk.Message]:
    """Events, and messages among them whose text is cut after some characters; 0: never."""

    def row(item: work.TaskEvent | talk.Message) -> tuple[Cell, ...]:
        return _said(item, characters) if isinstance(item, talk.Message) else _event(item)

    return Listing(columns=_EVENT_COLUMNS, row=row, empty="no events")


def _attempt(item: work.TaskAttempt) -> tuple[Cell, ...]:
    end = said(work.AttemptEnd, item.end) if item.end else "at work"
    return (
        str(item.attempt),
        _agent(item.holder_id),
        Text(end, style=ATTEMPT_STYLES.get(item.end, "blue")),
        attempt_words(item),
        used(item.usage) if item.HasField("usage") else "",
        attempt_length(item),
        time_of(item, "start_time"),
    )


def attempt_words(item: work.TaskAttempt) -> str:
    """Its failure or reason, otherwise its progress; and what came late."""
    progress = f"{item.progress.percent} % {item.progress.note}".strip()
    said = item.failure.message or item.reason or (progress if item.HasField("progress") else "")
    if not item.HasField("late_result"):
        return one_line(said)
    late = item.late_result
    brought = late.result.summary if late.HasField("result") else late.failure.message
    word = "result" if late.HasField("result") else "failure"
    return one_line("; ".join(filter(None, (said, f"late {word}: {brought}"))))


def attempt_length(item: work.TaskAttempt) -> str:
    """How long it lasted."""
    if not item.HasField("end_time"):
        return ""
    micros = item.end_time.ToMicroseconds() - item.start_time.ToMicroseconds()
    lasted = Duration()
    lasted.FromMicroseconds(micros)
    return length(lasted)


ATTEMPT_STYLES = {
    work.ATTEMPT_END_COMPLETED: "green",
    work.ATTEMPT_END_FAILED: "red",
    work.ATTEMPT_END_LEASE_LOST: "red",
    work.ATTEMPT_END_RELEASED: "yellow",
    work.ATTEMPT_END_TAKEN_AWAY: "yellow",
    work.ATTEMPT_END_CANCELLED: "dim",
}
ATTEMPTS: Listing[work.TaskAttempt] = Listing(
    columns=(
        Column(name="attempt", is_number=True),
        Column(name="holder", cells_min=AGENT, weight=2),
        Column(name="end"),
        Column(name="what", cells_min=14, weight=2),
        Column(name="used", terminal_min=80),
        Column(name="lasted", is_number=True, terminal_min=80),
        Column(name="started", terminal_min=100),
    ),
    row=_attempt,
    empty="it was never started",
)


def _question(item: work.Task) -> tuple[Cell, ...]:
    return (
        Text(one_line(item.task_id), style="bold"),
        _agent(item.assignee_id),
        age(item.question.ask_time),
        one_line(item.question.text),
        one_line(options_of(item.question)),
        one_line(default_of(item)),
        _agent(item.question.agent_id),
        one_line(item.title),
        local(item.question.ask_time),
    )


QUESTIONS: Listing[work.Task] = Listing(
    columns=(
        Column(name="task", cells_min=20),
        Column(name="from", cells_min=AGENT, weight=2),
        Column(name="age", is_number=True, only_on_terminals=True),
        Column(name="question", cells_min=20),
        Column(name="options", cells_min=AGENT, terminal_min=80),
        Column(name="default", cells_min=AGENT, terminal_min=100),
        Column(name="to", cells_min=AGENT, terminal_min=80),
        Column(name="title", cells_min=AGENT, weight=2, terminal_min=120),
        Column(name="asked", terminal_min=140),
    ),
    row=_question,
    empty="no questions wait for an answer",
)


def _member(item: talk.Agent) -> tuple[Cell, ...]:
    return (
        _agent(item.agent_id),
        str(item.unacknowledged_count),
        age(item.last_seen_time) if item.HasField("last_seen_time") else "",
        one_line(item.display_name),
        str(item.last_sequence),
        labels_of(item.labels),
        time_of(item, "last_seen_time"),
        said(talk.AgentKind, item.kind) if item.kind else "",
        presence(item),
    )


AGENTS: Listing[talk.Agent] = Listing(
    columns=(
        Column(name="agent", cells_min=20),
        Column(name="unread", is_number=True),
        Column(name="seen", is_number=True, only_on_terminals=True),
        Column(name="name", cells_min=AGENT),
        Column(name="last", is_number=True, terminal_min=80),
        LABELS,
        Column(name="last seen", terminal_min=120),
        Column(name="kind", terminal_min=100),
        Column(name="present", terminal_min=80),
    ),
    row=_member,
    empty="no agents",
)


def _group(item: talk.Group) -> tuple[Cell, ...]:
    return (
        _agent(item.group_id),
        str(item.agent_count),
        one_line(item.display_name),
        _agent(item.creator_id),
        labels_of(item.labels),
        time_of(item, "update_time"),
    )


GROUPS: Listing[talk.Group] = Listing(
    columns=(
        Column(name="group", cells_min=20),
        Column(name="members", is_number=True),
        Column(name="name", cells_min=AGENT),
        Column(name="by", cells_min=AGENT, terminal_min=80),
        LABELS,
        Column(name="changed", terminal_min=120),
    ),
    row=_group,
    empty="no groups",
)


def _receipt(item: types.Receipt) -> tuple[Cell, ...]:
    return _agent(item.recipient_id), str(item.sequence), delivery_state(item)


RECEIPTS: Listing[types.Receipt] = Listing(
    columns=(
        Column(name="recipient", cells_min=20),
        Column(name="sequence", is_number=True),
        Column(name="state", cells_min=14),
    ),
    row=_receipt,
    empty="no receipts",
)


def _team(item: admin.Team) -> tuple[Cell, ...]:
    return _agent(item.team_id), time_of(item, "create_time")


TEAMS: Listing[admin.Team] = Listing(
    columns=(Column(name="team", cells_min=20), Column(name="created")),
    row=_team,
    empty="no teams",
)


def _credential(item: admin.Credential) -> tuple[Cell, ...]:
    return (
        Text(one_line(item.credential_id), style="bold"),
        role_of(item),
        _agent(item.agent_id),
        one_line(item.team_id) or "-",
        end_of(item),
        one_line(item.description),
        time_of(item, "create_time"),
    )


CREDENTIALS: Listing[admin.Credential] = Listing(
    columns=(
        Column(name="credential"),
        Column(name="role"),
        Column(name="agent", cells_min=AGENT, weight=2),
        Column(name="team", cells_min=AGENT, weight=2),
        Column(name="ends", cells_min=12),
        Column(name="note", cells_min=AGENT, terminal_min=80),
        CREATED,
    ),
    row=_credential,
    empty="no credentials",
)
