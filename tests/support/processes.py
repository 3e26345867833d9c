"""Servers as real processes, by the real command line."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support import warm

PORTS = range(20_000, 32_000)
"""Below those that systems give to whoever asks for any: no connection takes one of these."""

_taken: list[TextIO] = []
"""Locked files, one for each port that this process was given: other processes get others."""


def free_port() -> int:
    """A port of loopback that nobody listens on, and that is given to nobody else."""
    folder = Path(tempfile.gettempdir()) / "dovetail-test-ports"
    folder.mkdir(exist_ok=True)
    while True:
        port = random.SystemRandom().choice(PORTS)
        file = (folder / str(port)).open("w")
        with suppress(OSError), socket.socket() as probe:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.bind(("127.0.0.1", port))
            _taken.append(file)
            return port
        file.close()


@dataclass
class ServerProcess:
    """One `dovetail serve`: start it, kill it, start it again on the same port.

    `options` are more words of its command line, `environment` more of its variables; with
    `credentials` it is called over TLS. `python` runs it: that of another checkout, for example.
    Unless `is_cold`, it begins with its code loaded, if nothing else differs by that.
    """

    service: str
    store_url: str
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | warm.Process | None = None
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    credentials: grpc.ChannelCredentials | None = None
    python: str = sys.executable
    is_cold: bool = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> None:
        """Start it, and wait until it says that it serves."""
        command = ["dovetail.cli", "serve", self.service]
        command += ["--store", self.store_url, "--listen", self.address, *self.options]
        with self.log.open("ab") as log:
            self.process = self._fork_or_run(command, {**os.environ, **self.environment}, log)
        if wait:
            self.wait_until_serving()

    def _fork_or_run(
        self, command: list[str], environment: dict[str, str], log: BinaryIO
    ) -> subprocess.Popen[bytes] | warm.Process:
        nowhere = subprocess.DEVNULL
        if self.is_cold or self.python != sys.executable or not warm.can_run(command, environment):
            command = [self.python, "-m", *command]
            return subprocess.Popen(command, stdin=nowhere, stdout=log, stderr=log, env=environment)
        files = [os.open(os.devnull, os.O_RDONLY), os.dup(log.fileno()), os.dup(log.fileno())]
        return warm.Process(command, environment, files)

    def wait_until_serving(self, seconds: float = 30.0) -> None:
        """Wait for SERVING; fail with its log when it ends or does not come up."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with self._channel() as channel:
                try:
                    answer = cast(Any, health_pb2_grpc.HealthStub(channel)).Check(
                        health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True
                    )
                except grpc.RpcError:
                    continue
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        raise AssertionError(f"{self.service} did not come up:\n{self.log.read_text()}")

    def _channel(self) -> grpc.Channel:
        if self.credentials:
            return grpc.secure_channel(self.address, self.credentials)
        return grpc.insecure_channel(self.address)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end."""
        assert self.process is not None
        return self.process.wait(seconds)

    def __enter__(self) -> ServerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


@contextmanager
def process_pair(
    store_url: str,
    logs: Path,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> Generator[tuple[ServerProcess, ServerProcess]]:
    """Messaging and tasks over one store, started at once; killed at the end if they still run.

    `options` and `credentials` are both servers', `environment` is that of tasks alone.
    """
    messaging = ServerProcess("messaging", store_url, logs / "messaging.log")
    tasks = ServerProcess("tasks", store_url, logs / "tasks.log", environment=environment or {})
    try:
        for each in (messaging, tasks):
            each.options, each.credentials = options, credentials
            each.start(wait=False)
        for each in (messaging, tasks):
            each.wait_until_serving()
        yield messaging, tasks
    finally:
        for each in (messaging, tasks):
            each.__exit__()
