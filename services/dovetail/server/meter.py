"""What a server measures of itself, as the rest of the code tells it.

The store and the rules tell a `Meter`, and know of no library. This one keeps nothing: a server
without `--metrics-listen` has it, and pays a call of an empty function. `metrics/` has the other.
"""

from __future__ import annotations

from enum import StrEnum


class Happening(StrEnum):
    """What a unit did that is counted once it is committed."""

    LEASE_LOST = "lease lost"
    TASK_RETRY = "task retry"


class Meter:
    """Keeps nothing. Any thread may call it, and none may wait in it."""

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """A call that is no stream has ended with this status, after so long."""

    def call_refused(self, reason: str) -> None:
        """A call, or a stream, was refused."""

    def stream_began(self, method: str) -> None:
        """A stream was opened, or tried to."""

    def stream_ended(self, method: str, code: str) -> None:
        """A stream that began has ended."""

    def delivered(self, count: int) -> None:
        """So many deliveries were put into a response."""

    def woken(self, seconds: float) -> None:
        """A watcher that waited runs, so long after the commit or notification that woke it."""

    def committed(self, units: int, waited: float, transaction: float, commit: float) -> None:
        """A group of units is committed.

        Its first unit had waited for so long; the transaction took so long, its commit among it.
        """

    def happened(self, what: Happening, count: int) -> None:
        """This is committed, so many times."""

    def removed(self, kind: str, rows: int, seconds: float) -> None:
        """The cleaner removed rows, and took so much of the writer's time."""

    def store_responded(self, responds: bool) -> None:
        """Whether the store responded to the last check of health."""


UNMETERED = Meter()
