"""A systemd of our own as the first process of a root: no machine, but its real service manager."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.roots import Root

MANAGER = Path("/lib/systemd/systemd")
EMPTY = "[Unit]\nDefaultDependencies=no\n"
SECONDS_MAX = 30
START = """
set -e
cd "$ROOT"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
exec chroot . env container=other /lib/systemd/systemd --unit=empty.target --show-status=no
"""


def _control_groups() -> Path | None:
    """Where the second version of control groups is mounted."""
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, kind, *_ = line.split()
            if kind == "cgroup2" and os.access(place, os.W_OK):
                return Path(place)
    return None


needs_systemd = pytest.mark.skipif(
    not (MANAGER.exists() and shutil.which("systemctl") and _control_groups()),
    reason="there is no systemd here, or no second version of control groups to write to",
)


@dataclass(frozen=True, kw_only=True)
class Manager:
    """A running service manager."""

    root: Root
    pid: int

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on its machine, as root."""
        spaces = ("--mount", "--pid", "--net", "--root")
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", *spaces, "--", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def control(self, *words: str) -> str:
        """What systemctl prints; it must end well."""
        done = self.run("systemctl", *words)
        if done.returncode:
            state = self.run("systemctl", "status", "--no-pager", *words[1:]).stdout
            raise AssertionError(done.stdout + done.stderr + state)
        return done.stdout.strip()

    def shows(self, unit: str, what: str) -> str:
        """A property of a unit."""
        return self.control("show", unit, f"--property={what}", "--value")


@contextmanager
def manager(root: Root) -> Generator[Manager]:
    """Run systemd in a root, with nothing of the machine's own units."""
    units = root.seen / "etc/systemd/system"
    for name in ("empty", "sysinit", "basic", "network-online", "shutdown"):
        with suppress(FileNotFoundError):
            (units / f"{name}.target").unlink()
        (units / f"{name}.target").write_text(EMPTY)
    groups = _control_groups()
    assert groups is not None
    group = groups / f"dovetail-test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    join = f'echo $$ > "{group}/cgroup.procs"; exec "$@"'
    spaces = ("--mount", "--pid", "--cgroup", "--ipc", "--uts", "--fork", "--kill-child")
    inner = ("unshare", *spaces, "env", f"ROOT={root.path}", "sh", "-c", START)
    line = root.roots.inside("sh", "-c", join, "sh", *inner)
    try:
        with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            try:
                yield _ready(root, process.pid)
            finally:
                process.kill()
    finally:
        _remove(group)


def _ready(root: Root, parent: int) -> Manager:
    """Wait until it takes commands."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        if children:
            found = Manager(root=root, pid=int(children[0]))
            if found.run("systemctl", "is-active", "empty.target").stdout == "active\n":
                return found
    raise TimeoutError("systemd does not answer")


def _remove(group: Path) -> None:
    """Remove control groups whose processes have all been killed."""
    deadline = time.monotonic() + SECONDS_MAX
    while group.exists():
        with suppress(OSError):
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{group} cannot be removed")
