"""What messages that are to be sent refer to: tasks, and messages to which they reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from dovetail.server.access.caller import Caller
from dovetail.server.edge.validation import Checks, shown
from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.store.tables import dependencies, tasks, threads
from dovetail.server.store.tables.messages import message_number
from dovetail.server.store.tables.threads import Thread
from dovetail.server.store.transaction import Snapshot


class Referring(Protocol):
    """A message to send. In errors its fields begin with `prefix`."""

    @property
    def prefix(self) -> str: ...
    @property
    def thread_id(self) -> str: ...
    @property
    def in_reply_to(self) -> str: ...
    @property
    def task_id(self) -> str: ...


def check_tasks(snapshot: Snapshot, batch: Sequence[Referring]) -> None:
    """Raise if one of the tasks that the messages are about does not exist."""
    prefixes = {each.task_id: each.prefix for each in reversed(batch) if each.task_id}
    if len(batch) == 1 and all(tasks.exists(snapshot, task_id) for task_id in prefixes):
        return
    # By a query, which reads no content of very many tasks.
    for task_id in dependencies.unknown(snapshot, [*prefixes])[-1:]:
        raise NotFoundError(
            Reason.TASK_NOT_FOUND,
            f"{prefixes[task_id]}task_id: no task {task_id!r}",
            metadata={"task_id": task_id},
        )


def replied_to(snapshot: Snapshot, batch: Sequence[Referring]) -> dict[int, Thread]:
    """The threads of what the messages reply to, by its numbers, as far as it exists."""
    numbers = {message_number(each.in_reply_to) or 0 for each in batch if each.in_reply_to}
    return threads.of_messages(snapshot, [*numbers]) if numbers else {}


def thread_of(known: Mapping[int, Thread], caller: Caller, outgoing: Referring) -> str:
    """The thread of a message; of one that replies, that of what it replies to."""
    if not outgoing.in_reply_to:
        return outgoing.thread_id
    found = known.get(message_number(outgoing.in_reply_to) or 0)
    if not found or not caller.reaches(*found.party_ids):
        raise no_message(f"{outgoing.prefix}in_reply_to", outgoing.in_reply_to)
    thread_id = found.thread_id
    if outgoing.thread_id not in ("", thread_id):
        with Checks() as check:
            check.refuse(
                f"{outgoing.prefix}thread_id",
                f"{shown(outgoing.thread_id)} is not the thread of {outgoing.in_reply_to}, which is"
                f" {shown(thread_id)}: leave it out",
            )
    return thread_id


def no_message(field: str, message_id: str) -> NotFoundError:
    """The error for a message that does not exist, or not for this caller."""
    return NotFoundError(
        Reason.MESSAGE_NOT_FOUND,
        f"{field}: no message {message_id!r}",
        metadata={"message_id": message_id},
    )
