"""Conditions under which messages are sent: the version of a task, a time that is still to come.

They are checked in the unit that sends, after it is known that it is no repeat: a repeat returns
what the first call sent, though the task has changed since, or the message has expired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.server.edge.validation import Checks
from dovetail.server.preconditions import check_etag
from dovetail.server.store.tables import tasks
from dovetail.server.store.transaction import MICROS, Snapshot, Transaction


class Conditional(Protocol):
    """A message to send, with its conditions. In errors its fields begin with `prefix`."""

    @property
    def prefix(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def task_etag(self) -> str: ...
    @property
    def expire_time(self) -> int | None: ...


def check_conditions(transaction: Transaction, batch: Sequence[Conditional]) -> None:
    """Raise if a message may not be sent any more. Its task must exist."""
    _check_etags(transaction, [each for each in batch if each.task_etag])
    _check_times(transaction, [each for each in batch if each.expire_time is not None])


def _check_etags(snapshot: Snapshot, batch: Sequence[Conditional]) -> None:
    versions = _versions(snapshot, [each.task_id for each in batch]) if batch else {}
    for each in batch:
        version = versions[each.task_id]
        check_etag(f"{each.prefix}task_etag", each.task_id, version, each.task_etag)


def _versions(snapshot: Snapshot, task_ids: Sequence[str]) -> dict[str, int]:
    """The versions of tasks. That of a single message has been fetched already."""
    if len(task_ids) == 1 and (task := tasks.find(snapshot, task_ids[0])):
        return {task.task_id: task.version}
    return tasks.versions(snapshot, [*dict.fromkeys(task_ids)])


def _check_times(transaction: Transaction, batch: Sequence[Conditional]) -> None:
    if not batch:
        return
    now = transaction.team.wall_clock
    with Checks() as check:
        for each in batch:
            if each.expire_time is not None and each.expire_time <= now:
                ago = (now - each.expire_time) / MICROS
                check.refuse(
                    f"{each.prefix}expire_time",
                    f"must be in the future, and was {ago:,.3f} s ago by the server's clock",
                )
