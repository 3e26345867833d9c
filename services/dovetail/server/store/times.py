"""What each team is stamped with: a time that neither runs backwards nor stands still.

The store may hold stamps of a time to come: a server was started with a clock that was ahead, or
the servers' clocks differ. The team's time then goes on from its last stamp, as fast as time
passes; by a thousandth less, so that it meets the clock again if that was ahead by little. How far
a team is ahead is known to each process for itself: kept in the store, two servers whose clocks
differ would drive each other on without end.
"""

from __future__ import annotations

import structlog

from dovetail.server import clock
from dovetail.server.clock import MICROS

WARN_SECONDS = 60
TEAMS_MAX = 10_000
_SLOWER = 1_000

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.store")


class Times:
    """The time of each team of a store, as one process knows it."""

    def __init__(self) -> None:
        """Know of no team that is ahead."""
        self._ahead: dict[str, tuple[int, int]] = {}

    def now(self, team_id: str, last_time: int) -> tuple[int, int]:
        """The team's time, not before its last stamp, and the time itself."""
        now = clock.now()
        ahead, since = self._ahead.get(team_id, (0, 0))
        if ahead:
            ahead = max(0, ahead - (clock.steady() - since) // _SLOWER)
        stamp = now + ahead
        if stamp >= last_time:
            return stamp, now
        self._go_on(team_id, last_time - now)
        return last_time, now

    def _go_on(self, team_id: str, ahead: int) -> None:
        """From now on the team is so far ahead."""
        known = self._ahead.pop(team_id, None)
        if known is None and ahead > WARN_SECONDS * MICROS:
            log.warning(
                "a team's last stamp is ahead of the clock: its time goes on from there",
                team_id=team_id,
                ahead_seconds=round(ahead / MICROS),
            )
        self._ahead[team_id] = ahead, clock.steady()
        if len(self._ahead) > TEAMS_MAX:
            del self._ahead[next(iter(self._ahead))]
