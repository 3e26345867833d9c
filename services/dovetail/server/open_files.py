"""File descriptors: as many as the system allows, and the error when they are used up.

Each connection of a client takes one. What the server itself needs is open before the first one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource

DESCRIPTORS_MIN = 256
"""With fewer, gRPC may end the process without a message."""

DESCRIPTORS_WANTED = 65_536
USED_UP = frozenset({errno.EMFILE, errno.ENFILE})


class TooFewDescriptorsError(Exception):
    """The system allows too few; the text says what to do."""


def raise_limit() -> None:
    """Raise this process's limit to what the system allows, at most DESCRIPTORS_WANTED."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # Some systems allow less than they say.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    limit = _limit()
    if limit < DESCRIPTORS_MIN:
        raise TooFewDescriptorsError(
            f"this process may open {limit} files, and a server needs {DESCRIPTORS_MIN}:"
            f" {_how_to_raise()}"
        )


def says_used_up(error: BaseException) -> bool:
    """Whether an error says that no descriptor is left."""
    return isinstance(error, OSError) and error.errno in USED_UP


def are_used_up() -> bool:
    """Whether nothing can be opened now: databases then fail without saying why."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return says_used_up(error)
    return False


def used_up_text() -> str:
    """The message for people."""
    return (
        f"the server has too many open files (its limit is {_limit()}, and each connection takes"
        f" one). Let it have more: {_how_to_raise()}"
    )


def _how_to_raise() -> str:
    return (
        f"ulimit -n {DESCRIPTORS_WANTED}, or LimitNOFILE={DESCRIPTORS_WANTED} in its systemd unit"
    )


def _limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_WANTED if soft == resource.RLIM_INFINITY else soft
