"""Servers that die and come back are invisible to the client, but for the time it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from dovetail.client import Agent, UnavailableError, connect
from support.processes import ServerProcess, free_port
from support.waiting import until

MESSAGES = 60


@pytest.fixture
def messaging(sqlite_url: str, tmp_path: Path) -> Generator[ServerProcess]:
    with ServerProcess("messaging", sqlite_url, tmp_path / "messaging.log") as server:
        yield server


@pytest.fixture
def tasks(sqlite_url: str, tmp_path: Path) -> Generator[ServerProcess]:
    with ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log") as server:
        yield server


async def restart(server: ServerProcess, kill: bool) -> None:
    await asyncio.to_thread(server.kill if kill else server.stop)
    await asyncio.to_thread(server.start)


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_talk_goes_on_through_a_restart_each_message_once_and_in_order(
    messaging: ServerProcess, kill: bool
):
    async with (
        connect("alice", messaging=messaging.address, timeout=60) as alice,
        connect("bob", messaging=messaging.address, timeout=60) as bob,
    ):
        await bob.register()
        received: list[tuple[int, str]] = []

        async def receive() -> None:
            async with bob.inbox() as inbox:
                async for message in inbox:
                    received.append((message.sequence, message.body))
                    await message.acknowledge()
                    if message.body == "last":
                        return

        async def talk() -> list[int]:
            answers = [await alice.send("bob", str(number)) for number in range(MESSAGES)]
            return [answer.receipts[0].sequence for answer in answers]

        receiving, talking = asyncio.create_task(receive()), asyncio.create_task(talk())
        await until(lambda: len(received) >= MESSAGES // 3)
        await restart(messaging, kill)
        sequences = await talking
        await restart(messaging, kill)
        await alice.send("bob", "last")
        await receiving

        assert sequences == list(range(1, MESSAGES + 1))
        expected = [(number + 1, str(number)) for number in range(MESSAGES)]
        assert received == [*expected, (MESSAGES + 1, "last")]
        assert (await bob.agent()).unacknowledged_count == 0
        records = [record.message.body async for record in alice.messages()]
        assert records == [*map(str, range(MESSAGES)), "last"]


async def test_waiting_goes_on_through_a_restart(messaging: ServerProcess):
    async with (
        connect("alice", messaging=messaging.address, timeout=60) as alice,
        connect("bob", messaging=messaging.address, timeout=60) as bob,
    ):
        await bob.register()
        waiting = asyncio.create_task(bob.receive(max_wait=50))
        await until(lambda: _waits(alice))
        await restart(messaging, kill=True)
        await alice.send("bob", "here")
        assert [message.body for message in await waiting] == ["here"]


async def _waits(alice: Agent) -> bool:
    return (await alice.agent("bob")).waiting_calls > 0


async def test_work_goes_on_through_a_restart_each_change_once(tasks: ServerProcess):
    async with connect("alice", tasks=tasks.address, timeout=60) as alice:
        created: list[str] = []

        async def work() -> None:
            for number in range(MESSAGES // 2):
                task = await alice.tasks.create(str(number))
                await alice.tasks.start(task.task_id)
                done = await alice.tasks.complete(task.task_id)
                assert done.attempt == 1
                created.append(task.task_id)

        working = asyncio.create_task(work())
        await until(lambda: len(created) >= MESSAGES // 6)
        await restart(tasks, kill=True)
        await working
        report = await alice.tasks.report()
        assert (report.total_tasks, report.completed_tasks) == (MESSAGES // 2, MESSAGES // 2)
        assert len(set(created)) == MESSAGES // 2


async def test_a_call_waits_for_a_server_that_is_yet_to_start(sqlite_url: str, tmp_path: Path):
    server = ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log")
    async with connect(tasks=server.address, timeout=60) as nobody:
        creating = asyncio.create_task(nobody.tasks.create("x"))
        with server:
            assert (await creating).title == "x"


async def test_without_patience_a_missing_server_is_told_at_once():
    address = f"127.0.0.1:{free_port()}"
    async with connect("alice", messaging=address, patience=0) as alice:
        with pytest.raises(UnavailableError, match="refused") as lost:
            await alice.register()
    assert lost.value.address == address
    assert lost.value.reason == ""
