"""Many tasks in one commit: made all or none, completed each by itself, cancelled with parts."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import grpc
import pytest

from dovetail.server.store.tables.events import TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller, ids
from support.refusals import faults, refusal
from support.tables import CANCELLED, COMPLETED, PENDING
from support.teams import Team

GRAPH = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}


def batch(*drafts: dict[str, Any], **fields: Any) -> pb.BatchCreateTasksRequest:
    made = [_draft(**draft) for draft in drafts]
    return pb.BatchCreateTasksRequest(requests=made, **fields)


def outline(task: pb.Task) -> pb.Task:
    """A task that says nothing but a title, as the answer to a batch has it."""
    made = pb.Task()
    made.CopyFrom(task)
    made.ClearField("title")
    return made


def _draft(**fields: Any) -> pb.CreateTaskRequest:
    fields.setdefault("title", "t")
    return pb.CreateTaskRequest(**fields)


async def test_a_thousand_tasks_are_made_in_one_commit(team: Team) -> None:
    joe = team.caller("joe")
    made = (await joe.call(batch(*({"priority": n} for n in range(1_000))))).tasks
    assert [task.priority for task in made] == list(range(1_000))
    assert len({task.update_time.ToMicroseconds() for task in made}) == 1
    assert [*map(outline, await joe.all(page_size=1_000))] == list(made)
    assert await faults(joe.call(batch(*({} for _ in range(1_001))))) == {"requests"}
    assert await faults(joe.call(batch())) == {"requests"}


async def test_tasks_of_a_batch_may_wait_for_each_other_in_any_order(team: Team) -> None:
    joe = team.caller("joe")
    drafts = [{"task_id": name, "depends_on": on} for name, on in GRAPH.items()]
    made = (await joe.call(batch(*drafts))).tasks
    assert {task.task_id: task.waiting_for_count for task in made} == {
        "d": 2,
        "b": 1,
        "c": 1,
        "a": 0,
    }
    done: list[str] = []
    while given := await joe.claim(max_tasks=10):
        for each in given:
            await joe.do("complete", each.task.task_id, lease_token=each.lease_token)
            done.append(each.task.task_id)
    assert (done[0], sorted(done[1:3]), done[3]) == ("a", ["b", "c"], "d")


async def test_a_batch_waits_for_what_was_there_before_too(team: Team) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="old")
    made = (await joe.call(batch({"task_id": "a"}, {"depends_on": ["a", "old"]}))).tasks
    assert made[1].waiting_for_count == 2


@pytest.mark.parametrize(
    ("drafts", "reason", "told"),
    [
        ([{"task_id": "a"}, {"task_id": "old"}], "TASK_EXISTS", {"task_id": "old"}),
        ([{}, {"depends_on": ["nowhere"]}], "TASK_NOT_FOUND", {"task_id": "nowhere"}),
        ([{}, {"parent_task_id": "nowhere"}], "TASK_NOT_FOUND", {"task_id": "nowhere"}),
        ([{}, {"assignee_id": "nobody"}], "AGENT_NOT_FOUND", {"agent_ids": '["nobody"]'}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_one_wrong_task_of_a_batch_leaves_all_unmade(
    team: Team, drafts: list[dict[str, Any]], reason: str, told: dict[str, str]
) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="old")
    code, found, metadata = await refusal(joe.call(batch(*drafts)))
    assert (code.name, found) == (
        "ALREADY_EXISTS" if reason == "TASK_EXISTS" else "NOT_FOUND",
        reason,
    )
    assert told.items() <= metadata.items()
    assert ids(await joe.all()) == ["old"]


async def test_a_cycle_within_a_batch_is_refused_with_its_path(team: Team) -> None:
    joe = team.caller("joe")
    for field, refused in (
        ("depends_on", "DEPENDENCY_CYCLE"),
        ("parent_task_id", "PARENT_CYCLE"),
    ):

        def points(to: str, field: str = field) -> dict[str, Any]:
            return {field: [to] if field == "depends_on" else to}

        for names in (["a", "b", "c"], ["a"]):
            following = [*names[1:], names[0]]
            drafts = [
                {"task_id": name, **points(to)} for name, to in zip(names, following, strict=True)
            ]
            code, reason, metadata = await refusal(joe.call(batch({}, *drafts)))
            assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, refused)
            path = json.loads(metadata["path"])
            assert path[0] == path[-1]
            steps = dict(zip(names, following, strict=True))
            assert all(steps[one] == other for one, other in pairwise(path))
            assert set(path) == set(names)
    assert await joe.all() == []


async def test_a_repeated_batch_answers_the_same_tasks_as_they_are_now(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    wanted = batch({"assignee_id": "ann"}, {}, {"task_id": "mine"}, request_id="r1")
    first = await joe.call(wanted)
    await ann.made()
    task = await ann.did("start", first.tasks[0].task_id)
    again = await joe.call(wanted)
    assert list(again.tasks) == [outline(task), *first.tasks[1:]]
    assert again.notices == first.notices
    assert len(await ann.received()) == 1
    other = batch({}, request_id="r1")
    assert (await refusal(joe.call(other)))[1] == "REQUEST_ID_REUSED"


async def test_a_batch_tells_each_assignee_of_its_tasks_or_nobody(team: Team) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    drafts = [{"assignee_id": name} for name in ("ann", "bob", "", "joe", "ann")]
    response = await joe.call(batch(*drafts))
    told = [(each.recipient_id, each.sequence) for each in response.notices]
    assert told == [("ann", 1), ("bob", 1), ("ann", 2)]
    silent = batch(*drafts, notify=pb.NOTIFY_NONE)
    assert list((await joe.call(silent)).notices) == []
    assert (len(await ann.received()), len(await bob.received())) == (2, 1)


async def test_what_is_wrong_with_the_tasks_of_a_batch_is_named(team: Team) -> None:
    joe = team.caller("joe")
    drafts = [
        {"title": "", "request_id": "r"},
        {"task_id": " ", "depends_on": [""], "acknowledge_sequences": [1]},
        {"max_attempts": 1_001, "notify": pb.NOTIFY_NONE},
    ]
    assert await faults(joe.call(batch(*drafts))) == {
        *("requests[0].request_id", "requests[1].acknowledge_sequences", "requests[2].notify"),
        *("requests[0].title", "requests[1].task_id"),
        *("requests[1].depends_on[0]", "requests[2].max_attempts"),
    }
    twice = batch({"task_id": "a"}, {"task_id": "a"})
    assert await faults(joe.call(twice)) == {"requests"}


async def held(team: Team, count: int) -> list[pb.ClaimedTask]:
    await team.known("joe", "ann")
    await team.caller("joe").call(batch(*({} for _ in range(count))))
    return await team.caller("ann").claim(max_tasks=count)


def completing(*each: pb.ClaimedTask, **fields: Any) -> list[pb.CompleteTaskRequest]:
    return [
        pb.CompleteTaskRequest(task_id=one.task.task_id, lease_token=one.lease_token, **fields)
        for one in each
    ]


async def complete_all(worker: Caller, *each: pb.CompleteTaskRequest) -> list[Any]:
    return list((await worker.call(pb.BatchCompleteTasksRequest(requests=each))).outcomes)


async def test_each_of_many_completions_stands_or_is_refused_by_itself(team: Team) -> None:
    one, two, three = await held(team, 3)
    joe, ann = team.caller("joe"), team.caller("ann")
    await joe.do("cancel", two.task.task_id)
    good = completing(one, three, result=pb.TaskResult(summary="done"))
    bad = [
        *completing(two),
        pb.CompleteTaskRequest(task_id="nowhere"),
        pb.CompleteTaskRequest(task_id=one.task.task_id),
        pb.CompleteTaskRequest(task_id=three.task.task_id, etag="v1"),
    ]
    outcomes = await complete_all(ann, bad[0], good[0], *bad[1:3], good[1], bad[3])
    refused = [outcome.refusal for outcome in outcomes if outcome.HasField("refusal")]
    told = [(each.code, each.reason) for each in refused]
    assert told == [
        (grpc.StatusCode.ABORTED.value[0], "LEASE_LOST"),
        (grpc.StatusCode.NOT_FOUND.value[0], "TASK_NOT_FOUND"),
        (grpc.StatusCode.FAILED_PRECONDITION.value[0], "TASK_STATE"),
        (grpc.StatusCode.ABORTED.value[0], "ETAG_MISMATCH"),
    ]
    assert refused[0].metadata["last_actor_id"] == "joe"
    assert all(each.message for each in refused)
    done = [outcomes[1], outcomes[4]]
    assert [each.task.task_id for each in done] == [one.task.task_id, three.task.task_id]
    for each in done:
        assert each.task.state == COMPLETED
        assert [notice.recipient_id for notice in each.notices] == ["joe"]
        whole = await joe.get(each.task.task_id)
        assert whole.result.summary == "done"
        whole.ClearField("result")
        each.task.ClearField("result")  # an outline has none of what was said
        assert outline(whole) == each.task
    times = {each.task.end_time.ToMicroseconds() for each in done}
    assert len(times) == 1


async def test_repeated_completions_answer_the_same(team: Team) -> None:
    (one,) = await held(team, 1)
    ann = team.caller("ann")
    (asked,) = completing(one, request_id="r1")
    first = await complete_all(ann, asked, asked)
    assert first[0] == first[1]
    assert await complete_all(ann, asked) == first[:1]
    assert await team.verbs(one.task.task_id) == ["create", "claim", "complete"]


async def test_wrong_fields_refuse_all_completions(team: Team) -> None:
    (one,) = await held(team, 1)
    ann = team.caller("ann")
    (good,) = completing(one)
    wrong = pb.CompleteTaskRequest(task_id=" ", etag="x" * 65, result=pb.TaskResult(summary="\0"))
    request = pb.BatchCompleteTasksRequest(requests=[good, wrong])
    named = {"requests[1].task_id", "requests[1].etag", "requests[1].result.summary"}
    assert await faults(ann.call(request)) == named
    assert await faults(ann.call(pb.BatchCompleteTasksRequest())) == {"requests"}
    many = pb.BatchCompleteTasksRequest(requests=[good] * 1_001)
    assert await faults(ann.call(many)) == {"requests"}
    assert await team.verbs(one.task.task_id) == ["create", "claim"]


async def test_completions_make_ready_what_waits_for_all_of_them(team: Team) -> None:
    joe = team.caller("joe")
    await joe.call(batch({"task_id": "a"}, {"task_id": "b"}))
    await joe.made(task_id="c", depends_on=["a", "b"])
    given = await joe.claim(max_tasks=10)
    await complete_all(joe, *completing(*given))
    assert await team.verbs("c") == ["create", "become-ready"]
    assert [each.task.task_id for each in await joe.claim()] == ["c"]


async def test_a_cascade_cancels_all_open_parts_and_theirs_in_one_commit(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    tree = {"root": "", "part": "root", "done": "root", "deep": "part", "deeper": "deep"}
    drafts = [{"task_id": name, "parent_task_id": up} for name, up in tree.items()]
    await joe.call(batch(*drafts, {"task_id": "other"}))
    await joe.do("assign", "deeper", assignee_id="ann")
    token = await ann.held("deeper")
    await joe.do("start", "done")
    await joe.do("complete", "done")
    response = await joe.do("cancel", "root", cascade=True, reason="no need")
    assert [notice.recipient_id for notice in response.notices] == ["ann"]
    states = {task.task_id: task.state for task in await joe.all()}
    ended = dict.fromkeys(("root", "part", "deep", "deeper"), CANCELLED)
    assert states == {**ended, "done": COMPLETED, "other": PENDING}
    for name in ended:
        task, event = await joe.get(name), (await team.events(name))[-1]
        assert (task.cancel_reason, event.verb, event.actor_id) == (
            "no need",
            TaskVerb.CANCEL,
            "joe",
        )
        assert task.end_time == response.task.end_time
    assert (await refusal(ann.do("complete", "deeper", lease_token=token)))[1] == "LEASE_LOST"
    last = (await ann.received())[-1].message
    assert last.notice.verb == types_pb2.TASK_VERB_CANCEL


async def test_without_a_cascade_the_parts_go_on(team: Team) -> None:
    joe = team.caller("joe")
    await joe.call(batch({"task_id": "root"}, {"task_id": "part", "parent_task_id": "root"}))
    await joe.do("cancel", "root")
    assert (await joe.get("part")).state == PENDING
    assert ids(await joe.all(pb.TaskFilter(parent_task_id="root"))) == ["part"]


async def test_a_cascade_reaches_parts_that_wait_for_each_other(team: Team) -> None:
    joe = team.caller("joe")
    parts = {"a": [], "b": ["a"], "c": ["a", "b"]}
    drafts = [
        {"task_id": name, "depends_on": on, "parent_task_id": "root"} for name, on in parts.items()
    ]
    await joe.call(batch({"task_id": "root"}, *drafts))
    await joe.do("cancel", "root", cascade=True)
    assert {task.state for task in await joe.all()} == {CANCELLED}


async def test_a_repeated_cascade_changes_nothing(team: Team) -> None:
    joe = team.caller("joe")
    await joe.call(batch({"task_id": "root"}, {"task_id": "part", "parent_task_id": "root"}))
    first = await joe.do("cancel", "root", cascade=True, request_id="r1")
    before = await team.picture("part")
    assert await joe.do("cancel", "root", cascade=True, request_id="r1") == first
    assert await team.picture("part") == before


async def test_a_deep_tree_is_cancelled_whole(team: Team) -> None:
    joe = team.caller("joe")
    drafts = [{"task_id": f"n{n}", "parent_task_id": f"n{n - 1}" if n else ""} for n in range(101)]
    await joe.call(batch(*drafts))
    await joe.do("cancel", "n0", cascade=True)
    assert {task.state for task in await joe.all(page_size=1_000)} == {CANCELLED}


async def test_an_answer_to_a_claim_ends_at_a_mebibyte_and_the_rest_is_for_the_next(
    team: Team,
) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    large = {"description": "x" * 200_000}
    await joe.call(batch(*([large] * 12)))
    given = [len(await each.claim(max_tasks=100)) for each in (ann, bob, ann)]
    assert given == [5, 5, 2]


async def test_ten_who_claim_at_once_all_get_what_is_there_for_them(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await joe.call(batch(*({} for _ in range(1_000))))
    claims = [ann.claim(max_tasks=100) for _ in range(10)]
    given = await asyncio.gather(*claims)
    assert [len(each) for each in given] == [100] * 10
