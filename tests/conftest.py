"""Fixtures for all tests: stores of both engines, servers over them, and a team for each test."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import pytest
import structlog

from dovetail.settings import SETTINGS
from support.databases import Postgres, empty_database, new_postgres
from support.pair import Pair, running_pair
from support.teams import Team

FIGURES = "figures"

# Thousands of tests are objects that stay: to look at all of them whenever 700 new ones are there
# takes a third of the time in which tests are collected, and each full look afterwards longer.
gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of all later looks."""
    gc.freeze()


# Servers in this process log what is wrong with them, and no line for each call or refusal.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

# A developer's own settings must not decide what is tested.
for setting in SETTINGS:
    os.environ.pop(setting.variable, None)
os.environ["DOVETAIL_CONFIG"] = os.devnull
os.environ["DOVETAIL_WEB_LISTEN"] = "off"  # `dovetail up` would start a third process each time.
for name in ("COLUMNS", "LC_ALL", "LC_CTYPE", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
    os.environ.pop(name, None)
os.environ.update(LANG="C.UTF-8", TERM="xterm")

# Nor must it that a script runs the tests in the background (SIGINT is ignored then), or `nohup`:
# tests send these signals to children, and what is ignored here they would ignore as well. What has
# a handler here has none in a child.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """A real PostgreSQL server of its own for the whole run: its connection string."""
    with new_postgres() as server:
        yield server.url


@pytest.fixture
def own_postgres() -> Generator[Postgres]:
    """A PostgreSQL server that a test may stop or freeze."""
    with new_postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A store in a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def postgres_url(postgres: str) -> Generator[str]:
    """A store in a new, empty database."""
    with empty_database(postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty store, on each engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[str]:
    """A store for all tests of a file, on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    else:
        with empty_database(str(request.getfixturevalue("postgres"))) as url:
            yield url


@pytest.fixture(scope="module")
async def shared_pair(shared_url: str) -> AsyncGenerator[Pair]:
    """Both services, for all tests of a file. Leases may be short, so that their end is seen."""
    async with running_pair(shared_url, shortest_lease_seconds=0.5) as pair:
        yield pair


@pytest.fixture
def team(shared_pair: Pair) -> Team:
    """A new team on services that all tests of a file share, on each engine."""
    return Team.new(shared_pair)


@pytest.fixture
async def pair(store_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty store of a test's own, on each engine."""
    async with running_pair(store_url) as pair:
        yield pair


@pytest.fixture
async def sqlite_pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty SQLite store."""
    async with running_pair(sqlite_url) as pair:
        yield pair


@pytest.fixture
def report_figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have a line of figures printed at the end of the run."""
    return lambda line: record_property(FIGURES, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of every test that reported some."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {line}"
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == FIGURES
    ]
    if lines:
        terminalreporter.section(FIGURES)
        for line in lines:
            terminalreporter.write_line(line)
