"""Listing tasks by their last change and by thread: order, ranges, and pages while tasks change."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.server.store import pages
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from dovetail.types.v1.types_pb2 import TimeRange
from support.callers import Caller, ids
from support.refusals import faults
from support.teams import Team

OLDEST, NEWEST = types_pb2.ORDER_OLDEST_FIRST, types_pb2.ORDER_NEWEST_FIRST
BY_UPDATE: Any = {"order_by": pb.TASK_ORDER_UPDATE_TIME}


async def touched(joe: Caller, task_id: str) -> pb.Task:
    """The task after a change."""
    priority = (await joe.get(task_id)).priority + 1
    return await joe.did("update", task_id, values={"priority": priority})


async def made_and_touched(joe: Caller) -> None:
    """Tasks 1 to 6, of which the last changes are in the order 5, 6, 4, 2, 1, 3."""
    for number in range(1, 7):
        await joe.made(task_id=str(number))
    for task_id in "4213":
        await touched(joe, task_id)


async def listed(joe: Caller, filter: pb.TaskFilter | None = None, **fields: Any) -> str:
    return "".join(ids(await joe.all(filter, **BY_UPDATE, **fields)))


@pytest.mark.parametrize("page_size", [1, 2, 6])
async def test_tasks_come_in_the_order_of_their_last_change(team: Team, page_size: int) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    assert await listed(joe, page_size=page_size) == "564213"
    assert await listed(joe, page_size=page_size, order=NEWEST) == "312465"


@pytest.mark.parametrize("page_size", [1, 3, 1_000])
async def test_tasks_that_changed_at_one_time_come_in_order_of_creation(
    team: Team, page_size: int
) -> None:
    joe = team.caller("joe")
    drafts = [pb.CreateTaskRequest(title="t", task_id=str(number)) for number in range(9)]
    await joe.call(pb.BatchCreateTasksRequest(requests=drafts))
    assert await listed(joe, page_size=page_size) == "012345678"
    assert await listed(joe, page_size=page_size, order=NEWEST) == "876543210"


async def test_a_range_of_the_last_change_chooses_in_either_order(team: Team) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    times = {task.task_id: task.update_time for task in await joe.all()}
    for range_, by_update, by_create in (
        (TimeRange(start_time=times["4"]), "4213", "1234"),
        (TimeRange(end_time=times["4"]), "56", "56"),
        (TimeRange(start_time=times["6"], end_time=times["1"]), "642", "246"),
    ):
        filter = pb.TaskFilter(update_time=range_)
        assert await listed(joe, filter, page_size=2) == by_update
        assert await listed(joe, filter, page_size=2, order=NEWEST) == by_update[::-1]
        assert "".join(ids(await joe.all(filter, page_size=2))) == by_create
        assert (await joe.report(filter=filter)).total_tasks == len(by_create)


async def test_oldest_first_returns_a_task_that_changes_between_pages_again_at_the_end(
    team: Team,
) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    first = await joe.page(page_size=3, **BY_UPDATE)
    await touched(joe, "5")  # Returned already.
    await touched(joe, "2")  # Not yet.
    await joe.made(task_id="7")
    rest = await joe.page(page_token=first.next_page_token, **BY_UPDATE)
    assert (ids(first.tasks), ids(rest.tasks)) == (["5", "6", "4"], ["1", "3", "5", "2", "7"])


async def test_newest_first_returns_no_task_twice_and_leaves_out_what_changes_meanwhile(
    team: Team,
) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    newest: Any = {"order": NEWEST, **BY_UPDATE}
    first = await joe.page(page_size=3, **newest)
    await touched(joe, "1")  # Returned already.
    await touched(joe, "6")  # Not yet.
    rest = await joe.page(page_token=first.next_page_token, **newest)
    assert (ids(first.tasks), ids(rest.tasks)) == (["3", "1", "2"], ["4", "5"])
    missed = pb.TaskFilter(update_time=TimeRange(start_time=first.tasks[0].update_time))
    assert await listed(joe, missed) == "316"


async def test_progress_is_no_change_that_moves_a_task(team: Team) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    token = await joe.held("5")
    await touched(joe, "6")
    await joe.do("heartbeat", "5", lease_token=token, progress=pb.TaskProgress(percent=9))
    assert await listed(joe) == "421356"


async def test_a_thread_chooses_tasks(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    for number in range(4):
        await joe.made(task_id=str(number), thread_id="a" if number % 2 else "b")
    for thread_id, expected in (("a", ["a", "1", "3"]), ("b", ["0", "2"]), ("1", []), ("x", [])):
        filter = pb.TaskFilter(thread_id=thread_id)
        assert ids(await joe.all(filter, page_size=1)) == expected
        assert await listed(joe, filter, page_size=1) == "".join(expected)


@pytest.mark.parametrize("order", [OLDEST, NEWEST])
async def test_a_filter_that_no_index_fits_is_searched_in_steps(
    team: Team, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages may then be empty, and the last one still comes."""
    joe = team.caller("joe")
    await made_and_touched(joe)
    await joe.made(task_id="7", labels={"a": "b"})
    await touched(joe, "1")
    monkeypatch.setattr(pages, "STEP_ROWS", 2)
    times = {task.task_id: task.update_time for task in await joe.all()}
    for filter in (
        pb.TaskFilter(labels={"a": "b"}),
        pb.TaskFilter(labels={"a": "b"}, update_time=TimeRange(start_time=times["4"])),
    ):
        assert await listed(joe, filter, order=order) == "7"
        first = await joe.page(filter=filter, order=order, **BY_UPDATE)
        assert (len(first.tasks), bool(first.next_page_token)) == (order == NEWEST, True)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("order_by", {"order_by": 7}),
        ("page_token", {"page_token": "WyIxIiwgIiJd", "order_by": 2}),
        ("filter.thread_id", {"filter": {"thread_id": "x "}}),
        ("filter.linked_task_id", {"filter": {"linked_task_id": "x "}}),
        (
            "filter.update_time.end_time",
            {"filter": {"update_time": {"start_time": {"seconds": 2}, "end_time": {"seconds": 1}}}},
        ),
    ],
)
async def test_what_is_wrong_is_named(team: Team, field: str, fields: dict[str, Any]) -> None:
    assert await faults(team.caller().page(**fields)) == {field}


async def test_a_token_fits_only_the_order_it_came_from(team: Team) -> None:
    joe = team.caller("joe")
    await made_and_touched(joe)
    for one, other in ((BY_UPDATE, {}), ({}, BY_UPDATE)):
        token = (await joe.page(page_size=1, **one)).next_page_token
        assert await faults(joe.page(page_token=token, **other)) == {"page_token"}
