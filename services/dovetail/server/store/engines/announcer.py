"""NOTIFY: a thread that tells other processes which inboxes and queues changed."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from dovetail.server.store.engines.wakeups import encode_ring
from dovetail.server.store.rings import WakeKey

CHANNEL = "dovetail"
# Chosen: what a wake-up may be late under load, for one notification in place of one a commit.
GATHER_SECONDS = 0.005
RETRY_SECONDS = 0.5
# PostgreSQL takes less than 8,000 bytes; the name of the sender and a space are 13 more.
PAYLOAD_BYTES_MAX = 7_900


class Announcer:
    """Sends the first names after a silence at once, and those of the next 5 ms as one.

    `_lock` guards `_waiting`, which the writers fill. Names whose notification fails are dropped:
    the other processes look at the store each second anyway.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        """Send over a connection of its own, opened when there is something to send."""
        self.name = uuid.uuid4().hex[:12]
        self._connect = connect
        self._waiting: set[WakeKey] = set()
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
        self._thread.start()

    def add(self, names: Iterable[WakeKey]) -> None:
        """Send these names soon. Never waits for the database."""
        with self._lock:
            self._waiting.update(names)
        self._news.set()

    def close(self, seconds: float) -> None:
        """Send what waits, and end; wait for that at most so long."""
        # In this order: `_has_news` that finds `_stop` unset is woken by `_news`.
        self._stop.set()
        self._news.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while self._has_news():
            with contextlib.suppress(psycopg.Error), self._connect() as connection:
                while self._has_news():
                    self._send(connection)
                    # After the notification and not before it: names that come alone do not wait.
                    self._stop.wait(GATHER_SECONDS)
            if self._stop.wait(RETRY_SECONDS):
                return

    def _has_news(self) -> bool:
        """Wait for names. Returns False if it is closed, and none are left to send."""
        if not self._stop.is_set():
            self._news.wait()
        return bool(self._waiting) or not self._stop.is_set()

    def _send(self, connection: psycopg.Connection[Any]) -> None:
        # Cleared before the names are taken: `add` puts names and then sets the event, so names
        # that come after the taking set it again. In the other order they could be left behind.
        self._news.clear()
        with self._lock:
            names, self._waiting = sorted(self._waiting), set()
        if names:
            payload = f"{self.name} {encode_ring(names, PAYLOAD_BYTES_MAX)}"
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
