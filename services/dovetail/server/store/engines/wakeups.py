"""Wake-ups: who watches an inbox is woken when it changes. A wake-up carries nothing but a name.

The table is the truth: losing every wake-up costs latency only. The order for a watcher is: clear,
read, use, wait; what changes between the read and the wait is then never missed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import cast

WakeKey = tuple[str, str]
"""A team, and the name of an inbox or of a queue of tasks."""

QUEUE = "\0"
"""What the name of a queue begins with: no agent's id does."""


class Bell:
    """Rings when the inbox that it watches may have changed."""

    def __init__(self) -> None:
        """Begin silent."""
        self._event = asyncio.Event()

    def clear(self) -> None:
        """Forget the rings so far: to be called before reading."""
        self._event.clear()

    def ring(self) -> None:
        """Wake the watcher."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; False when the time passed without one."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Bells:
    """All bells of a process. For its event loop only."""

    def __init__(self) -> None:
        """Begin with nobody watching."""
        self._watched: dict[WakeKey, set[Bell]] = {}

    @contextmanager
    def watch(self, team_id: str, name: str, bell: Bell | None = None) -> Generator[Bell]:
        """A bell for one inbox or queue, for as long as the block lasts."""
        inbox, bell = (team_id, name), bell or Bell()
        self._watched.setdefault(inbox, set()).add(bell)
        try:
            yield bell
        finally:
            self._watched[inbox].discard(bell)
            if not self._watched[inbox]:
                del self._watched[inbox]

    def watched(self) -> list[WakeKey]:
        """The inboxes that somebody watches."""
        return list(self._watched)

    def ring(self, inboxes: Iterable[WakeKey]) -> None:
        """Wake who watches these inboxes."""
        for inbox in inboxes:
            for bell in self._watched.get(inbox, ()):
                bell.ring()

    def ring_team(self, team_id: str) -> None:
        """Wake who watches any inbox of a team."""
        self.ring([inbox for inbox in self._watched if inbox[0] == team_id])

    def ring_all(self) -> None:
        """Wake everybody: the server is stopping."""
        self.ring(self.watched())


ANY = "*"


def encode_ring(inboxes: Iterable[WakeKey], most_bytes: int) -> str:
    """The names of inboxes as they travel between processes; "any" when they are too many."""
    text = json.dumps(list(inboxes))
    return text if len(text) <= most_bytes else ANY


def decode_ring(text: str | bytes) -> list[WakeKey] | None:
    """The names of inboxes; None for "any", and for what no process of ours sent."""
    try:
        pairs = cast("list[list[str]]", json.loads(text))
        return [(str(team_id), str(agent_id)) for team_id, agent_id in pairs]
    except (ValueError, TypeError):
        return None
