"""Wake-ups: those that watch an inbox are woken when it changes.

The table is the truth: losing every wake-up costs latency only. The order for a watcher is: clear,
read, use, wait. A change is committed before it rings, so it is either in what was read, or it
rings after the clear and ends the wait.

A wake-up between processes carries only a name. A commit of this process hands over what it added
to an inbox as well: a watcher that waits may use that instead of reading, if it has no gap
(docs/decisions/0039-live-deliveries.md).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager

from dovetail.server.meter import UNMETERED
from dovetail.server.store.rings import Delivery, WakeKey


class Bell:
    """Rings when an inbox or queue that it watches may have changed."""

    def __init__(self, woken: Callable[[float], None] = UNMETERED.woken) -> None:
        """Begin silent; `woken` is told how long after its cause a ring ended a wait."""
        # Rings are not counted: one read after many of them sees all that they were about. Only
        # the loop's thread may set it; from another thread the waiter would sleep on (the store
        # uses `call_soon_threadsafe`).
        self._event = asyncio.Event()
        # A list only from the beginning of a wait to the first ring that hands nothing over. Then
        # it has all rings of that wait. While the watcher works nothing is kept, so a slow one
        # holds nothing here.
        self._handed: list[Delivery] | None = None
        self._woken = woken
        # When the first ring of a wait was caused, by the monotonic clock; 0: nothing is known.
        self.cause_time = 0.0

    def clear(self) -> Sequence[Delivery]:
        """Forget the rings so far. Call it before reading: after it, a ring would be lost.

        Returns what was handed over since the wait began, in order of sequence, if nothing else
        rang. Others may have added to the inbox between.
        """
        self._event.clear()
        handed, self._handed = self._handed or (), None
        return handed

    def ring(self, handed: Sequence[Delivery] | None = None) -> None:
        """Wake the watcher. `handed` is what was added to its inbox, if nothing else changed."""
        self._event.set()
        if handed is None:
            self._handed = None
        elif self._handed is not None:
            self._handed += handed

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring. Returns False if the time passed without one."""
        self._handed = None if self._event.is_set() else []
        self.cause_time = 0.0
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        if self.cause_time:
            self._woken(time.monotonic() - self.cause_time)
        return True


class Bells:
    """All bells of a process. For its event loop only."""

    def __init__(self, woken: Callable[[float], None] = UNMETERED.woken) -> None:
        """Begin without watchers; `woken` is told how long each took to run."""
        self._woken = woken
        # One name may have many bells, as an inbox has streams. It is dropped with the last of
        # them, or names would pile up, and each look at the store asks for all that are here.
        self._watched: dict[WakeKey, set[Bell]] = {}

    @contextmanager
    def watch(
        self, team_id: str, names: Iterable[str], bell: Bell | None = None
    ) -> Generator[Bell]:
        """A bell for these names of a team, while the block lasts."""
        watched, bell = [(team_id, name) for name in names], bell or Bell(self._woken)
        for name in watched:
            self._watched.setdefault(name, set()).add(bell)
        try:
            yield bell
        finally:
            for name in watched:
                self._watched[name].discard(bell)
                if not self._watched[name]:
                    del self._watched[name]

    def watched(self) -> list[WakeKey]:
        """The names that are watched now."""
        return list(self._watched)

    def ring(self, names: Iterable[WakeKey], cause_time: float = 0.0) -> None:
        """Wake those that watch these inboxes and queues."""
        # Setting an event schedules its waiters and runs none: the sets do not change meanwhile.
        for name in names:
            for bell in self._watched.get(name, ()):
                bell.cause_time = bell.cause_time or cause_time
                bell.ring()

    def hand_over(
        self, rings: Mapping[WakeKey, Sequence[Delivery] | None], cause_time: float = 0.0
    ) -> None:
        """Wake the watchers of these names, and hand over to each what was added to its inbox."""
        for name, handed in rings.items():
            for bell in self._watched.get(name, ()):
                bell.cause_time = bell.cause_time or cause_time
                bell.ring(handed)

    def ring_team(self, team_id: str) -> None:
        """Wake those that watch any inbox of a team."""
        self.ring([inbox for inbox in self._watched if inbox[0] == team_id])

    def ring_all(self) -> None:
        """Wake all watchers: the server is stopping, or trusts no credential any more."""
        self.ring(self.watched())


# Not JSON, so `decode_ring` turns it into None; and shorter than any limit.
ANY = "*"


def encode_ring(inboxes: Iterable[WakeKey], most_bytes: int) -> str:
    """The names of inboxes as they travel between processes; "any" if they are too many."""
    # Escaped to ASCII by default, so that its characters are its bytes.
    text = json.dumps(list(inboxes))
    return text if len(text) <= most_bytes else ANY


def decode_ring(text: str | bytes) -> list[WakeKey] | None:
    """The names of inboxes; None for "any", and for what cannot be read: then all are looked at."""
    try:
        return [(str(team_id), str(agent_id)) for team_id, agent_id in json.loads(text)]
    except (ValueError, TypeError):
        return None
