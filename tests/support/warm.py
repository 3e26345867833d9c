"""Commands and servers in processes of their own that begin with their code loaded.

A command takes 160 ms of CPU, of which all but 30 is to load code, a server takes 700, and tests
start thousands. So one process loads it, and forks for each. What a start does, which modules it
loads, and how it ends, is tested with commands that a shell starts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import IO, NoReturn, TextIO, cast

REQUEST_BYTES_MAX = 128 * 1024
"""A larger one, and one with other locales or another Python, needs a shell."""

LOADED = (
    *("rich.console", "rich.table", "dovetail.cli.main", "dovetail.cli.commands"),
    *("dovetail.cli.options", "dovetail.cli.output", "dovetail.cli.overview"),
    *("dovetail.cli.servers", "dovetail.server.main"),
)
"""What is loaded before: modules, and packages with all that is directly in them."""

_COLD = ("PYTHON", "LC_", "LANG", "GRPC_", "LD_")


def can_run(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command would run as it does from a shell."""
    its = {name: value for name, value in environment.items() if name.startswith(_COLD)}
    return its == _variables() and len(_request(words, environment)) < REQUEST_BYTES_MAX


class Process:
    """A command that runs, with what `subprocess.Popen` offers to end it and to wait for it."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], files: Sequence[int]
    ) -> None:
        """Start a module, its words. It gets its three standard files, closed here."""
        self._reports, its = _messages()
        socket.send_fds(_forker(), [_request(words, environment)], [*files, its.fileno()])
        its.close()
        for file in files:
            os.close(file)
        self.pid = int(self._reports.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._reports], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a forked command", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(self._reports.recv(32)))
            self._reports.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


def run(
    module: str, words: Sequence[str], environment: Mapping[str, str], typed: str, seconds: float
) -> tuple[int, str, str]:
    """Run a module as a program; return its exit code and what it printed."""
    with ExitStack() as stack:
        ends = [os.pipe() for _ in range(3)]
        own = [os.fdopen(end, mode) for end, mode in zip(_own(ends), "wrr", strict=True)]
        for file in own:
            stack.enter_context(file)
        process = Process((module, *words), environment, (ends[0][0], ends[1][1], ends[2][1]))
        alarm = threading.Timer(seconds, os.kill, (process.pid, signal.SIGKILL))
        alarm.start()
        stack.callback(alarm.cancel)
        printed: list[str] = ["", ""]
        readers = [
            threading.Thread(target=_read, args=(file, printed, at))
            for at, file in enumerate(own[1:])
        ]
        for reader in readers:
            reader.start()
        _write(own[0], typed)
        for reader in readers:
            reader.join()
        exit_code = process.wait()
    return exit_code, printed[0], printed[1]


@cache
def _variables() -> dict[str, str]:
    """What the process that forks was started with, or will be, of what decides how code loads."""
    return {name: value for name, value in os.environ.items() if name.startswith(_COLD)}


def _request(words: Sequence[str], environment: Mapping[str, str]) -> bytes:
    return json.dumps([list(words), dict(environment), os.getcwd()]).encode()


def _messages() -> tuple[socket.socket, socket.socket]:
    """Two ends between which a message is read as it was sent."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _own(ends: list[tuple[int, int]]) -> list[int]:
    return [ends[0][1], ends[1][0], ends[2][0]]


def _read(file: IO[str], printed: list[str], at: int) -> None:
    printed[at] = file.read()


def _write(file: IO[str], text: str) -> None:
    try:
        file.write(text)
        file.close()
    except BrokenPipeError:
        pass  # It did not read all of it.


@cache
def _forker() -> socket.socket:
    """The socket of the process that forks, which ends with this one."""
    mine, its = _messages()
    command = [sys.executable, str(Path(__file__)), str(its.fileno())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])
    its.close()
    atexit.register(lambda: (mine.close(), process.wait()))
    return mine


def _load(name: str) -> None:
    """Import a module, and those in it where it is a package."""
    module = importlib.import_module(name)
    for each in pkgutil.iter_modules(getattr(module, "__path__", ())):
        importlib.import_module(f"{name}.{each.name}")


def _serve(requests: socket.socket) -> list[str]:
    """Fork for each request, and report how each child ends.

    Returns in the child, which is to run the module, its words.
    """
    reports: dict[int, int] = {}
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 4_096)
            _report_ended(reports)
        if requests not in ready:
            continue
        request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 4)
        if not request:
            sys.exit()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for file in (woken, wake, *reports.values()):
                os.close(file)
            requests.close()
            return _begin(request, files)
        for file in files[:3]:
            os.close(file)
        reports[child] = files[3]
        os.write(files[3], b"%d" % child)


def _report_ended(reports: dict[int, int]) -> None:
    """Tell of children that have ended."""
    while reports:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        with suppress(BrokenPipeError):  # Nobody waits for it any more.
            os.write(reports[child], b"%d" % status)
        os.close(reports.pop(child))


def _begin(request: bytes, files: list[int]) -> list[str]:
    """Be a new process with these files; return the words of its command."""
    words, environment, folder = json.loads(request)
    for target, file in enumerate(files[:3]):
        os.dup2(file, target)
    for file in files:
        os.close(file)
    # What the interpreter made belongs to other files, of another kind.
    sys.stdin = _opened(0, "r")
    sys.stdout = _opened(1, "w")
    sys.stderr = _opened(2, "w", errors="backslashreplace")
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    time.tzset()
    return words


def _end(code: object) -> NoReturn:
    """End as the interpreter does, but for taking all that is loaded apart.

    That would copy each page of memory that it has from the process that forked it, which takes
    longer than most commands.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # Full, or closed by the command itself.
        code = code or (0 if sys.stdout.closed else 120)
    os._exit((code or 0) & 0xFF)


def _opened(file: int, mode: str, errors: str = "strict") -> TextIO:
    return cast(TextIO, open(file, mode, encoding="utf-8", errors=errors, closefd=False))


if __name__ == "__main__":
    for name in LOADED:
        _load(name)
    gc.collect()
    gc.freeze()  # No look at it in a child copies it.
    module, *rest = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[1:] = rest
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        _end(ended.code)
    _end(None)
