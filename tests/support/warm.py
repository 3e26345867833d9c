"""Commands in processes of their own that begin with the libraries loaded.

A command takes 160 ms of CPU, of which loading gRPC and the other libraries is 100, and the tests
run thousands. So one process loads them, and forks for each command, which loads the command line
itself. What a start does, and how it ends, is tested with commands that a shell starts.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, TextIO, cast

REQUEST_BYTES_MAX = 128 * 1024
"""A larger one, and one with other locales or another Python, needs a shell."""

_COLD = ("PYTHON", "LC_", "LANG", "GRPC_", "LD_")


def can_run(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a command would run as it does from a shell."""
    mine = {name: value for name, value in os.environ.items() if name.startswith(_COLD)}
    its = {name: value for name, value in environment.items() if name.startswith(_COLD)}
    return mine == its and len(_request(words, environment)) < REQUEST_BYTES_MAX


def run(
    module: str, words: Sequence[str], environment: Mapping[str, str], typed: str, seconds: float
) -> tuple[int, str, str]:
    """Run a module as a program; return its exit code and what it printed."""
    with ExitStack() as stack:
        ends = [os.pipe() for _ in range(3)]
        own = [os.fdopen(end, mode) for end, mode in zip(_own(ends), "wrr", strict=True)]
        for file in own:
            stack.enter_context(file)
        mine, its = messages()
        stack.enter_context(mine)
        fork((module, *words), environment, (ends[0][0], ends[1][1], ends[2][1], its.detach()))
        process_id = int(mine.recv(32))
        alarm = threading.Timer(seconds, os.kill, (process_id, signal.SIGKILL))
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
        status = int(mine.recv(32))
    return os.waitstatus_to_exitcode(status), printed[0], printed[1]


def _request(words: Sequence[str], environment: Mapping[str, str]) -> bytes:
    return json.dumps([list(words), dict(environment), os.getcwd()]).encode()


def fork(words: Sequence[str], environment: Mapping[str, str], theirs: Sequence[int]) -> None:
    """Start a module. It gets its standard files and the socket that reports, closed here."""
    socket.send_fds(_forker(), [_request(words, environment)], theirs)
    for end in theirs:
        os.close(end)


def messages() -> tuple[socket.socket, socket.socket]:
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
    mine, its = messages()
    command = [sys.executable, str(Path(__file__)), str(its.fileno())]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[its.fileno()])
    its.close()
    atexit.register(lambda: (mine.close(), process.wait()))
    return mine


def _load() -> None:
    for name in ("click", "dovetail.client", "rich.console", "rich.table"):
        importlib.import_module(name)


def _serve(requests: socket.socket) -> list[str]:
    """Fork for each request. Returns in the child, which is to run the module, its words."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The kernel forgets those that watch.
    while True:
        request, files, _, _ = socket.recv_fds(requests, REQUEST_BYTES_MAX, 4)
        if not request:
            sys.exit()
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _watch(request, files)
        for file in files:
            os.close(file)


def _watch(request: bytes, files: list[int]) -> list[str]:
    """Fork once more: the child returns, this process reports how it ends."""
    child = os.fork()
    if child:
        for file in files[:3]:
            os.close(file)
        os.write(files[3], b"%d" % child)
        os.write(files[3], b"%d" % os.waitpid(child, 0)[1])
        os._exit(0)
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


def _opened(file: int, mode: str, errors: str = "strict") -> TextIO:
    return cast(TextIO, open(file, mode, encoding="utf-8", errors=errors, closefd=False))


if __name__ == "__main__":
    _load()
    module, *rest = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)
