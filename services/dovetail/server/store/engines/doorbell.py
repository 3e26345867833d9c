"""The doorbell: wakes the other processes on this host that use the same SQLite file.

Each process listens on a datagram socket in a folder beside the store; after a commit a datagram
with the names of the inboxes that changed goes to every other socket there. Nothing waits for a
doorbell and nothing depends on it: the table is the truth, a lost ring costs latency only.
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
from dovetail.server.store.engines.wakeups import ANY, WakeKey, decode_ring, encode_ring

SOCKET_PATH_BYTES_MAX = 100
SETTLED_NANOS = 100_000_000
DATAGRAM_BYTES_MAX = 8_000


class Doorbell:
    """This process's socket, and how to find those of the others."""

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
                self._missed.add(peer)  # its queue is full: the next ring says "any"
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(OSError):
                    os.unlink(path)  # its process has died
            except OSError:
                continue

    def wait(self, seconds: float) -> list[list[WakeKey] | None]:
        """The rings that came, waiting for the first; None stands for "any inbox"."""
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
            settled = time.time_ns() - changed > SETTLED_NANOS  # two changes may bear one time
            if changed != self._peers_time or not settled:
                self._peers = [name for name in os.listdir(self._place) if name != self._path.name]
                self._peers_time = changed
        except OSError:
            self._peers = []
        return self._peers


def is_anyone_listening(store: Path) -> bool:
    """Whether a process of this store lives, as far as doorbells tell."""
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
    """Beside the store; where that makes too long a name for a socket, in a folder for such.

    It is the same for all processes of the store, whatever each takes for its temporary folder.
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
