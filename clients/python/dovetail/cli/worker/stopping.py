"""Signals that ask a command to end which runs programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from dovetail.cli import signals
from dovetail.cli.worker.programs import was_signalled
from dovetail.client import WorkFailedError

STOP_SECONDS = 0.5
"""How much later than its program a command may get a signal that was sent to both at once."""


class Stopping:
    """At the first signal programs may finish, at the second they are ended, at the third we are.

    `stop` is called at the first, and `release` `grace` seconds later or at the second.
    """

    def __init__(self, grace: float, stop: Callable[[], None], release: Callable[[], None]) -> None:
        """Listen to nothing yet."""
        self._grace = grace
        self._stop = stop
        self._release = release
        self._signals = signals.ending_signals()
        self.asked = asyncio.Event()
        """Set when a signal asked to stop."""

    def listen(self) -> None:
        """Handle the signals from now on."""
        for number in self._signals:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    async def has_ended(self, failure: Exception) -> bool:
        """Whether a program may have ended by the signal that also stops this command.

        Service managers signal all processes of a service at once, in any order: this one may get
        the signal later.
        """
        if isinstance(failure, WorkFailedError) and was_signalled(failure):
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self.asked.wait()
        return self.asked.is_set()

    def _signalled(self) -> None:
        loop = asyncio.get_running_loop()
        if not self.asked.is_set():
            self.asked.set()
            self._stop()
            loop.call_later(self._grace, self._release)
            return
        self._release()
        for number in self._signals:
            loop.remove_signal_handler(number)
