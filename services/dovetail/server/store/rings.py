"""Who is woken after a commit, and what the commit delivered to them."""

from __future__ import annotations

from typing import NamedTuple

WakeKey = tuple[str, str]
"""A team, and the name of an inbox, of the room in it, of a queue of tasks, or of its events."""

# An agent's id holds no control characters, so no inbox has one of these names.
QUEUE = "\0"
"""The first character of a queue's name."""

ROOM = "\1"
"""The first character of the name under which those wait who may deliver no more to an inbox.

What ends a delivery wakes them, and nobody else: it brings no message.
"""

EVENTS = "\2"
"""The name under which those wait who watch the events of a team."""

REMOVALS = "\3"
"""The name under which those wait whose calls end when an agent of the team is removed."""

LIVE_BYTES_MAX = 56 * 1024
"""A larger message is not handed over, and is read from the table: its readers wait their turn."""

HANDED_BYTES_MAX = 4 * 1024 * 1024
"""What one commit hands over at most; chosen, to bound memory. Beyond, the table is read."""


class Delivery(NamedTuple):
    """A message in an inbox: its receipt, and the bytes in which it is delivered."""

    sequence: int
    message_number: int
    acknowledge_time: int | None
    payload: bytes
    see_time: int | None = None
    expire_time: int | None = None
    """Set where a commit hands it over: it may expire before a stream takes it."""


class Rings:
    """The names to ring after a commit; for an inbox also what was added to it, in order."""

    def __init__(self) -> None:
        """Begin without any."""
        # None: something changed, which is not here, so that the table must be read.
        self.names: dict[WakeKey, list[Delivery] | None] = {}
        self._bytes = 0

    def add(self, name: WakeKey) -> None:
        """Ring a name."""
        self.names[name] = None

    def can_hold(self, payload: bytes) -> bool:
        """Whether a message may be handed over; if so, it is counted. Ask once a message."""
        size = len(payload)
        if size > LIVE_BYTES_MAX or self._bytes + size > HANDED_BYTES_MAX:
            return False
        self._bytes += size
        return True

    def deliver(self, inbox: WakeKey, delivery: Delivery) -> None:
        """Ring an inbox, and hand over what was added to it."""
        handed = self.names.setdefault(inbox, [])
        if handed is not None:
            handed.append(delivery)
