"""How large a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """How long a run takes, and how much is in the stores.

    `claims` is how many tasks are claimed and completed in a trial, `streams` how many inboxes are
    open at once.
    """

    rounds: int
    seconds: float
    callers: tuple[int, ...]
    backlog: int
    tasks: tuple[int, ...]
    messages: tuple[int, ...]
    claims: int
    streams: int = 1_000


QUICK = Size(
    rounds=3,
    seconds=0.4,
    callers=(1, 16, 64, 256),
    backlog=5_000,
    tasks=(1_000, 10_000),
    messages=(2_000, 20_000),
    claims=300,
)
FULL = Size(
    rounds=7,
    seconds=1.0,
    callers=(1, 16, 64, 256),
    backlog=20_000,
    tasks=(10_000, 100_000, 1_000_000),
    messages=(10_000, 200_000),
    claims=1_000,
)
