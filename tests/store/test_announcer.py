"""NOTIFY: the first after a silence goes out at once, what follows is gathered, none is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from dovetail.server.store.engines import announcer
from dovetail.server.store.engines.announcer import CHANNEL, Announcer
from dovetail.server.store.engines.wakeups import WakeKey, decode_ring

PATIENCE = 30.0
END = "end"


@contextmanager
def announcing(postgres_url: str) -> Generator[tuple[Announcer, psycopg.Connection[Any]]]:
    """An announcer, and a connection that hears it."""
    made = Announcer(lambda: psycopg.connect(postgres_url, autocommit=True))
    try:
        with psycopg.connect(postgres_url, autocommit=True) as listener:
            listener.execute(f"LISTEN {CHANNEL}".encode())
            yield made, listener
    finally:
        made.close(PATIENCE)


def hear(listener: psycopg.Connection[Any]) -> list[WakeKey]:
    """The names of the next notification, and of those that came in the same packet."""
    heard = list(listener.notifies(timeout=PATIENCE, stop_after=1))
    assert heard, "no notification came"
    return [name for notification in heard for name in names_of(notification)]


def hear_rest(made: Announcer, listener: psycopg.Connection[Any]) -> list[list[WakeKey]]:
    """The names of all notifications that are left, with those that closing sends."""
    made.close(PATIENCE)
    listener.execute("SELECT pg_notify(%s, %s)", (CHANNEL, END))
    heard: list[list[WakeKey]] = []
    for notification in listener.notifies(timeout=PATIENCE):
        if notification.payload == END:
            return heard
        heard.append(names_of(notification))
    raise AssertionError("the last notification did not come")


def names_of(notification: psycopg.Notify) -> list[WakeKey]:
    _, _, payload = notification.payload.partition(" ")
    names = decode_ring(payload)
    assert names is not None
    return names


def test_the_first_goes_out_at_once_and_what_follows_is_one_notification(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause lasts longer than the test: what waited for its end would not be heard."""
    monkeypatch.setattr(announcer, "GATHER_SECONDS", 3_600.0)
    followers = [("team", f"agent-{number:03}") for number in range(100)]
    with announcing(postgres_url) as (made, listener):
        made.add([("team", "first")])
        assert hear(listener) == [("team", "first")]
        for name in followers:
            made.add([name])
        assert hear_rest(made, listener) == [followers]


@pytest.fixture
def eager_threads() -> Generator[None]:
    """Let threads take turns after each few steps, so that all orders of them occur."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_no_name_of_a_burst_is_lost(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "GATHER_SECONDS", 0.0)
    with announcing(postgres_url) as (made, listener):
        for turn in range(100):
            names = {("team", f"{turn}/{number}") for number in range(400)}
            writers = [
                threading.Thread(target=add_each, args=(made, sorted(names)[first::4]))
                for first in range(4)
            ]
            for writer in writers:
                writer.start()
            while names:
                names.difference_update(hear(listener))
            for writer in writers:
                writer.join()


def add_each(made: Announcer, names: list[WakeKey]) -> None:
    for name in names:
        made.add([name])


def test_an_announcer_without_news_opens_no_connection() -> None:
    opened: list[str] = []

    def connect() -> psycopg.Connection[Any]:
        opened.append("one")
        raise psycopg.OperationalError

    made = Announcer(connect)
    made.close(PATIENCE)
    assert not made._thread.is_alive()
    assert opened == []
