"""Watches of tasks: each event once and in order, resumed by themselves, closed for good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dovetail.client import Agent, NotFoundError, OutOfRangeError, TaskVerb, TaskWatch, connect
from dovetail.server.runtime import RunningServer
from support.processes import ServerProcess
from support.waiting import until


async def take(watch: TaskWatch, count: int) -> list[tuple[int, str]]:
    """Numbers and verbs of the next events."""
    events = [await anext(watch) for _ in range(count)]
    return [(event.event_number, str(event.verb)) for event in events]


async def test_events_come_from_the_backlog_and_then_live(alice: Agent):
    task = await alice.tasks.create("one")
    async with alice.tasks.watch() as watch:
        assert await take(watch, 1) == [(1, "create")]
        await alice.tasks.cancel(task.task_id)
        assert await take(watch, 1) == [(2, "cancel")]
        assert watch.through_event == 2


async def test_a_watch_begins_where_it_is_told_to(alice: Agent):
    task = await alice.tasks.create("one")
    await alice.tasks.cancel(task.task_id)
    async with alice.tasks.watch(after_event=1) as watch:
        assert await take(watch, 1) == [(2, "cancel")]
    async with alice.tasks.watch(position="now", verbs=TaskVerb.DELETE) as watch:
        assert [event async for event in watch.backlog()] == []
        await alice.tasks.reopen(task.task_id)
        await alice.tasks.delete(task.task_id)
        assert await take(watch, 1) == [(4, "delete")]


async def test_the_cursor_is_that_of_the_events_that_were_returned(alice: Agent):
    for title in ("one", "two", "three"):
        await alice.tasks.create(title)
    async with alice.tasks.watch() as watch:
        for number in (1, 2, 3):
            assert await take(watch, 1) == [(number, "create")]
            assert watch.through_event == number


async def test_a_list_and_then_a_watch_have_no_gap(alice: Agent):
    for title in ("one", "two", "three"):
        await alice.tasks.create(title)
    listing = alice.tasks.list(page_size=1)
    assert listing.through_event is None
    first = await anext(listing)
    await alice.tasks.cancel(first.task_id)
    assert len([task async for task in listing]) == 2
    async with alice.tasks.watch(after_event=listing.through_event) as watch:
        assert await take(watch, 1) == [(4, "cancel")]


async def test_a_wrong_request_is_raised_and_not_repeated(alice: Agent, tasks: RunningServer):
    async with alice.tasks.watch(after_event=9) as watch:
        with pytest.raises(OutOfRangeError) as beyond:
            await anext(watch)
    assert beyond.value.reason == "CURSOR_IN_FUTURE"
    async with alice.tasks.watch(task_id="nothing") as watch:
        with pytest.raises(NotFoundError):
            await anext(watch)
    await until(lambda: not tasks.store.bells.watched())


async def test_a_closed_watch_leaves_no_stream_open(alice: Agent, tasks: RunningServer):
    watch = alice.tasks.watch()
    waiting = asyncio.create_task(anext(watch, None))
    await until(lambda: bool(tasks.store.bells.watched()))
    await watch.aclose()
    assert await waiting is None
    await until(lambda: not tasks.store.bells.watched())


async def test_a_watch_goes_on_after_its_server_was_killed(sqlite_url: str, tmp_path: Path):
    with ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log") as server:
        async with connect("alice", tasks=server.address, timeout=60) as alice:
            watch = alice.tasks.watch()
            for number in range(1, 4):
                await alice.tasks.create("x")
                assert await take(watch, 1) == [(number, "create")]
                server.kill()
                await asyncio.to_thread(server.start)
            await watch.aclose()
