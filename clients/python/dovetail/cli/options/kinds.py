"""What each command prints, so that --fields is checked before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli import late
from dovetail.cli.output.chosen import Tree, tree_of

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A message of the contract (`tasks.Task`), or the names of an object's fields."""

    message: str = ""
    names: tuple[str, ...] = ()
    is_change: bool = False
    """Whether in brief only the new state is told: the caller knows the rest."""


CHANGED_TASK = Kind(message="tasks.Task", is_change=True)
_SAID = (
    *("sender_id", "recipient_ids", "recipient_count", "subject", "body", "data", "importance"),
    *("thread_id", "in_reply_to", "labels", "kind", "notice", "expire_time", "mail_notice"),
    *("group_ids", "hop_count", "attachments"),
)
"""What a message has that an event has not."""

KINDS = {
    "send": Kind(message="messaging.SendMessageResponse"),
    "inbox": Kind(message="messaging.Delivery"),
    "acknowledge": Kind(message="messaging.AcknowledgeMessagesResponse"),
    "message seen": Kind(message="messaging.MarkMessagesSeenResponse"),
    "message reject": Kind(message="messaging.RejectMessageResponse"),
    "message withdraw": Kind(message="messaging.WithdrawMessageResponse"),
    "message save": Kind(names=("name", "media_type", "size", "file", "url")),
    "message show": Kind(message="messaging.MessageRecord"),
    "message show --receipts": Kind(message="types.Receipt"),
    "message list": Kind(message="messaging.MessageRecord"),
    "thread": Kind(message="messaging.MessageRecord"),
    "search": Kind(message="messaging.MessageHit"),
    "agent register": Kind(message="messaging.Agent"),
    "agent show": Kind(message="messaging.Agent"),
    "agent list": Kind(message="messaging.Agent"),
    "agent update": Kind(message="messaging.Agent"),
    "agent remove": Kind(message="messaging.RemoveAgentResponse"),
    "group put": Kind(message="messaging.Group"),
    "group show": Kind(message="messaging.Group"),
    "group list": Kind(message="messaging.Group"),
    "group delete": Kind(names=("group_id",)),
    "task show": Kind(message="tasks.Task"),
    "task list": Kind(message="tasks.Task"),
    "task search": Kind(message="tasks.TaskHit"),
    "task history": Kind(message="tasks.TaskEvent", names=_SAID),
    "task save": Kind(names=("name", "media_type", "size", "file", "url")),
    "task watch": Kind(message="tasks.TaskEvent"),
    "task attempts": Kind(message="tasks.TaskAttempt"),
    "task claim": Kind(message="tasks.ClaimedTask"),
    "task start --lease": Kind(message="tasks.ClaimedTask"),
    "task heartbeat": Kind(message="tasks.HeartbeatTaskResponse"),
    "task delete": Kind(names=("task_id",)),
    "task graph": Kind(
        names=(
            *("task_id", "title", "layer", "state", "is_ready", "assignee_id", "percent"),
            *("depends_on", "parent_task_id"),
        )
    ),
    **{
        f"task {verb}": CHANGED_TASK
        for verb in (
            *("create", "update", "assign", "unassign", "start", "release", "ask", "answer"),
            *("complete", "fail", "cancel", "reopen"),
        )
    },
    "attend": Kind(names=("event", "thread_id", "sequences", "attempt", "seconds", "text")),
    "worker": Kind(names=("event", "task_id", "title", "attempt", "seconds", "text")),
    "report": Kind(message="tasks.Report"),
    "team create": Kind(message="admin.Team"),
    "team list": Kind(message="admin.Team"),
    "team show": Kind(message="admin.Team"),
    "team retention": Kind(message="admin.Team"),
    "team limits": Kind(message="admin.Team"),
    "team loops": Kind(message="admin.Team"),
    "token create": Kind(message="admin.Credential", names=("token",)),
    "token list": Kind(message="admin.Credential"),
    "token rotate": Kind(message="admin.Credential", names=("token",)),
    "token revoke": Kind(message="admin.Credential"),
    **{
        command: Kind(names=("file", "bytes", "teams", "agents", "messages", "tasks"))
        for command in ("backup", "restore")
    },
    "export": Kind(
        names=(
            *("file", "bytes", "sha256", "teams", "agents", "messages", "tasks", "rows"),
            "seconds",
        )
    ),
    "import": Kind(
        names=("file", "resumed", "teams", "agents", "messages", "tasks", "rows", "seconds")
    ),
    "store copy": Kind(
        names=(
            *("source", "target", "agents", "messages", "tasks", "rows", "passes", "written"),
            "seconds",
        )
    ),
    "compact": Kind(names=("bytes_before", "bytes")),
    "status": Kind(
        names=(
            *("version", "team_id", "servers", "agents", "unacknowledged"),
            *("total_tasks", "states", "oldest_ready_task", "leases", "questions"),
        )
    ),
    "top": Kind(
        names=(
            *("time", "agents", "total_tasks", "states", "under_way", "oldest_ready_task"),
            "completed_in_hour",
        )
    ),
    "watch": Kind(
        names=(
            *("new", "high", "unread", "through_sequence", "sender_count", "senders"),
            *("read", "again"),
        )
    ),
    "whoami": Kind(
        names=(
            *("agent_id", "team_id", "messaging", "tasks", "credential", "tls", "role", "known"),
            *("unacknowledged", "elsewhere"),
        )
    ),
    "questions": Kind(message="tasks.Task"),
    "doctor": Kind(names=("check", "level", "text", "advice")),
    "config": Kind(names=("section", "key", "variable", "option", "value", "source")),
    "config use": Kind(names=("profile", "current")),
}
"""By the words of a command, and of the options that change what it prints."""

VARIANTS = {"message show": ("receipts", "--receipts"), "task start": ("lease_duration", "--lease")}


def kind_of(context: click.Context) -> Kind:
    """What the command of a context prints; of one that is not in the table nothing is known."""
    words: list[str] = []
    each: click.Context | None = context
    while each and each.parent:
        words.insert(0, str(each.info_name))
        each = each.parent
    name = " ".join(words)
    parameter, option = VARIANTS.get(name, ("", ""))
    return KINDS.get(f"{name} {option}" if context.params.get(parameter) else name, Kind())


def read_fields(kind: Kind, chosen: str) -> Tree:
    """The fields that a text names, as a tree. Raises UsageError for one that does not exist."""
    paths = [path.strip() for path in chosen.split(",") if path.strip()]
    if not paths:
        raise click.UsageError(f"--fields names no field. There are: {_listed(_names(kind))}")
    if not (kind.message or kind.names):
        return tree_of(path.split(".") for path in paths)
    return tree_of(_checked(kind, path) for path in paths)


def _names(kind: Kind) -> list[str]:
    descriptor = _descriptor(kind)
    return (
        [*(field.name for field in descriptor.fields), *kind.names] if descriptor else [*kind.names]
    )


def _descriptor(kind: Kind) -> Descriptor | None:
    if not kind.message:
        return None
    package, _, name = kind.message.partition(".")
    types: Mapping[str, Any] = getattr(late, f"{package}_pb2").DESCRIPTOR.message_types_by_name
    return types[name]


def _checked(kind: Kind, path: str) -> list[str]:
    """The steps of a path, each of which exists. Below a map or free content any may."""
    steps = path.split(".")
    if steps[0] not in _names(kind):
        raise click.UsageError(f"--fields: there is no {path}. There are: {_listed(_names(kind))}")
    descriptor = _descriptor(kind)
    for number, step in enumerate(steps):
        field = descriptor.fields_by_name.get(step) if descriptor else None
        if field is None:
            if number == 0:  # One of an object's own names.
                return steps
            known = _listed(each.name for each in descriptor.fields) if descriptor else ""
            where = ".".join(steps[:number])
            has = f"{where} has: {known}" if known else f"{where} has no fields"
            raise click.UsageError(f"--fields: there is no {path}. {has}")
        descriptor = field.message_type
        if descriptor and descriptor.GetOptions().map_entry:
            rest = ".".join(steps[number + 1 :])
            return [*steps[: number + 1], *([rest] if rest else [])]
        if descriptor and descriptor.full_name == "google.protobuf.Struct":
            return steps
        if descriptor and descriptor.full_name.startswith("google."):
            descriptor = None
    return steps


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
