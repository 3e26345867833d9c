"""One address for several processes: their parent reserves it, and they share it (SO_REUSEPORT).

The kernel gives each new connection to one of the sockets that listen there. The parent's socket
never listens, so it gets none; it keeps other servers away, also while no process listens.

Why no two servers get one address: a parent binds without SO_REUSEPORT, which fails beside any
other socket that is bound there, and allows sharing only afterwards. A server of one process never
shares. So only what a parent starts can listen beside it, and only as the same user.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from dovetail.server.config import ConfigError

ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"
NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Faults of an address that this machine does not have, as ::1 of localhost without IPv6."""


@contextmanager
def reserved(listen: str) -> Generator[str]:
    """Reserve HOST:PORT for processes of ours; the address with its port, if it was 0.

    Raises ConfigError if another server has it.
    """
    name, _, number = listen.rpartition(":")
    port = int(number)
    bound: list[socket.socket] = []
    with ExitStack() as opened:
        for address in _addresses(name.strip("[]")):
            try:
                bound.append(opened.enter_context(_bound(address, port)))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise taken(listen) from error
            else:
                port = bound[0].getsockname()[1]  # Other addresses of a name get the same one.
        if not bound:
            raise taken(listen)
        yield f"{name}:{port}"


def taken(listen: str) -> ConfigError:
    """The error for an address at which this server cannot listen."""
    return ConfigError(
        f"cannot listen on {listen}: the address is in use or is not this machine's."
        " Stop what listens there, or choose another: --listen HOST:PORT (port 0: any free one)"
    )


def check_shareable(listen: str) -> None:
    """Raise ConfigError if processes cannot share an address."""
    if listen.startswith("unix:"):
        raise ConfigError(
            f"--workers needs an address that processes can share, and {listen} is none:"
            " --listen HOST:PORT, or --workers 1"
        )
    if sys.platform != "linux":  # Others give all connections to one of the processes.
        raise ConfigError("--workers above 1 needs Linux, which spreads connections: --workers 1")


def _addresses(name: str) -> list[tuple[Any, ...]]:
    """The addresses at which gRPC listens for a name; both wildcards for either of them."""
    hosts = (ANY_IPV6, ANY_IPV4) if name in (ANY_IPV6, ANY_IPV4) else (name,)
    with suppress(OSError):
        found = [socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) for host in hosts]
        return list(dict.fromkeys(address for each in found for *_, address in each))
    return []


def _bound(address: tuple[Any, ...], port: int) -> socket.socket:
    """A socket that is bound and does not listen. Raises OSError if the address is taken."""
    host, _, *scope = address
    family = socket.AF_INET6 if scope else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            # Both wildcards are bound, each for its own family.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections of an earlier server must not count. Two sockets that both have this option
        # could be bound side by side until one listens, so it is taken back at once.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port, *scope))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        bound.close()
        raise
    return bound
