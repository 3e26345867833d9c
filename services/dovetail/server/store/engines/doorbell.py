"""The doorbell: wakes the other processes on this host that use the same SQLite file.

Each process listens on a datagram socket in a folder beside the store; after a commit a datagram
with the names of the inboxes that changed goes to every other socket there. Nothing waits for a
doorbell and nothing depends on it: the table is the truth, and a lost ring costs latency only: up
to 250 ms, until the next look at the file (`sqlite.POLL_SECONDS`).

Who owns what: the writer's thread `_peers`, `_peers_time` and `_missed`; the listener's thread the
selector and the receiving socket. `_bell` only sends, which any thread may do. `close` comes when
both threads have ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import socket
import time
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from dovetail.server.store.engines.locations import Folder
from dovetail.server.store.engines.wakeups import ANY, decode_ring, encode_ring
from dovetail.server.store.rings import WakeKey

# The kernel takes 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_BYTES_MAX = 100

# Chosen, well above the steps in which Linux stamps files (1 to 10 ms). On a file system that keeps
# whole seconds a new process may stay unseen until the folder changes again: it then hears of
# commits by its own looks at the file.
SETTLED_NANOS = 100_000_000

# Chosen: some 200 names. Sender and receiver use the same number, so no datagram is cut.
DATAGRAM_BYTES_MAX = 8_000


class Doorbell:
    """This process's socket, and how to find those of the other processes."""

    def __init__(self, store: Path) -> None:
        """Listen for rings about the store."""
        self._place = _place(store)
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = Folder(self._place)
        self._path = self._place / uuid.uuid4().hex[:12]
        self._socket = _nonblocking_socket()
        self._socket.bind(self._folder.short_name(self._path.name))
        self._bell = _nonblocking_socket()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._peers: list[str] = []
        self._peers_time = 0
        # Processes that lost a ring, so that its names are gone: the next one says "any".
        self._missed: set[str] = set()

    def ring_others(self, inboxes: Iterable[WakeKey]) -> None:
        """Send the names of the inboxes, or "any", to every other process."""
        datagram = encode_ring(inboxes, DATAGRAM_BYTES_MAX).encode()
        for peer in self._others():
            path = self._folder.short_name(peer)
            try:
                self._bell.sendto(ANY.encode() if peer in self._missed else datagram, path)
                self._missed.discard(peer)
            except BlockingIOError:
                # Its queue is full: it is busy or stopped, and the writer must not wait for it.
                self._missed.add(peer)
            except (ConnectionRefusedError, FileNotFoundError):
                # Its process has died: a socket's name stays, and only its owner can listen there.
                with contextlib.suppress(OSError):
                    os.unlink(path)
            except OSError:
                continue

    def wait(self, seconds: float) -> list[list[WakeKey] | None]:
        """Wait for rings and return all that have come; None stands for "any inbox"."""
        if not self._selector.select(seconds):
            return []
        rings: list[list[WakeKey] | None] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                rings.append(decode_ring(self._socket.recv(DATAGRAM_BYTES_MAX)))
        return rings

    def ring_here(self) -> None:
        """End this process's own wait."""
        with contextlib.suppress(OSError):
            self._bell.sendto(ANY.encode(), self._folder.short_name(self._path.name))

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            os.unlink(self._folder.short_name(self._path.name))
        self._selector.close()
        self._socket.close()
        self._bell.close()
        self._folder.close()

    def _others(self) -> list[str]:
        try:
            changed = os.stat(self._place).st_mtime_ns
            # The list is kept while the folder does not change. Two changes can have one time:
            # until that time is past for sure, the list is read again at each ring.
            settled = time.time_ns() - changed > SETTLED_NANOS
            if changed != self._peers_time or not settled:
                self._peers = [name for name in os.listdir(self._place) if name != self._path.name]
                self._peers_time = changed
        except OSError:
            self._peers = []
        return self._peers


def is_anyone_listening(store: Path) -> bool:
    """Whether a process uses this store, as far as doorbells show."""
    place = _place(store)
    if not place.is_dir():
        return False
    with closing(Folder(place)) as folder, _nonblocking_socket() as bell:
        return any(_rings(bell, folder.short_name(name)) for name in os.listdir(place))


def _rings(bell: socket.socket, path: str) -> bool:
    try:
        bell.sendto(ANY.encode(), path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _place(store: Path) -> Path:
    """The folder of sockets: beside the store, or under /tmp if that path is too long for a socket.

    All processes of the store must find the same one, so it does not depend on TMPDIR.
    """
    beside = store.with_name(store.name + "-bells")
    if Path("/proc/self/fd").exists() or len(os.fsencode(beside)) + 13 <= SOCKET_PATH_BYTES_MAX:
        return beside
    name = hashlib.sha256(os.fsencode(store)).hexdigest()[:16]
    return Path("/tmp", f"dovetail-{os.getuid()}", name)


def _nonblocking_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made
