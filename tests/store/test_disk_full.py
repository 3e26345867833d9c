"""A full disk: told as such, nothing half written, and over when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.server.store.transaction import Transaction
from store.opened import TEAM
from support.callers import Caller
from support.pair import Pair, running_pair
from support.refusals import error_info, failure
from support.teams import Team

BODY = "x" * 40_000


async def pages(pair: Pair, wanted: int) -> int:
    """Set the most pages that the file may have (0: tell only); answers how many it has."""

    def unit(transaction: Transaction) -> int:
        if wanted:
            transaction._fetch(f"PRAGMA max_page_count = {wanted}", [])
        return int(transaction._fetch("PRAGMA page_count", [])[0][0])  # type: ignore[call-overload]

    return await pair.messaging_store.write(TEAM, unit)


async def send_until_full(alice: Caller) -> tuple[int, grpc.aio.AioRpcError]:
    """How many large messages fitted, and the error of the first that did not."""
    sent = 0
    while True:
        try:
            await alice.send("bob", body=BODY, request_id=f"r{sent}")
        except grpc.aio.AioRpcError as error:
            return sent, error
        sent += 1


async def everything(alice: Caller) -> Any:
    """All that the team has, as anyone sees it."""
    inboxes = [await alice.backlog(agent_id=agent_id) for agent_id in ("alice", "bob")]
    return (await alice.list_agents()).agents, inboxes


def assert_full(error: grpc.aio.AioRpcError) -> None:
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error_info(error).reason == "STORE_FULL"


async def test_a_full_file_refuses_writes_answers_reads_and_recovers(sqlite_pair: Pair) -> None:
    alice, bob = await Team(sqlite_pair).known("alice", "bob")
    await pages(sqlite_pair, await pages(sqlite_pair, 0) + 120)
    sent, error = await send_until_full(alice)
    assert_full(error)
    assert sent > 0
    assert len(await bob.backlog()) == sent
    assert (await bob.look()).last_sequence == (await bob.look()).unacknowledged_count == sent
    await pages(sqlite_pair, 1_000_000)
    answer = await alice.send("bob", body=BODY, request_id=f"r{sent}")
    assert (answer.message_id, answer.receipts[0].sequence) == (f"m{sent + 1}", sent + 1)


async def test_what_still_fits_beside_what_does_not_is_written(sqlite_pair: Pair) -> None:
    alice, bob = await Team(sqlite_pair).known("alice", "bob")
    await alice.send("bob")
    await pages(sqlite_pair, await pages(sqlite_pair, 0) + 2)
    assert_full(await failure(alice.send("bob", body=BODY)))
    assert (await bob.acknowledge(through_sequence=1)).acknowledged_count == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of four megabytes, where this process may mount one."""
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_full_disk_refuses_writes_answers_reads_and_recovers(small_disk: Path) -> None:
    async with running_pair(f"sqlite:///{small_disk}/store.db") as pair:
        alice, bob = await Team(pair).known("alice", "bob")
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * 2_000_000)
        sent, error = await send_until_full(alice)
        assert_full(error)
        before = await everything(alice)
        assert len(await bob.backlog()) == sent
        # The same message: one without a request_id takes a page less, and may fit.
        again = alice.send("bob", body=BODY, request_id=f"r{sent}")
        assert_full(await failure(again))
        assert await everything(alice) == before
        filler.unlink()
        answer = await alice.send("bob", body=BODY, request_id=f"r{sent}")
        assert answer.receipts[0].sequence == sent + 1
