"""The time. A machine's clock is set now and then, by hand or by a service, and may be wrong.

Everything that a server stamps, or that waits for a time, uses `now`. It follows the machine's
clock, but a jump of more than a second only after it has lasted for a minute, measured by a clock
that cannot be set. So a clock that is a year ahead for some seconds makes no task overdue, ends no
token, and stamps nothing with a future time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

MICROS = 1_000_000
SMALL_STEP = 1 * MICROS
JUMP_SECONDS = 60
"""How long a jump must last until it is followed. A guess: a clock that was set wrongly is usually
corrected sooner, and a machine that was paused works with the former time for so long."""

_READ_MOST = 1_000
_READS = 5

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.clock")


def steady() -> int:
    """Microseconds of a clock that cannot be set; on Linux it runs while the machine sleeps."""
    return _steady_nanos() // 1_000


def wall() -> int:
    """The machine's clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1_000


def _boot_nanos() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


_steady_nanos = _boot_nanos if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns


class Clock:
    """The time of a process, from the machine's clock and one that cannot be set.

    Any thread may call it. Without a jump there is no lock: `_ahead` is then replaced by a value
    that differs by less than a step, so it does not matter which thread writes it last.
    """

    def __init__(
        self, read_wall: Callable[[], int] = wall, read_steady: Callable[[], int] = steady
    ) -> None:
        """Begin with the machine's clock as it is: there is nothing yet to judge it by."""
        self._read_wall = read_wall
        self._read_steady = read_steady
        self._ahead = read_wall() - read_steady()
        self._jump: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        wall = self._read_wall()
        ahead = wall - self._read_steady()
        if abs(ahead - self._ahead) <= SMALL_STEP and self._jump is None:
            self._ahead = ahead
            return wall
        with self._lock:
            return self._judge(*self._read_both())

    def _judge(self, wall: int, steady: int) -> int:
        """Follow a small step; remember since when a jump lasts, and follow it in the end."""
        step = wall - steady - self._ahead
        if abs(step) <= SMALL_STEP:
            if self._jump:
                log.warning("the machine's clock is back: its jump was not followed")
            self._jump = None
        elif self._jump is None or abs(step - self._jump[0]) > SMALL_STEP:
            self._jump = step, steady
            log.warning(
                "the machine's clock jumped: the server continues with the former time",
                jump_seconds=round(step / MICROS),
                follows_after_seconds=JUMP_SECONDS,
            )
        elif steady - self._jump[1] >= JUMP_SECONDS * MICROS:
            self._jump = None
            log.warning("the machine's clock is followed", jump_seconds=round(step / MICROS))
        if self._jump is None:
            self._ahead = wall - steady
        return steady + self._ahead

    def _read_both(self) -> tuple[int, int]:
        """Both clocks at one moment: a pause of the process between two reads is not a jump."""
        wall = before = after = 0
        for _ in range(_READS):
            before, wall, after = self._read_steady(), self._read_wall(), self._read_steady()
            if after - before <= _READ_MOST:
                break
        return wall, after


_clock = Clock()


def now() -> int:
    """The time of this process, in microseconds since 1970 UTC."""
    return _clock.now()
