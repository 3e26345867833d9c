"""Moving a task below another: the parent in an update, its errors, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Awaitable

import grpc
import pytest

from dovetail.server.store.tables import trees
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.callers import Caller, ids
from support.refusals import refusal
from support.tables import CANCELLED, COMPLETED, IN_PROGRESS, INPUT_REQUIRED, PENDING
from support.teams import Team


async def moved(joe: Caller, task_id: str, parent_id: str) -> pb.Task:
    return await joe.did("update", task_id, values={"parent_task_id": parent_id})


async def tree(joe: Caller, *pairs: str) -> None:
    """Tasks below others: "b a" is b, a part of a."""
    for pair in pairs:
        task_id, *above = pair.split()
        await joe.made(task_id=task_id, parent_task_id="".join(above))


async def parts(joe: Caller, parent_id: str) -> list[str]:
    return ids(await joe.all(pb.TaskFilter(parent_task_id=parent_id)))


async def test_a_task_becomes_a_part_of_another_later_and_of_none_again(team: Team) -> None:
    joe = team.caller("joe")
    await tree(joe, "a", "b", "c")
    assert (await moved(joe, "c", "a")).parent_task_id == "a"
    assert await parts(joe, "a") == ["c"]
    assert (await moved(joe, "c", "b")).parent_task_id == "b"
    assert (await parts(joe, "a"), await parts(joe, "b")) == ([], ["c"])
    etag = (await moved(joe, "c", "")).etag
    assert await parts(joe, "b") == []
    assert (await moved(joe, "c", "")).etag == etag  # Nothing changes: nothing is written.
    events = (
        await joe.call(pb.ListTaskEventsRequest(filter=pb.TaskEventFilter(task_id="c")))
    ).events
    changes = [
        (each.field, each.old_value.string_value, each.new_value.string_value)
        for event in events
        for each in event.changes
    ]
    field = "parent_task_id"
    assert changes == [(field, "", "a"), (field, "a", "b"), (field, "b", "")]


@pytest.mark.parametrize("state", [PENDING, IN_PROGRESS, INPUT_REQUIRED])
async def test_a_parent_may_change_until_the_task_has_ended(
    team: Team, state: pb.TaskState.ValueType
) -> None:
    joe, ann = await team.known("joe", "ann")
    await tree(joe, "a", "b")
    await ann.bring("b", state)
    assert (await moved(joe, "b", "a")).parent_task_id == "a"
    assert (await joe.did("cancel", "a", cascade=True)).state == CANCELLED
    assert (await joe.get("b")).state == CANCELLED
    assert (await refusal(moved(joe, "b", "")))[1] == "TASK_STATE"


async def test_a_task_may_become_a_part_of_one_that_has_ended(team: Team) -> None:
    joe = team.caller("joe")
    await tree(joe, "a", "b")
    await joe.bring("a", COMPLETED)
    assert (await moved(joe, "b", "a")).parent_task_id == "a"


async def test_a_parent_that_is_unknown_or_deleted_is_not_found(team: Team) -> None:
    joe = team.caller("joe")
    await tree(joe, "a", "b")
    await joe.do("delete", "a")
    for parent_id, deleted in (("a", "true"), ("x", "false")):
        code, reason, metadata = await refusal(moved(joe, "b", parent_id))
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
        assert metadata == {"task_id": parent_id, "deleted": deleted}


async def test_a_task_never_becomes_a_part_of_itself(team: Team) -> None:
    joe = team.caller("joe")
    await tree(joe, "a", "b a", "c b", "d c", "x")
    before = [await team.picture(each) for each in "abcd"]
    for parent_id, path in (("a", "aa"), ("b", "aba"), ("d", "adcba")):
        code, reason, metadata = await refusal(moved(joe, "a", parent_id))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PARENT_CYCLE")
        assert metadata["field"] == "task.parent_task_id"
        assert json.loads(metadata["path"]) == list(path)
    assert [await team.picture(each) for each in "abcd"] == before
    await moved(joe, "c", "x")
    assert (await moved(joe, "a", "d")).parent_task_id == "d"


async def test_a_way_up_leads_through_deleted_tasks_too(team: Team) -> None:
    joe = team.caller("joe")
    await tree(joe, "a", "b a", "c b")
    await joe.do("delete", "b")
    assert (await refusal(moved(joe, "a", "c")))[1] == "PARENT_CYCLE"


async def chain(joe: Caller, name: str, length: int, top: str = "") -> None:
    """Tasks of which each is a part of the one before: NAME0 is a part of `top`."""
    drafts = [
        pb.CreateTaskRequest(
            task_id=f"{name}{n}", title="t", parent_task_id=f"{name}{n - 1}" if n else top
        )
        for n in range(length)
    ]
    await joe.call(pb.BatchCreateTasksRequest(requests=drafts[::-1]))


async def too_deep(call: Awaitable[object]) -> None:
    """The call is refused, since its tree would have too many levels."""
    code, reason, metadata = await refusal(call)
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS")
    assert metadata == {"most": str(trees.LEVELS_MAX)}


async def test_a_tree_has_a_hundred_levels_below_its_top_and_no_more(team: Team) -> None:
    joe = team.caller("joe")
    most = trees.LEVELS_MAX
    await chain(joe, "t", most)
    await joe.made(task_id="last", parent_task_id=f"t{most - 1}")
    await too_deep(joe.made(task_id="x", parent_task_id="last"))
    await too_deep(chain(joe, "y", 3, top=f"t{most - 2}"))
    unnamed = pb.CreateTaskRequest(title="t", parent_task_id="last")
    batch = pb.BatchCreateTasksRequest(requests=[pb.CreateTaskRequest(title="t"), unnamed])
    await too_deep(joe.call(batch))
    assert await parts(joe, "last") == []
    await chain(joe, "y", 2, top=f"t{most - 2}")


async def test_a_tree_moves_only_to_where_it_has_room_below(team: Team) -> None:
    joe = team.caller("joe")
    most = trees.LEVELS_MAX
    await chain(joe, "t", most)
    await chain(joe, "s", 3)
    await joe.made(task_id="leaf")
    await too_deep(moved(joe, "s0", f"t{most - 2}"))
    assert (await moved(joe, "s0", f"t{most - 3}")).parent_task_id == f"t{most - 3}"
    await too_deep(moved(joe, "leaf", "s2"))
    assert (await moved(joe, "leaf", "s1")).parent_task_id == "s1"
    assert (await refusal(moved(joe, "t1", "leaf")))[1] == "PARENT_CYCLE"
