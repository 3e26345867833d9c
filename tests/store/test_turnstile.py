"""The turnstile: writers of all processes take turns, and the dead give way."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dovetail.server.store.turnstile import Turnstile

HOLD = """
import sys, time
from pathlib import Path
from dovetail.server.store.turnstile import Turnstile
turnstile = Turnstile(Path(sys.argv[1]))
with turnstile.pass_through():
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@contextmanager
def turnstile(store: Path) -> Generator[Turnstile]:
    made = Turnstile(store)
    try:
        yield made
    finally:
        made.close()


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def gate(store: Path) -> Path:
    return store.with_name("store.db-gate")


def await_one_in_line(store: Path) -> None:
    """Wait until somebody stands behind the gate, next in line."""
    while not is_locked(gate(store)):
        pass


def passing(store: Path, name: str, order: list[str]) -> threading.Thread:
    """Somebody who passes once, through a turnstile of its own, as another process would."""

    def run() -> None:
        with turnstile(store) as own, own.pass_through():
            order.append(name)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def holding(store: Path) -> subprocess.Popen[str]:
    """A process that asks for the writer's place and keeps it."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store)], stdout=subprocess.PIPE, text=True
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_one_passes_at_a_time(store: Path) -> None:
    order: list[str] = []
    with turnstile(store) as mine:
        with mine.pass_through():
            thread = passing(store, "other", order)
            await_one_in_line(store)
            order.append("mine")
        thread.join()
    assert order == ["mine", "other"]


def test_who_waits_is_before_who_comes_back(store: Path) -> None:
    order: list[str] = []
    with turnstile(store) as greedy:
        for turn in range(20):
            with greedy.pass_through():
                thread = passing(store, f"other {turn}", order)
                await_one_in_line(store)
            with greedy.pass_through():
                order.append(f"greedy {turn}")
            thread.join()
    assert order == [f"{who} {turn}" for turn in range(20) for who in ("other", "greedy")]


def test_the_place_of_a_killed_writer_is_free(store: Path) -> None:
    process = holding(store)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    order: list[str] = []
    thread = passing(store, "next", order)
    await_one_in_line(store)
    assert order == []
    kill(process)
    thread.join()
    assert order == ["next"]


def test_the_place_in_line_of_a_killed_process_is_free(store: Path) -> None:
    order: list[str] = []
    with turnstile(store) as mine:
        with mine.pass_through():
            process = holding(store)
            await_one_in_line(store)
            thread = passing(store, "next", order)
            kill(process)
            await_one_in_line(store)
        thread.join()
    assert order == ["next"]
