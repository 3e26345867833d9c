"""Links: that tasks have to do with each other, of a kind that callers choose."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from dovetail.server.store import pages
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.callers import Caller, ids
from support.refusals import faults, refusal
from support.teams import Team


def links(*words: str) -> list[pb.TaskLink]:
    """Links as the command line writes them: "relates_to:a"."""
    pairs = (word.split(":") for word in words)
    return [pb.TaskLink(kind=kind, task_id=task_id) for kind, task_id in pairs]


def words(task: pb.Task) -> list[str]:
    return [f"{link.kind}:{link.task_id}" for link in task.links]


async def linked(joe: Caller, task_id: str, *to: str) -> pb.Task:
    return await joe.did("update", task_id, values={"links": links(*to)})


async def linking(joe: Caller, task_id: str) -> list[str]:
    return ids(await joe.all(pb.TaskFilter(linked_task_id=task_id)))


async def test_links_are_set_when_a_task_is_made_and_later(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    await joe.made(task_id="b")
    made = await joe.made(task_id="c", links=links("relates_to:a", "blocks:a", "relates_to:b"))
    assert words(made) == ["relates_to:a", "blocks:a", "relates_to:b"]
    assert (await linking(joe, "a"), await linking(joe, "b")) == (["c"], ["c"])
    assert words(await linked(joe, "b", "duplicates:a")) == ["duplicates:a"]
    assert await linking(joe, "a") == ["b", "c"]
    await linked(joe, "c", "relates_to:b")
    assert words(await joe.get("c")) == ["relates_to:b"]
    assert (await linking(joe, "a"), await linking(joe, "b")) == (["b"], ["c"])
    await linked(joe, "c")
    assert (words(await joe.get("c")), await linking(joe, "b")) == ([], [])
    listed = {task.task_id: words(task) for task in await joe.all()}
    assert listed == {"a": [], "b": ["duplicates:a"], "c": []}


async def test_a_change_of_links_is_in_the_history(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    await joe.made(task_id="b")
    etag = (await linked(joe, "b", "relates_to:a")).etag
    assert (await linked(joe, "b", "relates_to:a")).etag == etag
    request = pb.ListTaskEventsRequest(filter=pb.TaskEventFilter(task_id="b"))
    last = (await joe.call(request)).events[-1]
    (change,) = last.changes
    assert MessageToDict(change) == {
        "field": "links",
        "oldValue": [],
        "newValue": [{"kind": "relates_to", "task_id": "a"}],
    }


async def test_links_change_nothing_else(team: Team) -> None:
    """They may form a cycle, keep no task from being done, and do not keep the other one."""
    joe = team.caller("joe")
    await joe.made(task_id="a")
    await joe.made(task_id="b", links=links("relates_to:a"))
    await linked(joe, "a", "relates_to:b")
    for task_id in "ba":
        await joe.do("start", task_id)
        await joe.do("complete", task_id)
    await joe.do("delete", "a")
    assert words(await joe.get("b")) == ["relates_to:a"]
    assert await linking(joe, "b") == []


async def test_a_task_that_is_not_there_cannot_be_linked_but_an_old_link_to_it_stays(
    team: Team,
) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    await joe.made(task_id="b", links=links("relates_to:a"))
    await joe.do("delete", "a")
    kept = await linked(joe, "b", "blocks:a", "relates_to:a")
    assert words(kept) == ["blocks:a", "relates_to:a"]
    for calls in (
        linked(joe, "b", "relates_to:a", "relates_to:x"),
        joe.made(task_id="c", links=links("relates_to:a")),
        joe.made(task_id="c", links=links("relates_to:x")),
    ):
        code, reason, _ = await refusal(calls)
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert words(await joe.get("b")) == words(kept)


async def test_tasks_of_a_batch_may_link_to_each_other(team: Team) -> None:
    joe = team.caller("joe")
    drafts = [
        pb.CreateTaskRequest(title="t", task_id=a, links=links(f"relates_to:{b}"))
        for a, b in ("ab", "ba")
    ]
    made = (await joe.call(pb.BatchCreateTasksRequest(requests=drafts))).tasks
    assert [words(task) for task in made] == [[], []]  # In outline.
    assert [words(await joe.get(each)) for each in "ab"] == [["relates_to:b"], ["relates_to:a"]]
    assert await linking(joe, "a") == ["b"]


LINK = {"kind": "relates_to", "task_id": "a"}
WRONG: list[tuple[str, list[Any]]] = [
    ("", [LINK] * 2),
    ("[0].kind", [LINK | {"kind": ""}]),
    ("[1].kind", [LINK, LINK | {"kind": "relates to"}]),
    ("[0].kind", [LINK | {"kind": "k" * 65}]),
    ("[0].kind", [LINK | {"kind": "a:b"}]),
    ("[0].task_id", [LINK | {"task_id": ""}]),
    ("[0].task_id", [LINK | {"task_id": " a"}]),
    ("[0].task_id", [LINK | {"task_id": "me"}]),
    ("", [LINK | {"kind": f"k{n}"} for n in range(33)]),
]


@pytest.mark.parametrize(("field", "wrong"), WRONG)
async def test_what_is_wrong_with_links_is_named(team: Team, field: str, wrong: list[Any]) -> None:
    joe = team.caller("joe")
    assert await faults(joe.create(task_id="me", links=wrong)) == {f"links{field}"}
    update = joe.do("update", "me", values={"links": wrong})
    assert await faults(update) == {f"task.links{field}"}


async def test_a_task_may_have_thirty_two_links(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    most = [pb.TaskLink(kind="k" * (n + 1), task_id="a") for n in range(32)]
    assert len((await joe.made(links=most)).links) == 32


async def test_the_links_to_a_task_come_page_by_page_and_in_steps(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="a")
    for number in range(5):
        await joe.made(task_id=str(number), links=links("relates_to:a"))
    filter = pb.TaskFilter(linked_task_id="a")
    monkeypatch.setattr(pages, "STEP_ROWS", 3)
    assert ids(await joe.all(filter, page_size=2)) == [str(number) for number in range(5)]
    found = await joe.all(filter, page_size=2, order=2, order_by=pb.TASK_ORDER_UPDATE_TIME)
    assert ids(found) == [str(number) for number in range(5)][::-1]
    assert (await joe.report(filter=filter)).total_tasks == 5
    assert [each.task.task_id for each in await joe.claim(filter=filter)] == ["0"]
