"""Searching tasks: by what they say now, newest first, in which of their fields."""

from __future__ import annotations

from typing import Any

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1.types_pb2 import TimeRange
from support.callers import Caller, seconds
from support.refusals import faults
from support.teams import Team


async def hits(caller: Caller, query: str, **fields: Any) -> list[pb.TaskHit]:
    """All hits, page by page."""
    found: list[pb.TaskHit] = []
    token = ""
    while True:
        request = pb.SearchTasksRequest(query=query, page_token=token, **fields)
        page = await caller.call(request)
        found += page.hits
        token = page.next_page_token
        if not token:
            return found


async def found(caller: Caller, query: str, **fields: Any) -> list[str]:
    """The ids of all hits."""
    return [hit.task.task_id for hit in await hits(caller, query, **fields)]


async def places(caller: Caller, query: str) -> list[str]:
    """The fields in which the only hit was found."""
    (hit,) = await hits(caller, query)
    prefix = "TASK_FIELD_"
    return [pb.TaskField.Name(each.field).removeprefix(prefix) for each in hit.places]


async def test_a_task_is_found_by_what_it_says_now(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    task = await ann.made(
        title="Dig the garden", description="With a spade, deep", initial_backoff=seconds(0)
    )
    (hit,) = await hits(bob, "GARDEN spade")
    assert hit.task == await bob.get(task.task_id)
    assert await places(bob, "spade garden") == ["TITLE", "DESCRIPTION"]
    request = pb.UpdateTaskRequest(task=pb.Task(task_id=task.task_id, title="Dig the meadow"))
    request.update_mask.paths.append("title")
    await ann.call(request)
    assert await found(bob, "garden") == []
    assert await places(bob, "meadow") == ["TITLE"]
    token = await bob.held(task.task_id)
    progress = pb.TaskProgress(percent=5, note="found a root")
    await bob.do("heartbeat", task.task_id, lease_token=token, progress=progress)
    assert await places(bob, "root") == ["PROGRESS"]
    await bob.do("request-input", task.task_id, lease_token=token, text="Which axe?")
    await ann.do("provide-input", task.task_id, text="The blunt hatchet")
    assert await places(ann, "axe hatchet") == ["QUESTION", "ANSWER"]
    failure = pb.TaskFailure(message="rain flooded it", retryable=True)
    await bob.do("fail", task.task_id, lease_token=token, failure=failure)
    assert await places(ann, "flooded") == ["LAST_FAILURE"]
    await bob.do("start", task.task_id)
    await bob.do("complete", task.task_id, result=pb.TaskResult(summary="all of it turned"))
    assert await places(ann, "turned") == ["RESULT"]
    await ann.do("reopen", task.task_id)
    assert await found(ann, "turned") == []
    await ann.do("cancel", task.task_id, reason="winter came")
    assert await places(ann, "winter") == ["CANCEL_REASON"]
    await ann.do("delete", task.task_id)
    assert await found(ann, "meadow") == []


async def test_filters_choose_among_the_hits_and_pages_join(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    root = await ann.made(title="word zero", labels={"k": "v"})
    one = await ann.made(title="word one", assignee_id="bob", parent_task_id=root.task_id)
    two = await bob.made(
        title="word two", thread_id="th", links=[pb.TaskLink(kind="x", task_id=one.task_id)]
    )
    three = await bob.made(title="other word", assignee_id="ann")
    await bob.do("start", one.task_id)
    names = {task.task_id: n for n, task in enumerate((root, one, two, three))}
    after = TimeRange(start_time=two.create_time)
    before = TimeRange(end_time=two.create_time)
    changed = TimeRange(start_time=(await bob.get(one.task_id)).update_time)
    for expected, filter in [
        ("3210", pb.TaskFilter()),
        ("1", pb.TaskFilter(states=[pb.TASK_STATE_IN_PROGRESS])),
        ("320", pb.TaskFilter(states=[pb.TASK_STATE_PENDING, pb.TASK_STATE_FAILED])),
        ("1", pb.TaskFilter(assignee_ids=["bob"])),
        ("210", pb.TaskFilter(assignee_ids=["bob"], unassigned=True)),
        ("32", pb.TaskFilter(creator_ids=["bob"])),
        ("0", pb.TaskFilter(labels={"k": "v"})),
        ("1", pb.TaskFilter(parent_task_id=root.task_id)),
        ("2", pb.TaskFilter(linked_task_id=one.task_id)),
        ("2", pb.TaskFilter(thread_id="th")),
        ("32", pb.TaskFilter(create_time=after)),
        ("10", pb.TaskFilter(create_time=before)),
        ("1", pb.TaskFilter(update_time=changed)),
        ("", pb.TaskFilter(end_time=after)),
    ]:
        for page_size in (0, 1):
            ids = await found(ann, "word", filter=filter, page_size=page_size)
            assert "".join(str(names[each]) for each in ids) == expected, filter
    assert await found(ann, '"word two"') == [two.task_id]
    assert await found(await stranger(team), "word") == []
    assert await faults(hits(ann, "+", filter=pb.TaskFilter(thread_id=" "))) == {
        "query",
        "filter.thread_id",
    }


async def stranger(team: Team) -> Caller:
    """An agent of another team."""
    (ann,) = await Team.new(team.pair).known("ann")
    return ann
