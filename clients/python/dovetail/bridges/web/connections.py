"""Connections on which no request comes: uvicorn would keep them open without a limit."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol


class HurriedProtocol(H11Protocol):
    """HTTP/1.1 whose connections end unless the head of a request comes whole in time.

    The time begins with the connection, and again with the end of each response. Bytes that come
    meanwhile do not renew it, so that nobody keeps a connection by sending a byte now and then.
    """

    head_seconds = 20.0
    connections_max = 500
    """Each takes a file; beyond these the next ones are closed at once."""
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()
            return
        self._expect_head()

    def on_response_complete(self) -> None:
        ended = self.cycle
        super().on_response_complete()  # It begins with the next request, if that is there.
        if self.cycle is ended:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_timer()

    def _expect_head(self) -> None:
        self._forget_timer()
        self._head_timer = self.loop.call_later(
            self.head_seconds, self._end_unless_begun, self.cycle
        )

    def _forget_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_unless_begun(self, last: object) -> None:
        if self.cycle is last:  # No request since.
            self.transport.abort()
