"""Renders the servers' responses for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.cli.output.cells import one_line
from dovetail.cli.output.json_values import words
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.text import ago, byte_count, escape_controls, length, local
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2 as types

STATE_STYLES = {
    work.TASK_STATE_PENDING: "",
    work.TASK_STATE_IN_PROGRESS: "blue",
    work.TASK_STATE_INPUT_REQUIRED: "magenta",
    work.TASK_STATE_COMPLETED: "green",
    work.TASK_STATE_FAILED: "red",
    work.TASK_STATE_CANCELLED: "dim",
}
STATE_BARS = {
    work.TASK_STATE_PENDING: "░",
    work.TASK_STATE_IN_PROGRESS: "▒",
    work.TASK_STATE_INPUT_REQUIRED: "?",
    work.TASK_STATE_COMPLETED: "█",
    work.TASK_STATE_FAILED: "x",
    work.TASK_STATE_CANCELLED: "-",
}
"""What bars are made of: states differ without colours too."""


RECEIPTS_SHOWN_MAX = 20


def presence(item: talk.Agent) -> str:
    """What an agent has open, or when it was removed."""
    if item.HasField("remove_time"):
        return f"removed {time_of(item, 'remove_time')}"
    streams, calls = item.open_streams, item.waiting_calls
    return ", ".join(
        filter(
            None,
            (
                f"{streams:,} stream{'s' * (streams > 1)}" if streams else "",
                ("waits" if calls == 1 else f"waits {calls:,} times") if calls else "",
            ),
        )
    )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def group(item: talk.Group) -> Text:
    """One group with its members."""
    rows = [
        Text.assemble(
            (escape_controls(item.group_id), "bold"),
            f"  {_count(item.agent_count, 'member')}",
            f"  {escape_controls(item.display_name)}" if item.display_name else "",
        )
    ]
    if item.agent_ids:
        rows.append(Text(f"    {escape_controls(', '.join(item.agent_ids))}"))
    facts = [f"by {item.creator_id}" if item.creator_id else "", labels_of(item.labels)]
    if told := ", ".join(filter(None, facts)):
        rows.append(Text(f"    {escape_controls(told)}", style="dim"))
    return lines(*rows)


def removed(item: talk.RemoveAgentResponse) -> Text:
    """The result of removing an agent."""
    facts = [
        f"unread messages that stay in its inbox: {item.agent.unacknowledged_count:,}"
        if item.agent.unacknowledged_count
        else "",
        f"told: {_count(item.told_sender_count, 'sender')}" if item.told_sender_count else "",
        f"not told: {item.untold_sender_count:,} more" if item.untold_sender_count else "",
        f"it left {_count(item.left_group_count, 'group')}" if item.left_group_count else "",
    ]
    told = "; ".join(filter(None, facts))
    return Text(f"removed {escape_controls(item.agent.agent_id)}" + (f": {told}" if told else ""))


def sent(item: talk.SendMessageResponse) -> Text:
    """The result of sending a message."""
    first, more = item.receipts[:RECEIPTS_SHOWN_MAX], len(item.receipts) - RECEIPTS_SHOWN_MAX
    places = ", ".join(f"{escape_controls(to.recipient_id)} #{to.sequence}" for to in first)
    places += f" and {more:,} more" if more > 0 else ""
    return Text(f"sent {item.message_id} to {places} (thread {escape_controls(item.thread_id)})")


def acknowledged(item: talk.AcknowledgeMessagesResponse) -> Text:
    """The result of an acknowledgement."""
    return Text(f"acknowledged {item.acknowledged_count}, {item.unacknowledged_count} are left")


def rejected(item: talk.RejectMessageResponse) -> Text:
    """The result of rejecting messages."""
    return Text(f"rejected {item.rejected_count}, {item.unacknowledged_count} are left")


def withdrawn(item: talk.WithdrawMessageResponse) -> Text:
    """The result of taking back a message."""
    late = f", too late for {item.late_count:,}" if item.late_count else ""
    return Text(f"withdrawn from {item.withdrawn_count:,}{late}")


def seen(item: talk.MarkMessagesSeenResponse) -> Text:
    """The result of marking messages as seen."""
    return Text(f"seen {item.seen_count}")


def task(item: work.Task) -> Text:
    """One task, without its empty fields, its input and its backoff."""
    head = Text.assemble(
        (escape_controls(item.task_id), "bold"),
        "  ",
        state(item.state),
        "  ",
        escape_controls(item.title),
    )
    facts = {
        "description": item.description,
        "assignee": item.assignee_id,
        "creator": item.creator_id,
        "priority": str(item.priority or ""),
        "labels": labels_of(item.labels),
        "part of": item.parent_task_id,
        "depends on": _dependencies(item),
        "attached": "\n".join(map(attached, item.input_attachments)),
        "not before": time_of(item, "schedule_time"),
        "due": time_of(item, "due_time"),
        "attempts": _attempts(item),
        "lease": _lease(item),
        "progress": _progress(item),
        "question": _question(item),
        "options": options_of(item.question),
        "default": default_of(item),
        "answer": answer_text(item.answer),
        "created": time_of(item, "create_time"),
        "started": time_of(item, "start_time"),
        "ended": time_of(item, "end_time"),
        "result": item.result.summary,
        "its files": "\n".join(map(attached, item.result.attachments)),
        "failure": item.failure.message,
        "last failure": item.last_failure.message,
        "cancelled": item.cancel_reason,
        "thread": item.thread_id if item.thread_id != item.task_id else "",
        "etag": item.etag,
    }
    rows = [_fact(name, fact) for name, fact in facts.items() if fact]
    return lines(head, *rows)


def claimed(item: work.ClaimedTask) -> Text:
    """A task that the caller now holds, and the next commands."""
    task_id = shlex.quote(escape_controls(item.task.task_id))
    return lines(
        task(item.task),
        Text("While you work, the lease token proves that you hold it:"),
        Text(f"  export DOVETAIL_LEASE_TOKEN={item.lease_token}"),
        Text(f"  dovetail task heartbeat {task_id}     each time before the lease expires"),
        Text(f"  dovetail task complete {task_id}      or: fail, ask, release"),
    )


def held(item: work.HeartbeatTaskResponse) -> Text:
    """The response to a heartbeat."""
    until = time_of(item, "lease_expire_time")
    lease = f", the lease lasts until {until}" if until else ""
    unread = f", {item.unacknowledged_count} unacknowledged messages"
    return Text.assemble(state(item.state), lease, unread if item.unacknowledged_count else "")


def is_ready(item: work.Task) -> bool:
    """Whether it can be started, by this machine's clock."""
    waits = item.HasField("schedule_time") and item.schedule_time.ToDatetime(UTC) > datetime.now(
        UTC
    )
    return item.state == work.TASK_STATE_PENDING and not item.waiting_for_count and not waits


def state(value: work.TaskState.ValueType) -> Text:
    """A state, in its colour."""
    return Text(said(work.TaskState, value), style=STATE_STYLES.get(value, ""))


def said(enum: Any, value: int) -> str:
    """The word of an enum's value, as people write it: in progress."""
    return words(enum.DESCRIPTOR).get(value, str(value)).replace("_", " ")


def attached(item: types.Attachment) -> str:
    """An attachment in a line: its name, its type, its size if that is known, and its URL."""
    size = byte_count(item.size) if item.size or not item.url else ""
    facts = (one_line(item.name), item.media_type, size, item.url)
    return escape_controls("  ".join(filter(None, facts)))


def _dependencies(item: work.Task) -> str:
    left = f" ({item.waiting_for_count} not completed)" if item.waiting_for_count else ""
    return ", ".join(item.depends_on) + left


def used(item: work.Usage | work.UsageTotal) -> str:
    """Tokens and costs; of cached tokens JSON tells."""
    costs = [item.cost] if isinstance(item, work.Usage) else item.costs
    tokens = item.input_tokens + item.output_tokens
    return ", ".join(filter(None, (f"{tokens:,} tokens" if tokens else "", money(costs))))


def money(costs: Iterable[work.Cost]) -> str:
    """Costs, each with its currency; empty if there are none."""
    return ", ".join(f"{each.amount} {each.currency}" for each in costs if each.amount)


def _attempts(item: work.Task) -> str:
    """Attempts and failures of a task; empty during a first attempt."""
    if not item.failed_attempts and item.attempt < 2:
        return ""
    return f"{item.attempt}, of which {item.failed_attempts} failed; {item.max_attempts} may"


def _lease(item: work.Task) -> str:
    if not item.HasField("lease"):
        return ""
    until = time_of(item.lease, "expire_time")
    return f"{length(item.lease.duration)}, " + (f"until {until}" if until else "stopped")


def _progress(item: work.Task) -> str:
    if not item.HasField("progress"):
        return ""
    return " ".join(filter(None, (f"{item.progress.percent} %", item.progress.note)))


def _question(item: work.Task) -> str:
    return f"to {item.question.agent_id}: {item.question.text}" if item.HasField("question") else ""


def options_of(item: work.TaskQuestion) -> str:
    """The names of the options of a question."""
    return ", ".join(option.name for option in item.options)


def default_of(item: work.Task) -> str:
    """What the answer to an open question will be, and when; empty: it waits without end."""
    is_open = item.state == work.TASK_STATE_INPUT_REQUIRED
    if not (is_open and item.question.HasField("deadline_time")):
        return ""
    return f"{ago(item.question.deadline_time)}: {item.question.default_answer}"


def answer_text(item: work.TaskAnswer) -> str:
    """What was answered: the option's name, then the text."""
    return "\n".join(filter(None, (item.option, item.text)))


def credential(item: admin.Credential) -> str:
    """One credential as a line."""
    parts = (role_of(item), item.agent_id, item.team_id and f"of team {item.team_id}")
    return escape_controls(
        f"{item.credential_id}: {' '.join(filter(None, parts))}, ends: {end_of(item)}"
    )


def role_of(item: admin.Credential) -> str:
    return said(admin.Role, item.role)


def end_of(item: admin.Credential) -> str:
    """When a credential expires, or when it was revoked."""
    if item.HasField("revoke_time"):
        return f"revoked {time_of(item, 'revoke_time')}"
    return time_of(item, "expire_time") or "when revoked"


def _fact(name: str, fact: str) -> Text:
    """A labelled value; its further lines are indented below the first."""
    value = escape_controls(fact).replace("\n", "\n" + " " * 17)
    return Text.assemble((f"    {name:<13}", "dim"), value)


def labels_of(labels: Mapping[str, str]) -> str:
    return escape_controls(" ".join(f"{key}={labels[key]}" for key in sorted(labels)))


def time_of(item: Message, field: str) -> str:
    return local(getattr(item, field)) if item.HasField(field) else ""
