"""The stamps of each team: a time that neither runs backwards nor stands still.

The store may hold stamps from the future: a server was started with a clock that was ahead, or the
servers' clocks differ. The team's time then continues from its last stamp, a thousandth slower than
real time, so that the clock catches up if it was ahead by little. Each process knows for itself how
far a team is ahead: if that were kept in the store, two servers whose clocks differ would push each
other forward without end.
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
        """Begin without a team that is ahead."""
        # Shared by the threads of an engine, without a lock: each entry is replaced as a whole, and
        # `pop` accepts a missing one. A lost entry is computed again from the last stamp.
        self._ahead: dict[str, tuple[int, int]] = {}

    def now(self, team_id: str, last_time: int) -> tuple[int, int]:
        """The team's time, which is not before its last stamp, and the time itself."""
        now = clock.now()
        stamp = max(now, self._advanced(team_id, now))
        if stamp >= last_time:
            return stamp, now
        self._advance_from(team_id, last_time, now)
        return last_time, now

    def _advanced(self, team_id: str, now: int) -> int:
        """The time of a team that is ahead; 0 for the others.

        It follows the time that passes, not the clock: setting the clock does not move it.
        """
        known = self._ahead.get(team_id)
        if known is None:
            return 0
        stamp, since = known
        passed = clock.steady() - since
        advanced = stamp + passed - passed // _SLOWER
        if advanced <= now:
            self._ahead.pop(team_id, None)
        return advanced

    def _advance_from(self, team_id: str, stamp: int, now: int) -> None:
        """Let the team's time continue from this stamp."""
        known = self._ahead.pop(team_id, None)
        if known is None and stamp - now > WARN_SECONDS * MICROS:
            log.warning(
                "a team's last stamp is ahead of the clock: its time continues from there",
                team_id=team_id,
                ahead_seconds=round((stamp - now) / MICROS),
            )
        self._ahead[team_id] = stamp, clock.steady()
        if len(self._ahead) > TEAMS_MAX:
            self._ahead.pop(next(iter(self._ahead)), None)
