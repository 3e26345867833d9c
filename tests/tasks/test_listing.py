"""Listing tasks: filters, pages, order."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from dovetail.types.v1.types_pb2 import TimeRange
from support.callers import Caller, ids
from support.refusals import faults
from support.tables import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, PENDING, STATES
from support.teams import Team


async def filled(team: Team) -> list[pb.Task]:
    """Tasks of all states, of several agents and of none, as they are when all is done."""
    joe, ann, nobody = *await team.known("joe", "ann"), team.caller()
    await nobody.made(task_id="1")
    await joe.made(task_id="2", assignee_id="ann", labels={"a": "1", "b": "2"})
    await joe.made(task_id="3", assignee_id="joe", labels={"a": "1"})
    await ann.made(task_id="4", labels={"a": "12"})
    await ann.made(task_id="5", assignee_id="ann", labels={"b": "2", "c": ""})
    await nobody.made(task_id="6", assignee_id="joe", labels={"a": "1", "b": "2"})
    await joe.made(task_id="gone", assignee_id="ann", labels={"a": "1"})
    await joe.do("delete", "gone")
    await ann.bring("2", IN_PROGRESS)
    await joe.bring("3", COMPLETED)
    await nobody.bring("4", FAILED)
    await ann.bring("5", CANCELLED)
    return [await nobody.get(str(number)) for number in range(1, 7)]


def later(time: Timestamp, micros: int) -> Timestamp:
    """A time so many microseconds later."""
    moved = Timestamp()
    moved.FromMicroseconds(time.ToMicroseconds() + micros)
    return moved


SECOND = {"seconds": 1}


async def chosen(worker: Caller, **fields: Any) -> str:
    """The ids that a filter chooses, as one word."""
    return "".join(ids(await worker.all(pb.TaskFilter(**fields))))


async def test_a_filter_chooses_by_state_and_by_agents(team: Team) -> None:
    await filled(team)
    who = team.caller("joe")
    assert await chosen(who) == "123456"
    for state, expected in zip(STATES.values(), ("16", "2", "", "3", "4", "5"), strict=True):
        assert await chosen(who, states=[state]) == expected
    assert await chosen(who, states=[COMPLETED, PENDING, PENDING]) == "136"
    assert await chosen(who, assignee_ids=["ann"]) == "25"
    assert await chosen(who, assignee_ids=["ann", "joe"]) == "2356"
    assert await chosen(who, unassigned=True) == "14"
    assert await chosen(who, unassigned=True, assignee_ids=["ann"]) == "1245"
    assert await chosen(who, assignee_ids=["nobody known"]) == ""
    assert await chosen(who, creator_ids=["joe"]) == "23"
    assert await chosen(who, creator_ids=["joe", "ann"], assignee_ids=["ann"]) == "25"
    assert await chosen(who, unassigned=True, states=[PENDING], creator_ids=["ann"]) == ""


async def test_a_filter_chooses_tasks_that_have_all_its_labels(team: Team) -> None:
    await filled(team)
    who = team.caller("joe")
    assert await chosen(who, labels={"a": "1"}) == "236"
    assert await chosen(who, labels={"a": "1", "b": "2"}) == "26"
    assert await chosen(who, labels={"c": ""}) == "5"
    for labels in ({"a": ""}, {"a": "2"}, {"A": "1"}, {"b": "1"}, {"1": "a"}, {"a": "%"}):
        assert await chosen(who, labels=labels) == ""


async def test_a_filter_chooses_by_times_from_and_until(team: Team) -> None:
    tasks = await filled(team)
    who = team.caller("joe")
    for index, task in enumerate(tasks):
        first, after = task.create_time, later(task.create_time, 1)
        assert await chosen(who, create_time=TimeRange(start_time=first)) == "123456"[index:]
        assert await chosen(who, create_time=TimeRange(end_time=first)) == "123456"[:index]
        only = TimeRange(start_time=first, end_time=after)
        assert await chosen(who, create_time=only) == str(index + 1)
    ends = {task.task_id: task.end_time for task in tasks}
    for times, expected in (
        (TimeRange(start_time=ends["3"]), "345"),
        (TimeRange(start_time=later(ends["3"], 1)), "45"),
        (TimeRange(end_time=ends["5"]), "34"),
        (TimeRange(start_time=ends["4"], end_time=ends["5"]), "4"),
        (TimeRange(start_time=ends["4"], end_time=ends["4"]), ""),
    ):
        assert await chosen(who, end_time=times) == expected


@pytest.mark.parametrize("order", [types_pb2.ORDER_OLDEST_FIRST, types_pb2.ORDER_NEWEST_FIRST])
@pytest.mark.parametrize("page_size", [1, 2, 5, 6, 1_000])
async def test_pages_give_every_task_once_in_order(
    team: Team, page_size: int, order: types_pb2.Order.ValueType
) -> None:
    await filled(team)
    listed = ids(await team.caller().all(page_size=page_size, order=order))
    assert listed == sorted(listed, reverse=order == types_pb2.ORDER_NEWEST_FIRST)
    assert len(listed) == 6


async def test_a_page_has_fifty_tasks_unless_asked(team: Team) -> None:
    joe = team.caller("joe")
    for number in range(51):
        await joe.made(task_id=str(number))
    page = await joe.page()
    assert ids(page.tasks) == [str(number) for number in range(50)]
    last = await joe.page(page_token=page.next_page_token)
    assert (ids(last.tasks), last.next_page_token) == (["50"], "")


async def test_a_page_ends_at_a_mebibyte(team: Team) -> None:
    joe = team.caller("joe")
    for number in range(6):
        await joe.made(task_id=str(number), description="d" * 250_000)
    page = await joe.page()
    assert ids(page.tasks) == ["0", "1", "2", "3"]
    assert ids(await joe.all()) == [str(number) for number in range(6)]


async def test_tasks_made_or_deleted_between_pages_disturb_no_other(team: Team) -> None:
    tasks = await filled(team)
    joe = team.caller("joe")
    first = await joe.page(page_size=2)
    await joe.do("delete", "3")
    await joe.do("delete", tasks[0].task_id)
    await joe.made(task_id="7")
    rest = await joe.page(page_size=50, page_token=first.next_page_token)
    assert (ids(first.tasks), ids(rest.tasks)) == (["1", "2"], ["4", "5", "6", "7"])


async def test_a_token_is_good_only_for_the_request_it_came_from(team: Team) -> None:
    await filled(team)
    joe = team.caller("joe")
    token = (await joe.page(page_size=2)).next_page_token
    other_team = Team.new(team.pair).caller("joe")
    wrong: list[tuple[Caller, dict[str, Any]]] = [
        (joe, {"order": types_pb2.ORDER_NEWEST_FIRST}),
        (joe, {"filter": pb.TaskFilter(states=[PENDING])}),
        (joe, {"filter": pb.TaskFilter(labels={"a": "1"})}),
        (other_team, {}),
    ]
    for worker, fields in wrong:
        assert await faults(worker.page(page_token=token, **fields)) == {"page_token"}
    assert ids((await joe.page(page_token=token, page_size=3)).tasks) == ["3", "4", "5"]
    assert ids((await team.caller("ann").page(page_token=token)).tasks) == ["3", "4", "5", "6"]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("page_size", {"page_size": -1}),
        ("page_token", {"page_token": "x"}),
        ("page_token", {"page_token": "WyIxIiwgIiJd"}),
        ("page_token", {"page_token": "é"}),
        ("order", {"order": 7}),
        ("filter.states[0]", {"filter": {"states": [0]}}),
        ("filter.states[1]", {"filter": {"states": [1, 7]}}),
        ("filter.assignee_ids[0]", {"filter": {"assignee_ids": [""]}}),
        ("filter.creator_ids[1]", {"filter": {"creator_ids": ["joe", "x "]}}),
        ('filter.labels[""]', {"filter": {"labels": {"": "x"}}}),
        (
            "filter.create_time.end_time",
            {"filter": {"create_time": {"start_time": {"seconds": 2}, "end_time": SECOND}}},
        ),
        (
            "filter.end_time.end_time",
            {"filter": {"end_time": {"start_time": {"seconds": 2}, "end_time": SECOND}}},
        ),
    ],
)
async def test_what_is_wrong_with_a_listing_is_named(
    team: Team, field: str, fields: dict[str, Any]
) -> None:
    assert await faults(team.caller().page(**fields)) == {field}


async def test_a_page_that_is_too_large_is_as_large_as_it_may_be(team: Team) -> None:
    joe = team.caller("joe")
    drafts = [pb.CreateTaskRequest(title="t")] * 1_000
    await joe.call(pb.BatchCreateTasksRequest(requests=drafts))
    await joe.made()
    page = await joe.page(page_size=5_000)
    assert (len(page.tasks), bool(page.next_page_token)) == (1_000, True)


async def test_a_filter_may_name_a_thousand_agents(team: Team) -> None:
    await filled(team)
    names = [f"a{number}" for number in range(999)]
    for field in ("assignee_ids", "creator_ids"):
        listed = await team.caller().page(filter={field: [*names, "ann"]})
        assert len(listed.tasks) == 2
