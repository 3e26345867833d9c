"""Ending the queries of other threads on PostgreSQL, which checks nothing of ours meanwhile.

The breaker tests ten times a second whether a running query should end, and then lets the database
cancel it. psycopg does that over a connection of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import psycopg

GLANCE_SECONDS = 0.1
CANCEL_SECONDS = 2.0


class Breaker:
    """Watches the queries of an engine's threads.

    `_lock` guards `_watched`, and is held while a query is cancelled: that is what keeps a late
    cancellation from hitting the next query of its connection. So a thread that ends its query then
    waits, at most CANCEL_SECONDS.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        # By thread.
        self._watched: dict[int, tuple[psycopg.Connection[Any], Callable[[], bool]]] = {}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="breaker", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(
        self, connection: psycopg.Connection[Any], when: Callable[[], bool]
    ) -> Generator[None]:
        """Cancel the queries of this thread's connection as soon as `when` returns True."""
        with self._lock:
            self._watched[get_ident()] = connection, when
        self._news.set()
        try:
            yield
        finally:
            # Waits for a cancellation that is under way: it must not hit the next query.
            with self._lock:
                self._watched.pop(get_ident(), None)

    def follow(self, connection: psycopg.Connection[Any]) -> None:
        """Watch another connection of this thread from now on, if one is watched."""
        with self._lock:
            if watched := self._watched.get(get_ident()):
                self._watched[get_ident()] = connection, watched[1]

    def close(self, seconds: float) -> None:
        """Watch no more."""
        self._stopping = True
        self._news.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping:
            self._news.wait(None if not self._watched else GLANCE_SECONDS)
            self._news.clear()
            with self._lock:
                for thread, (connection, when) in [*self._watched.items()]:
                    if when():
                        del self._watched[thread]
                        with contextlib.suppress(psycopg.Error):
                            connection.cancel_safe(timeout=CANCEL_SECONDS)


def hang_up(connection: psycopg.Connection[Any]) -> None:
    """Shut the socket, from another thread than the one that waits: its wait ends with an error.

    psycopg's own close would free what that thread is using.
    """
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as its_socket,
    ):
        its_socket.shutdown(socket.SHUT_RDWR)
