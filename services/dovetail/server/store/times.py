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
        stamp = max(now, self._gone_on(team_id, now))
        if stamp >= last_time:
            return stamp, now
        self._go_on(team_id, last_time, now)
        return last_time, now

    def _gone_on(self, team_id: str, now: int) -> int:
        """The time of a team that is ahead; 0 for the others.

        It follows what passes, not the clock: one that is set to and fro drives it no further.
        """
        known = self._ahead.get(team_id)
        if known is None:
            return 0
        stamp, since = known
        passed = clock.steady() - since
        gone_on = stamp + passed - passed // _SLOWER
        if gone_on <= now:
            self._ahead.pop(team_id, None)
        return gone_on

    def _go_on(self, team_id: str, stamp: int, now: int) -> None:
        """From this stamp the team's time goes on."""
        known = self._ahead.pop(team_id, None)
        if known is None and stamp - now > WARN_SECONDS * MICROS:
            log.warning(
                "a team's last stamp is ahead of the clock: its time goes on from there",
                team_id=team_id,
                ahead_seconds=round((stamp - now) / MICROS),
            )
        self._ahead[team_id] = stamp, clock.steady()
        if len(self._ahead) > TEAMS_MAX:
            del self._ahead[next(iter(self._ahead))]
