"""Checks before the page and the RPCs: for which site a browser sends, how much, and headers.

A browser sends requests for any site that its user visits. So a request must name a host of ours
(against DNS rebinding: a foreign name that leads to this machine), and one that a browser makes for
another site is refused by its Origin or Sec-Fetch-Site. What no browser sent has neither.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Generator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS_MAX = 20.0
"""How long a request may take to come whole, as at the servers."""

BODIES_BYTES_MAX = 64 * 1024 * 1024
"""What the requests that are being served may have together."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""On every response of ours, in place of what it has."""

_ENCODED = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
_NOT_KEPT = (b"cache-control", b"no-store")
_OWN_SITE = ("same-origin", "none")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request is refused, as the errors of Connect are."""

    status: int
    code: str
    message: str


class Guard:
    """Passes on to `inside` what may pass, with the headers above on each response."""

    def __init__(
        self, inside: Application, hosts: Collection[str], body_seconds: float = BODY_SECONDS_MAX
    ) -> None:
        """`hosts` are those that a request may name, with their ports."""
        self._inside = inside
        self._bodies = _Bodies(body_seconds)
        self._hosts = frozenset(each.lower() for each in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        guarded = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal:
            await refuse(guarded, refusal)
            return
        with self._bodies.received(receive) as receive_in_time:
            await self._inside(scope, receive_in_time, guarded)

    def _refusal(self, scope: Scope) -> Refusal | None:
        if not all(key.isascii() and value.isascii() for key, value in scope["headers"]):
            return Refusal(
                status=400,
                code="invalid_argument",
                message="headers are ASCII; other ids go into dovetail-agent-bin and"
                " dovetail-team-bin, in base64",
            )
        headers = _headers(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return Refusal(
                status=421,
                code="permission_denied",
                message="this is not the address of the page: open it at"
                f" http://{sorted(self._hosts)[0]}/ (through a proxy: dovetail web --host NAME)",
            )
        origins = headers.get("origin", [])
        is_foreign = any(_host_of(each) not in self._hosts for each in origins)
        sites = headers.get("sec-fetch-site", [])
        is_read = scope["method"] in ("GET", "HEAD")
        if is_foreign or not (is_read or set(sites) <= set(_OWN_SITE)):
            return Refusal(
                status=403,
                code="permission_denied",
                message="refused: another site made this request",
            )
        return None


def _host_of(origin: str) -> str:
    scheme, separator, host = origin.lower().partition("://")
    return host if separator and scheme in ("http", "https") else ""


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in scope["headers"]:
        found.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _with_headers(send: Send) -> Send:
    async def guarded(event: Event) -> None:
        if event["type"] == "http.response.start":
            own = [pair for pair in event.get("headers", ()) if pair[0].decode() not in HEADERS]
            is_said = any(key == b"cache-control" for key, _ in own)
            event["headers"] = [*own, *([] if is_said else [_NOT_KEPT]), *_ENCODED]
        await send(event)

    return guarded


class _Bodies:
    """The bodies of the requests that are being served, which have a bound together."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._held = 0

    @contextmanager
    def received(self, receive: Receive) -> Generator[Receive]:
        """Receive a body inside the block.

        Where it does not come whole in time, or there is no room, it is as if its caller had left.
        """
        end = asyncio.get_running_loop().time() + self._seconds
        held, whole = 0, False

        async def receive_in_time() -> Event:
            nonlocal held, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    event = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            size = len(event.get("body", b""))
            held, self._held = held + size, self._held + size
            if self._held > BODIES_BYTES_MAX:
                return {"type": "http.disconnect"}
            whole = not event.get("more_body", False)
            return event

        try:
            yield receive_in_time
        finally:
            self._held -= held


async def refuse(send: Send, refusal: Refusal) -> None:
    """Respond with an error, as Connect writes errors."""
    body = json.dumps({"code": refusal.code, "message": refusal.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
