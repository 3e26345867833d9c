"""Units: functions of a Transaction that a group runs one after the other, and commits as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from dovetail.server.errors import DovetailError
from dovetail.server.store.executor import Job
from dovetail.server.store.group import WriteGroup
from dovetail.server.store.transaction import Need, Transaction


def _permitted() -> None:
    """The permit of writes that serve no call: always given."""


current_permit: ContextVar[Callable[[], None]] = ContextVar("current_permit", default=_permitted)
"""Checks whether the call in whose context it is set may still write; raises a DovetailError if
not. The writer's thread calls it when the write's turn comes, which may be long after the call
began. It must be safe to call from that thread, and must not wait."""


class RefusedLateError(Exception):
    """A unit refused after it wrote: the group must run again, each unit by itself.

    There are no savepoints, so only a rollback of all removes what that unit wrote.
    """

    def __init__(self, refusal: DovetailError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Unit:
    """What a caller asked to be run and written, with what it needs, and the caller's permit."""

    run: Callable[[Transaction], Any]
    needs: Sequence[Need]
    permit: Callable[[], None]

    def __call__(self, transaction: Transaction) -> Any:
        self.permit()
        return self.run(transaction)


class Committed(NamedTuple):
    """A group that is on disk: how many units, how long the first waited, and when it was what."""

    group: WriteGroup
    units: int
    waited: float
    began: float
    committing: float
    ended: float


def fetch_needs(group: WriteGroup, jobs: Sequence[Job]) -> None:
    """Lock the teams of a group, and fetch what its units need: in a set for each team."""
    # Before any unit reads: on PostgreSQL the lock keeps other processes from changing what a unit
    # checks between its check and its write.
    needs: dict[str, list[Need]] = {}
    for job in jobs:
        if isinstance(job.work, Unit):
            needs.setdefault(job.team_id, []).extend(job.work.needs)
    for team_id, wanted in needs.items():
        group.prefetch(team_id, wanted)


def run_unit(group: WriteGroup, job: Job) -> None:
    """Run one unit of a group. Raises RefusedLateError if it refused after it wrote."""
    group.begin_unit()
    # It may have run before, in a group that was rolled back: no trace of that may stay.
    job.result, job.error, writes = None, None, group.writes
    try:
        job.result = job.work(group.unit(job.team_id))
    except DovetailError as error:
        if group.writes != writes:
            raise RefusedLateError(error) from error
        job.error = error
