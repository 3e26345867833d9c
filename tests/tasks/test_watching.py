"""WatchTasks: the history as a stream, from any event on, each event once and in order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.server import readers
from dovetail.server.store.tables import events as events_table
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from dovetail.types.v1 import types_pb2
from dovetail.types.v1.types_pb2 import TimeRange
from support.callers import Caller, Watch
from support.pair import Pair, Stubs, running, running_pair
from support.refusals import error_info, refusal
from support.teams import Team

QUICK = 0.2
LONG = "ä" * 4_096


@pytest.fixture
async def lively_pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    """Both services, with heartbeats so quick that a stream that waits says so at once."""
    async with running_pair(sqlite_url, heartbeat_seconds=QUICK) as pair:
        yield pair


def numbers(events: Iterable[pb.TaskEvent]) -> list[int]:
    return [event.event_number for event in events]


def span(first: int, last: int) -> list[int]:
    """All numbers from one to another."""
    return list(range(first, last + 1))


async def history(caller: Caller, **filter: Any) -> list[pb.TaskEvent]:
    """What ListTaskEvents returns for a filter."""
    chosen = pb.TaskEventFilter(**filter)
    request = pb.ListTaskEventsRequest(filter=chosen, page_size=1_000)
    return list((await caller.call(request)).events)


async def worked(team: Team, rounds: int = 3, **fields: Any) -> Caller:
    """Ann, who has created and cancelled two tasks again and again."""
    (ann,) = await team.known("ann")
    for name in ("x", "y"):
        await ann.made(task_id=name)
        for number in range(rounds):
            await ann.do("reopen" if number % 2 else "cancel", name, **fields)
    return ann


async def test_a_watch_gives_the_history_and_then_what_happens(team: Team) -> None:
    ann = await worked(team)
    whole = await history(ann)
    async with ann.watch() as watch:
        responses = await watch.until(pb.STREAM_MARK_CAUGHT_UP)
        assert [event for each in responses for event in each.events] == whole
        assert responses[-1].through_event == 8
        await ann.made(task_id="z")
        live = await watch.next()
        assert (live.mark, live.through_event) == (pb.STREAM_MARK_UNSPECIFIED, 9)
        assert list(live.events) == (await history(ann))[8:]


async def test_a_watch_of_a_team_without_a_history_is_caught_up_at_once(team: Team) -> None:
    async with team.caller("new").watch() as watch:
        assert await watch.next() == pb.WatchTasksResponse(mark=pb.STREAM_MARK_CAUGHT_UP)


async def test_a_watch_resumes_after_any_event(team: Team) -> None:
    ann = await worked(team)
    whole = await history(ann)
    for cursor in range(len(whole) + 1):
        assert await ann.watched(after_event=cursor) == whole[cursor:]
    assert await ann.watched(position=pb.START_POSITION_BEGINNING) == whole


async def test_a_watch_from_now_on_leaves_the_past_out(team: Team) -> None:
    ann = await worked(team)
    async with ann.watch(position=pb.START_POSITION_NOW) as watch:
        first = await watch.next()
        assert first == pb.WatchTasksResponse(mark=pb.STREAM_MARK_CAUGHT_UP, through_event=8)
        await ann.made()
        assert numbers(await watch.take(1)) == [9]


async def test_a_cursor_in_the_future_is_refused_with_the_legal_range(team: Team) -> None:
    ann = await worked(team)
    async with ann.watch(after_event=9) as watch:
        error = await watch.end()
    info = error_info(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_IN_FUTURE")
    assert dict(info.metadata) == {"event": "9", "first": "0", "last": "8"}


async def test_a_task_that_never_was_cannot_be_watched_and_a_deleted_one_can(team: Team) -> None:
    ann = await worked(team)
    async with ann.watch(filter=pb.TaskEventFilter(task_id="nothing")) as watch:
        error = await watch.end()
    assert (error.code(), error_info(error).reason) == (
        grpc.StatusCode.NOT_FOUND,
        "TASK_NOT_FOUND",
    )
    await ann.do("delete", "x")
    found = await ann.watched(filter=pb.TaskEventFilter(task_id="x"))
    assert found == await history(ann, task_id="x")
    assert found[-1].verb == types_pb2.TASK_VERB_DELETE


async def test_a_filtered_watch_gives_what_matches_and_moves_past_the_rest(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_table, "STEP_EVENTS", 3)
    ann = await worked(team)
    (joe,) = await team.known("joe")
    await joe.made(task_id="z")
    since = (await history(ann))[5].create_time
    filters: tuple[dict[str, Any], ...] = (
        {"task_id": "y"},
        {"task_id": "y", "verbs": [types_pb2.TASK_VERB_REOPEN]},
        {"actor_ids": ["joe"]},
        {"verbs": [types_pb2.TASK_VERB_CREATE]},
        {"actor_ids": ["nobody"]},
        {"create_time": TimeRange(start_time=since)},
        {"create_time": TimeRange(end_time=since)},
    )
    for filter in filters:
        async with ann.watch(filter=pb.TaskEventFilter(**filter)) as watch:
            responses = await watch.until(pb.STREAM_MARK_CAUGHT_UP)
        found = [event for each in responses for event in each.events]
        assert found == await history(ann, **filter)
        assert responses[-1].through_event == 9
        cursors = [each.through_event for each in responses]
        assert cursors == sorted(cursors)


async def test_a_filtered_watch_resumed_after_its_cursor_loses_nothing(lively_pair: Pair) -> None:
    ann = await worked(Team(lively_pair))
    wanted = pb.TaskEventFilter(task_id="x")
    async with ann.watch(filter=wanted) as watch:
        assert len(await watch.backlog()) == 4
        await ann.do("reopen", "y")
        beat = await watch.next()
        while beat.through_event < 9:
            beat = await watch.next()
        assert (beat.mark, list(beat.events)) == (pb.STREAM_MARK_HEARTBEAT, [])
    await ann.do("reopen", "x")
    assert numbers(await ann.watched(filter=wanted, after_event=beat.through_event)) == [10]


async def test_a_response_stays_below_the_window_of_a_stream(team: Team) -> None:
    ann = await worked(team, 30, reason=LONG)
    async with ann.watch() as watch:
        responses = await watch.until(pb.STREAM_MARK_CAUGHT_UP)
    assert numbers(event for each in responses for event in each.events) == span(1, 62)
    assert len(responses) > 1
    assert max(each.ByteSize() for each in responses) < 64 * 1024


async def test_who_reads_late_gets_everything(team: Team) -> None:
    (ann,) = await team.known("ann")
    async with ann.watch() as watch:
        await watch.backlog()
        for _ in range(30):
            await ann.made(description=LONG)
        assert numbers(await watch.take(30)) == span(1, 30)


async def test_a_watch_sees_nothing_of_other_teams(team: Team) -> None:
    (ann,) = await team.known("ann")
    other = await worked(Team.new(team.pair))
    async with ann.watch() as watch:
        assert await watch.backlog() == []
        await other.made()
        await ann.made(task_id="mine")
        assert [event.task_id for event in await watch.take(1)] == ["mine"]
    found = await refusal(ann.watched(filter=pb.TaskEventFilter(task_id="x")))
    assert found[:2] == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")


async def test_a_list_and_then_a_watch_have_no_gap(team: Team) -> None:
    ann = await worked(team)
    page = await ann.page()
    assert page.through_event == 8
    await ann.do("reopen", "x")
    assert numbers(await ann.watched(after_event=page.through_event)) == [9]
    assert (await Team.new(team.pair).caller("new").page()).through_event == 0


async def test_a_silent_watch_shows_that_it_is_alive(lively_pair: Pair) -> None:
    ann = await worked(Team(lively_pair))
    async with ann.watch() as watch:
        await watch.backlog()
        for _ in range(2):
            assert await watch.next() == pb.WatchTasksResponse(
                mark=pb.STREAM_MARK_HEARTBEAT, through_event=8
            )
        await ann.made()
        assert numbers(await watch.take(1)) == [9]


async def test_a_stopping_server_ends_its_watches_with_the_cursor(store_url: str) -> None:
    async with running_pair(store_url) as pair:
        ann = await worked(Team(pair))
        watch = Watch(pair.tasks.WatchTasks(pb.WatchTasksRequest(), metadata=ann.metadata))
        await watch.backlog()
    closing = await watch.next()
    assert closing == pb.WatchTasksResponse(mark=pb.STREAM_MARK_CLOSING, through_event=8)
    error = await watch.end()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "SERVER_STOPPING"


async def test_a_caller_has_so_many_watches_and_others_have_theirs(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "STREAMS_PER_CALLER_MAX", 2)
    ann, joe = await team.known("ann", "joe")
    async with ann.watch() as first, ann.watch() as second:
        assert (await first.backlog(), await second.backlog()) == ([], [])
        found = await refusal(ann.watched())
        assert found[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert await joe.watched() == []


async def test_events_of_other_servers_arrive(store_url: str) -> None:
    async with AsyncExitStack() as stack:
        here, there = [await caller_of(stack, store_url) for _ in range(2)]
        watch = await stack.enter_async_context(here.watch())
        await watch.backlog()
        for number in span(1, 5):
            await (there if number % 2 else here).made()
            assert numbers(await watch.take(1)) == [number]


async def test_events_arrive_though_every_wake_up_between_servers_is_lost(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        here, there = [await caller_of(stack, sqlite_url) for _ in range(2)]
        for doorbell in (tmp_path / "store.db-bells").iterdir():
            doorbell.unlink()
        watch = await stack.enter_async_context(here.watch())
        await watch.backlog()
        await there.made()
        assert numbers(await watch.take(1)) == [1]


async def caller_of(stack: AsyncExitStack, store_url: str) -> Caller:
    """Ann, at a task server of her own."""
    server = await stack.enter_async_context(running("tasks", store_url))
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.address))
    tasks = tasks_pb2_grpc.TaskServiceStub(channel)
    return Caller(Stubs(messaging=None, tasks=tasks), "ann")  # type: ignore[arg-type]
