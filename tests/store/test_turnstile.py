"""The turnstile: writers of all processes take turns, and the dead give way."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dovetail.server.store.engines.turnstile import PlaceTakenError, Turnstile

HOLD = """
import sys, time
from pathlib import Path
from dovetail.server.store.engines.turnstile import Turnstile
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


def test_the_holder_is_named_while_it_holds_and_not_afterwards(store: Path) -> None:
    writer = store.with_name("store.db-writer")
    with turnstile(store) as mine:
        with mine.pass_through():
            assert writer.read_text().split()[0] == str(os.getpid())
        assert writer.read_text().split() == []
        with mine.peep_through():
            assert writer.read_text().split() == []


def test_a_stopped_process_that_is_next_in_line_is_named(store: Path) -> None:
    """The place itself is free then: the gate is what it holds."""
    with turnstile(store) as mine:
        with mine.pass_through():
            process = holding(store)
            await_one_in_line(store)
            process.send_signal(signal.SIGSTOP)
        order: list[str] = []
        thread = passing(store, "next", order)
        with pytest.raises(PlaceTakenError, match=rf"process {process.pid} \(stopped\) holds"):
            mine.check(0.1)
        assert order == []
        kill(process)
        thread.join()
        mine.check(0.1)
    assert order == ["next"]


def test_a_start_names_who_keeps_it_waiting(store: Path) -> None:
    process = holding(store)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    with (
        turnstile(store) as mine,
        pytest.raises(PlaceTakenError, match=f"process {process.pid}") as caught,
        mine.open_within(0.1),
    ):
        pass
    kill(process)
    assert f"kill -CONT {process.pid}" in caught.value.advice


def test_a_place_that_changes_hands_is_not_taken_for_held(store: Path) -> None:
    stop = threading.Event()

    def run() -> None:
        with turnstile(store) as own:
            while not stop.is_set():
                with own.pass_through():
                    pass

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    with turnstile(store) as mine:
        mine.check(10)
    stop.set()
    for thread in threads:
        thread.join()


def test_the_name_of_a_dead_holder_is_nobodys(store: Path) -> None:
    process = holding(store)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    kill(process)
    assert str(process.pid) in store.with_name("store.db-writer").read_text()
    with turnstile(store) as mine:
        assert "another process" in str(mine.taken())


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
