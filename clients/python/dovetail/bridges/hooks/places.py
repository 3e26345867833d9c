"""Where the watchers of this user are found: private folders, and from which call to which.

    dovetail/                   in $XDG_RUNTIME_DIR, or /tmp/dovetail-watch-UID; mode 0700
        calls/KEY               the name of a watcher's folder, for hooks with the same settings
        calls/KEY.arming        when a hook last started a watcher
        FOLDER/lock             locked by the one watcher of an agent, with its process id
        FOLDER/socket           where hooks ask it
        FOLDER/memory.json      what it told
        FOLDER/host-arms        the host starts watchers itself

A folder belongs to an agent at a pair of servers, as the settings name them. Reading the settings
takes longer than a hook may, so a hook looks up the folder under a key of what they come from: its
environment, and the times of the files. The watcher, which reads the settings, writes it there.
"""

from __future__ import annotations

import os
from _blake2 import blake2b  # hashlib takes 5 ms to load.
from stat import S_IMODE, S_ISDIR, S_ISREG

SOCKET, LOCK, MEMORY, HOST_ARMS = "socket", "lock", "memory.json", "host-arms"
CALLS, ARMING = "calls", ".arming"

VARIABLES = (
    "DOVETAIL_AGENT",
    "DOVETAIL_TEAM",
    "DOVETAIL_MESSAGING",
    "DOVETAIL_TASKS",
    "DOVETAIL_TOKEN",
    "DOVETAIL_TOKEN_FILE",
    "DOVETAIL_PROFILE",
    "DOVETAIL_CONFIG",
)
"""The variables that decide which agent at which servers a command speaks for."""

FILE_BYTES_MAX = 256
SOCKET_PATH_BYTES_MAX = 100
"""The kernel takes 107 bytes on Linux and 103 on macOS."""


def root() -> str:
    """The folder of all watchers of this user. Raises OSError if others could reach into it."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    is_usable = base.startswith("/") and (
        os.path.isdir("/proc/self/fd") or len(os.fsencode(base)) < SOCKET_PATH_BYTES_MAX // 2
    )
    if is_usable and os.path.isdir(base):
        return private(f"{base}/dovetail")
    return private(f"/tmp/dovetail-watch-{os.getuid()}")


def private(folder: str) -> str:
    """A folder that only this user can reach into; made where it is missing. Raises OSError."""
    try:  # noqa: SIM105 - contextlib takes time to load.
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    seen = os.lstat(folder)
    if not S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or S_IMODE(seen.st_mode) & 0o077:
        raise PermissionError(f"{folder} must be a folder of this user alone (mode 0700)")
    return folder


def key_of(*parts: str) -> str:
    """A name for a file, which only these texts have."""
    text = "\0".join(parts).encode(errors="surrogateescape")
    return blake2b(text, digest_size=12).hexdigest()


def call_key(agent: str = "", team: str = "") -> str:
    """The key of what the settings of a command come from; `agent` and `team` are its options."""
    named = {"DOVETAIL_AGENT": agent, "DOVETAIL_TEAM": team}
    words = [named.get(name) or os.environ.get(name, "") for name in VARIABLES]
    return key_of(*words, *_files(os.environ.get("DOVETAIL_CONFIG", "")))


def folder_of_call(key: str) -> str:
    """The folder of the watcher that this call would ask; empty where none has run yet."""
    top = root()
    name = read_line(f"{top}/{CALLS}/{key}")
    return f"{top}/{name}" if name.isalnum() else ""


def read_line(path: str) -> str:
    """What a small file says; empty where it is missing."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(number, FILE_BYTES_MAX).decode(errors="replace").strip()
    finally:
        os.close(number)


class Folder:
    """An open folder, with names in it that are short enough for a socket's address.

    If the system has /proc, a path through the folder's descriptor is short, however long its own.
    """

    def __init__(self, path: str) -> None:
        """Open a folder that exists."""
        self._path = path
        self._number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def name(self, file: str) -> str:
        """A path of a file in it, while it is open."""
        short = f"/proc/self/fd/{self._number}"
        return f"{short if os.path.isdir(short) else self._path}/{file}"

    def close(self) -> None:
        """Close it."""
        os.close(self._number)


def _files(named: str) -> list[str]:
    """Which configuration there is: the state of each file that may change the settings."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    folder = f"{home}/dovetail"
    profile = os.environ.get("DOVETAIL_PROFILE") or read_line(f"{folder}/current-profile")
    return [*map(_state, (named or f"{folder}/config.toml", f"{folder}/profiles/{profile}.toml"))]


def _state(path: str) -> str:
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    # The times of /dev/null, which stands for no file, change.
    return f"{path} {seen.st_mtime_ns} {seen.st_size}" if S_ISREG(seen.st_mode) else ""
