"""The page: files of the package, and what the page must know of its servers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from importlib.resources import files

from dovetail.bridges.web.guard import Application, Receive, Refusal, Scope, Send, refuse

KINDS = {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "favicon.svg": "image/svg+xml",
}
CONFIG = "/config.json"


@dataclass(frozen=True, kw_only=True)
class _File:
    content: bytes
    kind: str
    tag: str


def _read(name: str, kind: str) -> _File:
    content = files("dovetail.bridges.web").joinpath("static", name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return _File(content=content, kind=kind, tag=tag)


class Site:
    """The page at `/`, its files, its settings at `/config.json`; RPCs go on to `calls`."""

    def __init__(
        self,
        calls: Application,
        paths: frozenset[str],
        kinds: Collection[str],
        config: Callable[[], Awaitable[dict[str, object]]],
    ) -> None:
        """`calls` has these paths, and takes content of these kinds.

        `config` is asked each time that a page is opened.
        """
        self._kinds = kinds
        self._calls = calls
        self._paths = paths
        self._config = config
        self._files = {f"/{name}": _read(name, kind) for name, kind in KINDS.items()}
        self._files["/"] = self._files["/index.html"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope.get("path", "")
        if path in self._paths:
            await self._call(scope, receive, send)
        elif path != CONFIG and path not in self._files:
            await refuse(
                send, Refusal(status=404, code="not_found", message="there is no such page")
            )
        elif scope["method"] not in ("GET", "HEAD"):
            await refuse(send, _not_allowed("GET"))
        elif path == CONFIG:
            content = json.dumps(await self._config()).encode()
            await _respond(scope, send, _File(content=content, kind="application/json", tag=""))
        else:
            await _respond(scope, send, self._files[path])

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        kinds = [value for key, value in scope.get("headers", ()) if key == b"content-type"]
        if scope["method"] != "POST":
            await refuse(send, _not_allowed("POST"))
        elif _kind(kinds) not in self._kinds:
            known = ", ".join(self._kinds)
            message = f"the content-type must be one of {known}"
            await refuse(send, Refusal(status=415, code="unimplemented", message=message))
        else:
            await self._calls(scope, receive, send)


def _kind(values: list[bytes]) -> str:
    """The type of content that a request says it has; empty if it does not say one."""
    return values[0].decode("latin-1").partition(";")[0].strip().lower() if len(values) == 1 else ""


def _not_allowed(method: str) -> Refusal:
    return Refusal(status=405, code="unimplemented", message=f"only {method} works here")


async def _respond(scope: Scope, send: Send, file: _File) -> None:
    is_known = any(
        key == b"if-none-match" and value.decode("latin-1") == file.tag
        for key, value in scope["headers"]
    )
    body = b"" if is_known or scope["method"] == "HEAD" else file.content
    headers = [(b"content-type", file.kind.encode())]
    if file.tag:  # Asked for each time, and sent if it has changed.
        headers += [(b"etag", file.tag.encode()), (b"cache-control", b"no-cache")]
    if not is_known:
        headers.append((b"content-length", str(len(file.content)).encode()))
    await send(
        {"type": "http.response.start", "status": 304 if is_known else 200, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
