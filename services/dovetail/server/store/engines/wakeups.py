"""Wake-ups: those that watch an inbox are woken when it changes. A wake-up carries only a name.

The table is the truth: losing every wake-up costs latency only. The order for a watcher is: clear,
read, use, wait. A change is committed before it rings, so it is either in what was read, or it
rings after the clear and ends the wait.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager

WakeKey = tuple[str, str]
"""A team, and the name of an inbox or of a queue of tasks."""

# An agent's id holds no control characters, so no inbox has the name of a queue.
QUEUE = "\0"
"""The first character of a queue's name."""


class Bell:
    """Rings when an inbox or queue that it watches may have changed."""

    def __init__(self) -> None:
        """Begin silent."""
        # Rings are not counted: one read after many of them sees all that they were about. Only
        # the loop's thread may set it; from another thread the waiter would sleep on (the store
        # uses `call_soon_threadsafe`).
        self._event = asyncio.Event()

    def clear(self) -> None:
        """Forget the rings so far. Call it before reading: after it, a ring would be lost."""
        self._event.clear()

    def ring(self) -> None:
        """Wake the watcher."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring. Returns False if the time passed without one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Bells:
    """All bells of a process. For its event loop only."""

    def __init__(self) -> None:
        """Begin without watchers."""
        # One name may have many bells, as an inbox has streams. It is dropped with the last of
        # them, or names would pile up, and each look at the store asks for all that are here.
        self._watched: dict[WakeKey, set[Bell]] = {}

    @contextmanager
    def watch(self, team_id: str, name: str, bell: Bell | None = None) -> Generator[Bell]:
        """A bell for one inbox or queue, while the block lasts."""
        inbox, bell = (team_id, name), bell or Bell()
        self._watched.setdefault(inbox, set()).add(bell)
        try:
            yield bell
        finally:
            self._watched[inbox].discard(bell)
            if not self._watched[inbox]:
                del self._watched[inbox]

    def watched(self) -> list[WakeKey]:
        """The names that are watched now."""
        return list(self._watched)

    def ring(self, names: Iterable[WakeKey]) -> None:
        """Wake those that watch these inboxes and queues."""
        # Setting an event schedules its waiters and runs none: the sets do not change meanwhile.
        for name in names:
            for bell in self._watched.get(name, ()):
                bell.ring()

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
