"""The endpoint: whatever scrapers do, they hold neither the server nor each other."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from dovetail.server.main import ConfigError
from dovetail.server.metrics.endpoint import CONNECTIONS_MAX, REQUEST_BYTES_MAX, Endpoint
from support.databases import Postgres
from support.pair import Pair, running
from support.scraping import Scrape, fetch, read, scrape
from support.waiting import until

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
SETTINGS = {"metrics_listen": "127.0.0.1:0", "figures_seconds": 0.0}


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def said_to(address: str, request: bytes) -> bytes:
    """What is said to some bytes, up to the end of the connection."""
    with connect(address) as connection:
        connection.sendall(request)
        found = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                found += part
        return found


async def test_a_scrape_comes_while_the_event_loop_is_busy(measured_sqlite: Pair) -> None:
    found: list[Scrape] = []
    done = threading.Event()

    def scrape_now() -> None:
        found.append(read(fetch(measured_sqlite.messaging_metrics)[1]))
        done.set()

    threading.Thread(target=scrape_now).start()
    assert done.wait(30)  # On the loop, which does nothing else meanwhile.
    (said,) = found
    assert said.value("dovetail_figures_up") == 0.0
    assert (said.value("dovetail_event_loop_delay_seconds") or 0.0) >= 1.0
    assert said.of("dovetail_commit_seconds")
    assert not said.of("dovetail_store_bytes")

    async def is_read_again() -> bool:
        said = await scrape(measured_sqlite.messaging_metrics)
        return said.value("dovetail_figures_up") == 1.0

    await until(is_read_again)


async def test_scrapes_at_once_all_get_what_there_is(measured_sqlite: Pair) -> None:
    each = [scrape(measured_sqlite.messaging_metrics) for _ in range(CONNECTIONS_MAX)]
    assert all(said.of("dovetail_store_up") for said in await asyncio.gather(*each))


async def test_connections_that_say_nothing_leave_a_place_for_others(measured_sqlite: Pair) -> None:
    address = measured_sqlite.messaging_metrics
    with ExitStack() as opened:
        for _ in range(CONNECTIONS_MAX - 1):
            opened.enter_context(connect(address)).sendall(b"GET /metrics")
        assert (await scrape(address)).of("dovetail_store_up")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n" + b"x: y\r\n" * REQUEST_BYTES_MAX, b"431"),
    ],
)
async def test_other_requests_are_refused(
    measured_sqlite: Pair, request_bytes: bytes, status: bytes
) -> None:
    address = measured_sqlite.messaging_metrics
    said = await asyncio.to_thread(said_to, address, request_bytes)
    # A connection that sends far too much may be cut before it has read why.
    assert said.startswith(b"HTTP/1.1 " + status) or (status == b"431" and not said)


async def test_the_connection_ends_with_the_response(measured_sqlite: Pair) -> None:
    said = await asyncio.to_thread(said_to, measured_sqlite.messaging_metrics, REQUEST + REQUEST)
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert b"\r\nConnection: close\r\n" in said


@contextmanager
def endpoint(size: int, seconds: float) -> Generator[str]:
    """An endpoint by itself, with a body of so many bytes."""
    with closing(Endpoint("127.0.0.1", 0, lambda: b"#" * size, seconds)) as made:
        yield f"127.0.0.1:{made.port}"


def scrapes() -> list[threading.Thread]:
    """The connections that an endpoint of this process serves now."""
    return [each for each in threading.enumerate() if each.name == "metrics-scrape"]


async def test_a_scraper_that_does_not_read_holds_nobody_else_and_is_let_go() -> None:
    size = 64 * 1024 * 1024  # More than the kernel takes on its way.
    with endpoint(size, seconds=2.0) as address, connect(address) as idle:
        idle.sendall(REQUEST)
        await until(scrapes)
        _, body = await asyncio.to_thread(fetch, address)
        assert len(body) == size
        await until(lambda: not scrapes())
        got = 0
        with suppress(ConnectionResetError):
            while part := idle.recv(1 << 20):
                got += len(part)
        assert got < size


def test_beyond_its_places_a_connection_is_closed_at_once() -> None:
    with endpoint(10, seconds=30.0) as address, ExitStack() as opened:
        for _ in range(CONNECTIONS_MAX):
            opened.enter_context(connect(address)).sendall(b"GET ")
        assert said_to(address, REQUEST) == b""


async def test_an_address_that_is_taken_is_said(sqlite_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"cannot listen on .* for metrics"):
            async with running("messaging", sqlite_url, metrics_listen=listen):
                pass


async def test_what_is_read_from_a_store_that_is_away_is_left_out(own_postgres: Postgres) -> None:
    async with running("tasks", own_postgres.url, **SETTINGS) as server:

        async def said(is_up: float) -> Scrape | None:
            found = await scrape(server.metrics_address)
            up = found.value("dovetail_store_up"), found.value("dovetail_figures_up")
            return found if up == (is_up, is_up) else None

        assert (await until(lambda: said(1.0))).of("dovetail_tasks")
        own_postgres.stop()
        away = await until(lambda: said(0.0))
        for name in ("dovetail_tasks", "dovetail_queue_age_seconds", "dovetail_store_bytes"):
            assert not away.of(name)
        assert away.of("dovetail_commit_seconds")
        own_postgres.start()
        assert (await until(lambda: said(1.0))).of("dovetail_tasks")


async def test_a_file_that_is_away_leaves_its_figures_out(
    measured_sqlite: Pair, sqlite_url: str
) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    os.rename(path, f"{path}.away")

    async def is_left_out() -> bool:
        found = await scrape(measured_sqlite.tasks_metrics)
        return found.value("dovetail_figures_up") == 0.0 and not found.of("dovetail_tasks")

    await until(is_left_out)
    os.rename(f"{path}.away", path)
