"""One call of a hook: what the host says goes to the watcher, and its answer to the host.

Where no watcher runs, one is started that answers the next hooks, and nothing is printed. No error
ends a turn of the host: a hook that fails prints nothing, and its exit code is 0.
"""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SHUT_WR, SOCK_STREAM, socket  # `socket` takes 10 ms to load.
from time import time

from dovetail.bridges.hooks import places

HOSTS = ("claude", "codex", "cursor", "gemini")
PRINTED_FOR_NOTHING = {"codex": "{}"}

SAID_BYTES_MAX = 256 * 1024
"""What a host says may hold all that a tool printed; the beginning names the session."""

ANSWER_BYTES_MAX = 64 * 1024
ANSWER_SECONDS_MAX = 2.0
ARMING_SECONDS = 10.0
"""How often a hook starts a watcher: one that cannot run ends at once."""

BY_HOOK = "--for-hooks"


def run(host: str, event: str, agent: str = "", team: str = "") -> None:
    """Make one call. `agent` and `team` are the options of the command line."""
    try:
        said = _read()
        key = places.call_key(agent, team)
        answer = _ask(key, f"{host} {event}\n".encode() + said)
        if answer is None:
            answer = PRINTED_FOR_NOTHING.get(host, "").encode()
            _arm(key, agent, team)
        if answer:
            os.write(1, answer + b"\n")
    except OSError as error:
        print(f"dovetail hook: {error}", file=sys.stderr)


def _read() -> bytes:
    """What the host says on standard input; all is read, the beginning is kept."""
    if os.isatty(0):
        return b""
    kept = b""
    while chunk := os.read(0, SAID_BYTES_MAX):
        if len(kept) < SAID_BYTES_MAX:
            kept += chunk
    return kept[:SAID_BYTES_MAX]


def _ask(key: str, request: bytes) -> bytes | None:
    """The watcher's answer; None where none runs."""
    place = places.folder_of_call(key)
    try:
        folder = places.Folder(place) if place else None
    except FileNotFoundError:
        folder = None
    if folder is None:
        return None
    connection = socket(AF_UNIX, SOCK_STREAM)
    connection.settimeout(ANSWER_SECONDS_MAX)
    try:
        connection.connect(folder.name(places.SOCKET))
        connection.sendall(request)
        connection.shutdown(SHUT_WR)
        return _received(connection)
    except TimeoutError:  # It runs, and is stopped or busy: another one would not help.
        return b""
    except OSError:
        return None
    finally:
        connection.close()
        folder.close()


def _received(connection: socket) -> bytes:
    """All that comes until the end. An answer is short: a watcher bounds it."""
    answer = b""
    while chunk := connection.recv(ANSWER_BYTES_MAX):
        answer += chunk
    return answer


def _arm(key: str, agent: str, team: str) -> None:
    """Start a watcher for the next hooks, unless one was started just now."""
    calls = places.private(f"{places.root()}/{places.CALLS}")
    mark = f"{calls}/{key}{places.ARMING}"
    try:
        if time() - os.stat(mark).st_mtime < ARMING_SECONDS:
            return
    except FileNotFoundError:
        pass
    os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.utime(mark)
    words = [sys.executable, "-m", "dovetail.cli", "watch", BY_HOOK]
    words += ["--as", agent] if agent else []
    words += ["--team", team] if team else []
    nowhere = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
    os.posix_spawn(sys.executable, words, os.environ, file_actions=nowhere, setsid=True)
