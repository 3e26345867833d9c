"""The endpoint: a small HTTP server for /metrics, on threads of its own.

It serves a few connections at once and one response on each, reads no more than a small request,
and gives each connection a bounded time. So neither a scraper that does not read nor one that never
ends its request holds more than its own connection, and none of them the event loop.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import structlog

REQUEST_BYTES_MAX = 8 * 1024
CONNECTIONS_MAX = 8
"""Beyond, a connection is closed at once. Prometheus has one for each server that scrapes."""

CONNECTION_SECONDS = 10.0
"""From the first byte to the last: as long as Prometheus waits by default."""

BACKLOG = 16
ACCEPT_SECONDS = 0.5
"""A thread that accepts looks so often whether it should end, where closing does not wake it."""

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.metrics")

Render = Callable[[], bytes]


class Endpoint:
    """Serves what `render` returns at an address, until `close`."""

    def __init__(
        self, host: str, port: int, render: Render, seconds: float = CONNECTION_SECONDS
    ) -> None:
        """Listen at once. Raises OSError if the address cannot be had."""
        self._render = render
        self._seconds = seconds
        self._rendering = threading.Lock()
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._stopping = False
        self._listening = _listening(host, port)
        self._listening.settimeout(ACCEPT_SECONDS)
        self._thread = threading.Thread(target=self._accept_all, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port at which it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    def close(self) -> None:
        """Listen no more. A response that is being sent may still go out."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # Wakes `accept`, on Linux.
        self._thread.join(2 * ACCEPT_SECONDS)
        self._listening.close()

    def _accept_all(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            except OSError:  # No descriptor is left, or the connection is gone again.
                time.sleep(0 if self._stopping else ACCEPT_SECONDS)
                continue
            if self._places.acquire(blocking=False):
                threading.Thread(
                    target=self._serve, args=(connection,), name="metrics-scrape", daemon=True
                ).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + self._seconds
        try:
            with connection, contextlib.suppress(OSError):
                answer = self._answer(_read_head(connection, deadline), deadline)
                connection.settimeout(_left(deadline))
                connection.sendall(answer)
                # What the client has sent beyond would else cut the response off.
                connection.shutdown(socket.SHUT_WR)
        finally:
            self._places.release()

    def _answer(self, head: bytes | None, deadline: float) -> bytes:
        """The response to a request; None: it was too large."""
        if head is None:
            return _text("431 Request Header Fields Too Large")
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _text("400 Bad Request")
        if words[0] != b"GET":
            return _text("405 Method Not Allowed", "Allow: GET")
        if words[1].partition(b"?")[0] != PATH.encode():
            return _text("404 Not Found")
        # One at a time: a second scraper waits its turn.
        if not self._rendering.acquire(timeout=_left(deadline)):
            return _text("503 Service Unavailable")
        try:
            return _response("200 OK", self._render(), f"Content-Type: {CONTENT_TYPE}")
        except Exception:
            log.exception("metrics cannot be shown")
            return _text("500 Internal Server Error")
        finally:
            self._rendering.release()


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens at the first address of a name."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=BACKLOG)


def _read_head(connection: socket.socket, deadline: float) -> bytes | None:
    """A request up to its empty line; None: it is larger than any that is served."""
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) > REQUEST_BYTES_MAX:
            return None
        connection.settimeout(_left(deadline))
        part = connection.recv(REQUEST_BYTES_MAX)
        if not part:
            raise ConnectionError("the client has left")
        head += part
    return head


def _left(deadline: float) -> float:
    """The time that is left, in seconds. Raises TimeoutError if none is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _text(status: str, *headers: str) -> bytes:
    return _response(status, f"{status}\n".encode(), "Content-Type: text/plain", *headers)


def _response(status: str, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close")
    return "\r\n".join((*lines, "", "")).encode() + body
