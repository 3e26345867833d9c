"""Throwaway roots over this machine's own, in namespaces of their own: what containers are made of.

A root is an overlay: it has all files of this machine, and what is written goes with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

START = 'mount -t tmpfs tmpfs "$0"; ip link set lo up; echo ready; exec cat'
TRIED = """
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
ip link set lo up
"""
WITH_US = ("setpriv", "--pdeathsig=KILL")
"""What stands before a command that must end with the tests, however they end."""

TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "ip")


@cache
def _works() -> bool:
    if os.geteuid() or not all(map(shutil.which, TOOLS)):
        return False
    line = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", TRIED]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    not _works(), reason="only root on Linux can make namespaces and overlays, and not everywhere"
)


@dataclass(frozen=True, kw_only=True)
class Root:
    """A root folder. `path` is where it is inside the namespaces."""

    roots: Roots
    path: str
    upper: str

    @property
    def seen(self) -> Path:
        """Where the tests see its files."""
        return self.roots.seen(self.path)

    def run(self, *words: str, folder: str = "/", **variables: str) -> str:
        """What a command prints in it, as root; it must end well."""
        env = (f"{key}={value}" for key, value in variables.items())
        command = ("chroot", self.path, "env", "-i", f"--chdir={folder}", *env, *words)
        return self.roots.run(*command)


class Roots:
    """Roots that nobody else sees, and a loopback of their own; they end with the block."""

    def __init__(self, pid: int, folder: str) -> None:
        """Take the namespaces of the process `pid`."""
        self._pid = pid
        self._folder = folder
        self._count = 0

    def inside(self, *words: str) -> list[str]:
        """The command line that runs a command in the namespaces."""
        spaces = (f"--{kind}=/proc/{self._pid}/ns/{name}" for kind, name in SPACES.items())
        return [*WITH_US, "nsenter", *spaces, "--", *words]

    def run(self, *words: str) -> str:
        """What a command prints in the namespaces; it must end well."""
        done = subprocess.run(
            self.inside(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout + done.stderr)
        return done.stdout

    def seen(self, path: str) -> Path:
        """Where the tests see a path of the namespaces."""
        return Path(f"/proc/{self._pid}/root{path}")

    def new_folder(self) -> str:
        """A new empty folder, which goes with the block."""
        self._count += 1
        path = f"{self._folder}/{self._count}"
        self.seen(path).mkdir()
        return path

    def new_root(self) -> Root:
        """A root like this machine's, which may be written."""
        path, upper, work = (self.new_folder() for _ in range(3))
        options = f"lowerdir=/,upperdir={upper},workdir={work}"
        self.run("mount", "-t", "overlay", "overlay", "-o", options, path)
        self.run("mount", "-t", "proc", "proc", f"{path}/proc")
        self.run("mount", "--rbind", "/dev", f"{path}/dev")
        root = Root(roots=self, path=path, upper=upper)
        # Any user may run this Python there, wherever it is.
        for parent in Path(sys.base_prefix).parents:
            place = root.seen / parent.relative_to("/")
            place.chmod(place.stat().st_mode | 0o055)
        return root


SPACES = {"mount": "mnt", "net": "net"}


@contextmanager
def new_roots(folder: Path) -> Generator[Roots]:
    """Namespaces, with a file system in memory at `folder`."""
    start = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", START]
    with subprocess.Popen(
        [*start, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        yield Roots(holder.pid, str(folder))
        # Its standard input closes now, and it ends; with it everything that was mounted.
