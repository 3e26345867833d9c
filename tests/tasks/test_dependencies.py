"""Dependencies: what a task waits for, what a completion wakes, and cycles that are refused."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from dovetail.server.store import group
from dovetail.server.store.tables import dependencies, follow_ups
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.refusals import faults, refusal
from support.tables import COMPLETED, PENDING
from support.teams import Team
from support.waiting import until

READY = types_pb2.TASK_VERB_BECOME_READY
FOLLOWERS = 8
DEPENDENCY_FAILED = types_pb2.TASK_VERB_FAIL_DEPENDENCY


async def chain(joe: Caller, *edges: str, **fields: Any) -> None:
    """Tasks that wait for others: "c a b" is c, which waits for a and b."""
    for edge in edges:
        task_id, *depends_on = edge.split()
        await joe.made(task_id=task_id, depends_on=depends_on, **fields)


async def finish(worker: Caller, task_id: str) -> Any:
    await worker.do("start", task_id)
    return await worker.do("complete", task_id)


async def waiting_for(worker: Caller, task_id: str) -> int:
    return (await worker.get(task_id)).waiting_for_count


async def test_a_task_is_ready_when_all_that_it_waits_for_is_completed(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await chain(joe, "a", "b")
    await finish(joe, "a")
    await chain(joe, "c a b", assignee_id="ann")
    task = await joe.get("c")
    assert (list(task.depends_on), task.waiting_for_count) == (["a", "b"], 1)
    code, reason, metadata = await refusal(ann.do("start", "c"))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_READY")
    assert metadata == {
        "task_id": "c",
        "waiting_for": '["b"]',
        "waiting_for_count": "1",
        "waits_for_time": "false",
    }
    assert await ann.claim() == [] or (await joe.get("b")).assignee_id == "ann"
    await joe.do("unassign", "b", force=True)
    response = await finish(joe, "b")
    assert [notice.recipient_id for notice in response.notices] == ["ann"]
    assert await team.verbs("c") == ["create", "become-ready"]
    assert (await team.events("c"))[-1].actor_id == "joe"
    last = (await ann.received())[-1].message
    assert (last.notice.verb, last.task_id) == (READY, "c")
    assert (await finish(ann, "c")).task.state == COMPLETED


async def test_reopening_a_dependency_makes_a_task_wait_again(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b a")
    await finish(joe, "a")
    assert await waiting_for(joe, "b") == 0
    await joe.do("reopen", "a")
    assert await waiting_for(joe, "b") == 1
    assert (await refusal(joe.do("start", "b")))[1] == "TASK_NOT_READY"
    await finish(joe, "a")
    assert (await finish(joe, "b")).task.state == COMPLETED


@pytest.mark.parametrize("end", ["fail", "cancel"])
async def test_a_dependency_that_ends_badly_tells_who_made_what_waits_for_it(
    team: Team, end: str
) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    await chain(joe, "a")
    await chain(ann, "b a", "c a")
    await chain(bob, "d a", "e b", assignee_id="joe")
    await bob.do("cancel", "d")
    told = [notice.recipient_id for notice in (await joe.do(end, "a")).notices]
    assert told == ["ann", "ann"]
    for task_id in ("b", "c"):
        assert await team.verbs(task_id) == ["create", "fail-dependency"]
        assert (await joe.get(task_id)).state == PENDING
        assert await waiting_for(joe, task_id) == 1
    events = [(d.message.notice.verb, d.message.task_id) for d in await ann.received()]
    assert events == [(DEPENDENCY_FAILED, "b"), (DEPENDENCY_FAILED, "c")]
    assert await team.verbs("e") == ["create"]


async def test_a_new_cycle_is_refused_with_its_path(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b a", "c b", "x")
    before = [await team.picture(each) for each in "abcx"]
    for depends_on, path in ((["x", "c"], ["a", "c", "b", "a"]), (["a"], ["a", "a"])):
        code, reason, metadata = await refusal(
            joe.do("update", "a", values={"depends_on": depends_on})
        )
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DEPENDENCY_CYCLE")
        assert (metadata["field"], json.loads(metadata["path"])) == ("task.depends_on", path)
    assert [await team.picture(each) for each in "abcx"] == before


async def test_a_cycle_that_a_reopened_task_would_close_is_refused(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b a")
    await finish(joe, "a")
    await finish(joe, "b")
    await joe.do("reopen", "a")
    # b is COMPLETED and waits for nothing, so a may wait for it; but then b must stay as it is.
    await joe.do("update", "a", values={"depends_on": ["b"]})
    before = await team.picture("b")
    code, reason, metadata = await refusal(joe.do("reopen", "b"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DEPENDENCY_CYCLE")
    assert (metadata["field"], json.loads(metadata["path"])) == ("task_id", ["b", "a", "b"])
    assert await team.picture("b") == before
    assert (await finish(joe, "a")).task.state == COMPLETED


async def test_a_search_for_cycles_ends_at_its_limit(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain longer than the limit; what of it is COMPLETED is not counted."""
    joe = team.caller("joe")
    await chain(joe, "t0", *(f"t{n} t{n - 1}" for n in range(1, 8)), "free")
    monkeypatch.setattr(dependencies, "REACHED_TASKS_MAX", 7)
    for task_id, last in (("free", "t7"), ("t0", "t7")):
        code, reason, metadata = await refusal(
            joe.do("update", task_id, values={"depends_on": [last]})
        )
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS")
        assert metadata == {"most": "7"}
    await finish(joe, "t0")
    await joe.do("update", "free", values={"depends_on": ["t7"]})
    assert await waiting_for(joe, "free") == 1


async def test_an_update_replaces_what_a_task_waits_for(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b", "c", "d a b")
    await finish(joe, "c")
    task = await joe.did("update", "d", values={"depends_on": ["b", "c"]})
    assert (list(task.depends_on), task.waiting_for_count) == (["b", "c"], 1)
    await finish(joe, "a")
    assert await waiting_for(joe, "d") == 1
    await finish(joe, "b")
    assert await waiting_for(joe, "d") == 0


async def test_dependencies_change_only_while_a_task_is_pending(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b")
    await joe.do("start", "b")
    before = await team.picture("b")
    code, reason, metadata = await refusal(joe.do("update", "b", values={"depends_on": ["a"]}))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE")
    assert metadata["state"] == "IN_PROGRESS"
    assert await team.picture("b") == before
    assert (await joe.did("update", "b", values={"depends_on": [], "priority": 1})).priority == 1


async def test_what_open_tasks_wait_for_cannot_be_deleted(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b a")
    before = await team.picture("a")
    code, reason, metadata = await refusal(joe.do("delete", "a"))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_DEPENDED_ON")
    assert metadata == {"task_id": "a", "dependent_id": "b"}
    assert await team.picture("a") == before
    await joe.do("cancel", "b")
    await joe.do("delete", "a")


async def test_unknown_and_deleted_tasks_cannot_be_waited_for(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "gone")
    await joe.do("delete", "gone")
    for missing in ("nowhere", "gone"):
        for call in (
            joe.create(depends_on=["a", missing]),
            joe.create(parent_task_id=missing),
            joe.do("update", "a", values={"depends_on": [missing]}),
        ):
            code, reason, metadata = await refusal(call)
            assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
            assert metadata["task_id"] == missing
    assert [task.task_id for task in await joe.all()] == ["a"]


async def test_a_task_may_wait_for_a_hundred_others_and_no_more(team: Team) -> None:
    joe = team.caller("joe")
    names = [f"n{number}" for number in range(101)]
    drafts = [pb.CreateTaskRequest(task_id=name, title="t") for name in names]
    await joe.call(pb.BatchCreateTasksRequest(requests=drafts))
    assert await faults(joe.create(depends_on=names)) == {"depends_on"}
    assert await faults(joe.create(depends_on=["n1", "n1"])) == {"depends_on"}
    assert await faults(joe.do("update", "n0", values={"depends_on": names})) == {"task.depends_on"}
    assert (await joe.made(depends_on=names[1:])).waiting_for_count == 100


async def test_many_tasks_become_ready_by_one_completion(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="first")
    drafts = [pb.CreateTaskRequest(title="t", depends_on=["first"]) for _ in range(200)]
    made = (await joe.call(pb.BatchCreateTasksRequest(requests=drafts))).tasks
    assert {task.waiting_for_count for task in made} == {1}
    await finish(joe, "first")
    assert len(await team.caller("ann").claim(max_tasks=100)) == 100
    assert len(await team.caller("bob").claim(max_tasks=100)) == 100


async def test_a_deleted_task_wakes_nobody_and_is_not_woken(team: Team) -> None:
    joe = team.caller("joe")
    await chain(joe, "a", "b a")
    await joe.do("delete", "b")
    await finish(joe, "a")
    assert await team.verbs("b") == ["create", "delete"]


async def times_told(team: Team, verb: str) -> dict[str, int]:
    """How often each task has an event of this verb."""
    return {f"w{n}": (await team.verbs(f"w{n}")).count(verb) for n in range(FOLLOWERS)}


async def with_followers(team: Team, *waits_for: str) -> Caller:
    joe, ann = await team.known("joe", "ann")
    await chain(joe, *waits_for)
    for number in range(FOLLOWERS):
        await chain(joe, f"w{number} {' '.join(waits_for)}", assignee_id="ann")
    return ann


async def test_very_many_waiting_tasks_are_told_step_by_step_and_each_once(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are ready with the commit; so many are told in it, the rest in commits that follow."""
    monkeypatch.setattr(group, "FOLLOWERS_MAX", 3)
    ann = await with_followers(team, "a")
    joe = team.caller("joe")
    response = await finish(joe, "a")
    assert len(response.notices) == 3
    assert [await waiting_for(joe, f"w{n}") for n in range(FOLLOWERS)] == [0] * FOLLOWERS
    await until(lambda: all_told(team, "become-ready"))
    told = [d.message.task_id for d in await ann.received() if d.message.notice.verb == READY]
    assert told == [f"w{n}" for n in range(FOLLOWERS)]
    assert set((await times_told(team, "become-ready")).values()) == {1}


async def all_told(team: Team, verb: str) -> bool:
    return min((await times_told(team, verb)).values()) > 0


async def test_tasks_that_two_completions_make_ready_are_told_once(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "FOLLOWERS_MAX", 2)
    ann = await with_followers(team, "a", "b")
    joe = team.caller("joe")
    for task_id in ("a", "b"):
        await finish(joe, task_id)
    await joe.do("reopen", "a")
    await finish(joe, "a")
    await until(lambda: all_told(team, "become-ready"))
    await until(lambda: nothing_left(team))
    told = [d.message.task_id for d in await ann.received() if d.message.notice.verb == READY]
    counts = await times_told(team, "become-ready")
    assert {task_id: told.count(task_id) for task_id in counts} == counts
    assert max(counts.values()) <= 2


async def nothing_left(team: Team) -> bool:
    return not await team.pair.tasks_store.read("", lambda s: follow_ups.first(s, 1))


async def test_what_a_failure_tells_step_by_step_ends_when_the_task_is_reopened(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "FOLLOWERS_MAX", 1)
    await with_followers(team, "a")
    joe = team.caller("joe")
    await joe.do("fail", "a")
    await joe.do("reopen", "a")
    await until(lambda: nothing_left(team))
    assert 1 <= sum((await times_told(team, "fail-dependency")).values()) <= FOLLOWERS
    assert [await waiting_for(joe, f"w{n}") for n in range(FOLLOWERS)] == [1] * FOLLOWERS
