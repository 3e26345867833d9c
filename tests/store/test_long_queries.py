"""Long queries: broken off at a limit or when their caller has left, and never in the way."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise

import pytest

from dovetail.server.errors import Reason, ResourceExhaustedError
from dovetail.server.store.engines import sqlite
from dovetail.server.store.schema import TeamRow
from dovetail.server.store.store import SCANNERS
from dovetail.server.store.tables import agents
from dovetail.server.store.tables.agents import Profile
from dovetail.server.store.transaction import Snapshot, Transaction
from store.opened import TEAM, opened

ENDLESS = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
    SELECT COUNT(*) FROM numbers"""
MEBIBYTE = 1024 * 1024


def endless(snapshot: Snapshot) -> object:
    """A query that ends only by being broken off."""
    return snapshot._fetch(ENDLESS, [])


def endless_in_parts(snapshot: Snapshot) -> None:
    """Quick queries, one after another, of which none is worth being broken off by itself."""
    query = TeamRow.select(TeamRow.create_time)
    while True:
        for _ in snapshot.select_in_parts(query, TeamRow.create_time):
            pass


def quick(snapshot: Snapshot) -> bool:
    return agents.find(snapshot, "nobody") is None


async def test_a_query_that_takes_too_long_is_broken_off(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.server.store.store.QUERY_SECONDS_MAX", 0.2)
    async with opened(store_url) as store:
        for run in (store.scan, store.report, store.read):
            with pytest.raises(ResourceExhaustedError, match="narrow the filter") as refused:
                await run(TEAM, endless)
            assert refused.value.reason is Reason.QUERY_TOO_LONG
            assert await run(TEAM, quick)


async def test_a_query_of_many_parts_is_broken_off_between_them(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.server.store.store.QUERY_SECONDS_MAX", 0.2)
    async with opened(store_url) as store:
        await store.write(TEAM, lambda transaction: agents.touch(transaction, "bob"))
        with pytest.raises(ResourceExhaustedError, match="narrow the filter"):
            await store.report(TEAM, endless_in_parts)
        assert await store.report(TEAM, quick)


async def test_a_query_whose_caller_has_left_is_broken_off(store_url: str) -> None:
    """As many as there are threads: else nobody's query would be run any more."""
    async with opened(store_url) as store:
        left = [asyncio.create_task(store.scan(TEAM, endless)) for _ in range(SCANNERS)]
        await asyncio.sleep(0)
        assert await store.read(TEAM, quick)
        for each in left:
            each.cancel()
        async with asyncio.timeout(30):
            assert await store.scan(TEAM, quick)


async def test_reports_hold_up_no_listing(store_url: str) -> None:
    async with opened(store_url) as store:
        report = asyncio.create_task(store.report(TEAM, endless))
        async with asyncio.timeout(30):
            assert await store.scan(TEAM, quick)
            assert await store.read(TEAM, quick)
        assert not report.done()
        report.cancel()


async def test_the_log_of_changes_is_folded_in_beside_reports(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports overlap without a break, each holding the state that it reads."""
    monkeypatch.setattr(sqlite, "LOG_BYTES_MAX", MEBIBYTE)
    sizes: list[int] = []

    def log_size() -> int:
        return os.path.getsize(sqlite_url.removeprefix("sqlite:///") + "-wal")

    sizes: list[int] = []
    async with opened(sqlite_url) as store:

        async def report() -> None:
            while True:
                await store.scan(TEAM, slow)

        reporting = [asyncio.create_task(report()) for _ in range(SCANNERS)]
        for number in range(40):
            await store.write(TEAM, lambda t, n=number: register_many(t, n))
            sizes.append(log_size())
        for each in reporting:
            each.cancel()
    written = sum(max(0, size - before) for before, size in pairwise([0, *sizes]))
    assert written > 3 * MEBIBYTE
    assert max(sizes) < 2 * MEBIBYTE


def slow(snapshot: Snapshot) -> object:
    return snapshot._fetch(ENDLESS.replace("FROM numbers)", "FROM numbers LIMIT 200000)"), [])


def register_many(transaction: Transaction, number: int) -> None:
    for each in range(300):
        agents.register(transaction, f"a{number}-{each}", Profile(display_name="x" * 200))
