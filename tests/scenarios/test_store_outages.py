"""A store that goes away under both servers, and comes back: no restart, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from support.audit import faults
from support.databases import Postgres
from support.healths import NOT_SERVING, SERVING, until_health, until_log
from support.refusals import refusal
from support.servers import Servers, serving


async def test_a_sqlite_file_that_is_moved_away_stops_both_until_it_is_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("bob")
        await _work(servers)
        os.rename(file, f"{file}.elsewhere")
        await _check_outage(servers)
        os.rename(f"{file}.elsewhere", file)
        await _check_recovery(servers)
    assert faults(sqlite_url) == []


async def test_a_postgres_that_stops_stops_both_until_it_is_back(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    async with serving(own_postgres.url, tmp_path) as servers:
        await servers.register("bob")
        await _work(servers)
        own_postgres.stop()
        await _check_outage(servers)
        own_postgres.start()
        await _check_recovery(servers)
        assert faults(own_postgres.url) == []


async def _work(servers: Servers) -> None:
    """One write to each service; both tell bob."""
    alice = servers.caller("alice")
    sent = await alice.send("bob", body="hello")
    created = await alice.create(assignee_id="bob")
    assert created.notices[0].sequence == sent.receipts[0].sequence + 1


async def _check_outage(servers: Servers) -> None:
    """Both say that they cannot serve, to callers, to health checks and in the log."""
    alice = servers.caller("alice")
    for server, call in (
        (servers.messaging, alice.send("bob", body="lost?")),
        (servers.tasks, alice.create(title="lost?", assignee_id="bob")),
    ):
        code, reason, _ = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        await until_health(server, NOT_SERVING)
        await until_log(server, "the store does not respond")


async def _check_recovery(servers: Servers) -> None:
    """Both serve again, in the processes that they were, and go on where they stopped."""
    for server in servers.both:
        await until_health(server, SERVING)
        await until_log(server, "the store responds again")
    await _work(servers)
    assert (await servers.caller("bob").look()).last_sequence == 4
