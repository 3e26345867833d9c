"""PostgreSQL servers of the tests' own, and empty databases in them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

SWITCH = Path(__file__).with_name("postgres_switch.py")


class Postgres:
    """A real PostgreSQL server over a folder that is empty at first: start it, stop it."""

    def __init__(self, folder: Path) -> None:
        """Keep everything in `folder`."""
        self._data = folder / "data"
        self._runtime = folder / "runtime"
        self._runtime.mkdir(mode=0o700)
        self.url = ""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.url = self._switch("on")

    def stop(self) -> None:
        """Stop it; its clients are hung up on."""
        self._switch("off")

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Have all its processes stand still inside the block, as on a machine that hangs."""
        first = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        pids = [first, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _switch(self, way: str) -> str:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self._runtime)}
        command = [sys.executable, str(SWITCH), way, str(self._data)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode().strip()


@contextmanager
def running_postgres(folder: Path) -> Generator[Postgres]:
    """A PostgreSQL server that runs inside the block."""
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def new_postgres() -> Generator[Postgres]:
    """The same in a folder of its own."""
    # Not in pytest's folder: another run closes that to the server's own user.
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-postgres-") as folder,
        running_postgres(Path(folder)) as server,
    ):
        yield server


@contextmanager
def empty_database(postgres: str, options: str = "") -> Generator[str]:
    """A new, empty database of a server, made with these options."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}".encode())
    yield postgres.replace("/postgres?", f"/{name}?", 1)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
