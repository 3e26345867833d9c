"""Budgets: a tree that has used as much as it may is not begun any more."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dovetail.server.store.tables import trees
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller, ids
from support.refusals import faults, refusal
from support.teams import Team
from tasks.test_usage import ended, used

BUDGETS: dict[str, dict[str, Any]] = {
    "tokens": {"max_tokens": 110},
    "cost": {"max_cost": pb.Cost(amount="1.50", currency="USD")},
}
SPENT = used(100, "1.5")


async def refused(caller: Caller, task_id: str) -> str:
    """The task whose budget keeps another from being started."""
    status, reason, metadata = await refusal(caller.do("start", task_id))
    assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUDGET_SPENT")
    assert metadata["task_id"] == task_id
    return metadata["budget_task_id"]


async def claimed(caller: Caller, **fields: Any) -> list[str]:
    return ids(each.task for each in await caller.claim(max_tasks=100, **fields))


@pytest.mark.parametrize("kind", BUDGETS)
async def test_a_task_whose_budget_is_spent_is_not_begun_again(team: Team, kind: str) -> None:
    boss, ann = await team.known("boss", "ann")
    made = await boss.made(task_id="x", **BUDGETS[kind])
    assert (made.max_tokens, made.max_cost) == (
        BUDGETS[kind].get("max_tokens", 0),
        pb.Cost(amount="1.5", currency="USD") if kind == "cost" else pb.Cost(),
    )
    task = await ended(ann, "release", usage=used(99, "1.499999999"))
    assert not task.budget_spent
    task = await ended(ann, "release", usage=used(1, "0.000000001"))
    assert task.budget_spent == (kind == "cost")
    task = await ended(ann, "release", usage=used(10)) if kind == "tokens" else task
    assert task.budget_spent
    assert await refused(ann, "x") == "x"
    assert await claimed(ann) == []
    (told,) = [delivery.message for delivery in await boss.received()]
    assert told.notice.verb == types_pb2.TASK_VERB_SPEND_BUDGET
    assert (await team.verbs("x"))[-2:] == ["release", "spend-budget"]


async def test_a_heartbeat_above_the_budget_says_so_and_its_work_goes_on(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", **BUDGETS["tokens"])
    token = await ann.held("x")
    told = [
        (await ann.do("heartbeat", "x", lease_token=token, usage=used(tokens))).budget_spent
        for tokens in (50, 100, 100, 200)
    ]
    assert told == [False, True, True, True]
    assert (await ann.do("heartbeat", "x", lease_token=token)).budget_spent
    assert len(await boss.received()) == 1
    assert (await ann.did("complete", "x", lease_token=token)).budget_spent


async def test_a_spent_budget_holds_back_the_whole_tree_and_nothing_else(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", priority=9, **BUDGETS["cost"])
    for task_id, parent in (("a", "top"), ("a.1", "a"), ("b", "top"), ("other", "")):
        await boss.made(task_id=task_id, parent_task_id=parent, priority=5 if parent else 0)
    running = await ann.held("b")
    await ended(ann, "complete", "a.1", usage=SPENT)
    await boss.made(task_id="new", parent_task_id="a", priority=7)
    tree = ("top", "a", "a.1", "b", "new")
    states = {task.task_id: task.budget_spent for task in await boss.all()}
    assert states == {**dict.fromkeys(tree, True), "other": False}
    assert await claimed(ann) == ["other"]
    for task_id in ("top", "a", "new"):
        assert await refused(ann, task_id) == "top"
    assert (await ann.do("heartbeat", "b", lease_token=running)).budget_spent
    await ann.do("complete", "b", lease_token=running)
    assert [d.message.task_id for d in await boss.received() if d.message.notice.verb == 25] == [
        "top"
    ]


async def test_a_larger_budget_lets_the_tree_go_on_and_wakes_who_waits(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    await boss.made(task_id="a", parent_task_id="top")
    await ended(ann, "complete", "top", usage=SPENT)
    waiting = await team.waiting(ann)
    await boss.do("reopen", "top")
    assert await refused(boss, "a") == "top"
    await boss.do("update", "top", values={"max_tokens": 1_000})
    assert ids(each.task for each in await waiting) == ["top"]
    assert await claimed(ann) == ["a"]
    await ann.do("complete", "a", usage=used(900), lease_token=(await token_of(team, "a")))
    assert (await boss.get("top")).budget_spent
    assert (await team.verbs("top")).count("spend-budget") == 2
    await boss.do("update", "top", values={"max_tokens": 0})
    assert not any(task.budget_spent for task in await boss.all())


async def token_of(team: Team, task_id: str) -> str:
    row = await team.row(task_id)
    assert row
    return row.lease_token


async def test_budgets_of_several_levels_count_each_for_itself(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    await boss.made(task_id="a", parent_task_id="top", max_tokens=11)
    await boss.made(task_id="b", parent_task_id="a")
    await ended(ann, "release", "b", usage=used(10))
    assert [(await boss.get(each)).budget_spent for each in ("top", "a", "b")] == [
        False,
        True,
        True,
    ]
    await boss.do("update", "a", values={"max_tokens": 10_000})
    await ended(ann, "release", "b", usage=used(1_000))
    assert await refused(ann, "b") == "top"
    await boss.do("update", "a", values={"max_tokens": 1})
    assert await refused(ann, "b") == "a"
    await boss.do("update", "top", values={"max_tokens": 0})
    assert await refused(ann, "b") == "a"
    await boss.do("update", "a", values={"max_tokens": 0})
    assert await claimed(ann) == ["top", "a", "b"]


async def test_costs_in_another_currency_do_not_count(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x", **BUDGETS["cost"])
    assert not (await ended(ann, "release", usage=used(1, "100", "EUR"))).budget_spent
    assert (await ended(ann, "release", usage=used(1, "1.5"))).budget_spent


async def test_a_report_that_is_corrected_frees_the_budget(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x", **BUDGETS["tokens"])
    token = await ann.held("x")
    for tokens in (100, 10):
        beat = await ann.do("heartbeat", "x", lease_token=token, usage=used(tokens))
        assert beat.budget_spent == (tokens == 100)
    await ann.do("release", "x", lease_token=token)
    assert await claimed(ann) == ["x"]


async def test_a_deleted_task_holds_nothing_back(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    await boss.made(task_id="a", parent_task_id="top")
    await ended(ann, "complete", "top", usage=SPENT)
    assert await refused(ann, "a") == "top"
    await boss.do("delete", "top")
    assert await claimed(ann) == ["a"]


async def test_tasks_that_are_created_together_are_held_back_in_any_order(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    await ended(ann, "release", "top", usage=SPENT)
    parents = {"a.1.1": "a.1", "a.1": "a", "a": "top", "b": ""}
    drafts = [
        pb.CreateTaskRequest(task_id=task_id, title="t", parent_task_id=parent)
        for task_id, parent in parents.items()
    ]
    created = (await boss.call(pb.BatchCreateTasksRequest(requests=drafts))).tasks
    assert {task.task_id: task.budget_spent for task in created} == {
        **dict.fromkeys(("a.1.1", "a.1", "a"), True),
        "b": False,
    }
    assert await claimed(ann) == ["b"]


async def test_very_many_tasks_that_are_held_back_starve_no_others(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    drafts = [pb.CreateTaskRequest(title="t", parent_task_id="top", priority=5) for _ in range(500)]
    await boss.call(pb.BatchCreateTasksRequest(requests=drafts))
    await ended(ann, "release", "top", usage=SPENT)
    await boss.made(task_id="free")
    assert await claimed(ann) == ["free"]
    await boss.do("update", "top", values={"max_tokens": 0})
    assert len(await claimed(ann)) == 100


async def test_the_history_tells_how_a_budget_changed(team: Team) -> None:
    (boss,) = await team.known("boss")
    await boss.made(task_id="x", **BUDGETS["cost"])
    await boss.do(
        "update", "x", values={"max_tokens": 7, "max_cost": pb.Cost(amount="2", currency="EUR")}
    )
    asked = pb.ListTaskEventsRequest(filter=pb.TaskEventFilter(task_id="x"))
    event = (await boss.call(asked)).events[-1]
    found = {each.field: (each.old_value, each.new_value) for each in event.changes}
    assert found["max_tokens"][1].number_value == 7
    old, new = found["max_cost"]
    assert dict(old.struct_value) == {"amount": "1.5", "currency": "USD"}
    assert dict(new.struct_value) == {"amount": "2", "currency": "EUR"}


async def test_wrong_budgets_are_refused_by_their_field(team: Team) -> None:
    (boss,) = await team.known("boss")
    await boss.made(task_id="x")
    for field, values in {
        "max_tokens": {"max_tokens": -1},
        "max_cost.amount": {"max_cost": pb.Cost(amount="0.00", currency="EUR")},
        "max_cost.currency": {"max_cost": pb.Cost(amount="1", currency="XXX")},
    }.items():
        assert await faults(boss.create(**values)) == {field}
        assert await faults(boss.do("update", "x", values=values)) == {f"task.{field}"}


async def test_a_tree_that_moves_takes_its_usage_and_what_holds_it_back_along(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    for task_id, parent in (("top", ""), ("old", "top"), ("new", "top"), ("a", "old"), ("b", "a")):
        budget = {"max_tokens": 50} if task_id in ("old", "new") else {}
        await boss.made(task_id=task_id, parent_task_id=parent, **budget)
    await boss.made(task_id="rest", parent_task_id="old")
    await ended(ann, "release", "b", usage=used(100))

    async def picture() -> dict[str, tuple[int, bool]]:
        return {
            each.task_id: (each.tree_usage.input_tokens, each.budget_spent)
            for each in await boss.all()
        }

    assert await picture() == {
        **{"top": (100, False), "old": (100, True), "rest": (0, True)},
        **{"a": (100, True), "b": (100, True), "new": (0, False)},
    }
    await boss.do("update", "a", values={"parent_task_id": "new"})
    assert await picture() == {
        **{"top": (100, False), "old": (0, False), "rest": (0, False)},
        **{"a": (100, True), "b": (100, True), "new": (100, True)},
    }
    assert (await team.verbs("top")).count("spend-budget") == 0
    assert await claimed(ann) == ["top", "old", "rest"]


async def spent_of(team: Team) -> dict[str, int]:
    return {each.task_id: each.spent_budgets for each in await team.rows()}


async def test_one_report_spends_the_budgets_of_many_levels_and_one_update_frees_its_own(
    team: Team,
) -> None:
    boss, ann = await team.known("boss", "ann")
    for task_id, parent, budget in (
        *(("a", "", 10), ("b", "a", 0), ("c", "b", 20), ("d", "c", 30), ("e", "d", 0)),
        *(("a2", "a", 0), ("b2", "b", 5), ("c2", "c", 0), ("d2", "d", 0), ("e2", "e", 0)),
    ):
        await boss.made(task_id=task_id, parent_task_id=parent, max_tokens=budget)
    await ended(ann, "release", "e", usage=used(25))
    assert await spent_of(team) == {
        **{"a": 1, "a2": 1, "b": 1, "b2": 1},
        **{"c": 2, "c2": 2, "d": 2, "d2": 2, "e": 2, "e2": 2},
    }
    for task_id in ("a", "c"):  # A task that works on may use more than there is.
        await boss.do("update", task_id, values={"max_tokens": 1_000})
    token = await ann.held("e")
    await boss.do("update", "a", values={"max_tokens": 10})
    await boss.do("update", "c", values={"max_tokens": 40})
    await ann.do("heartbeat", "e", lease_token=token, usage=used(15))
    spent = {"a": 1, "a2": 1, "b": 1, "b2": 1}
    assert await spent_of(team) == spent | {
        **{"c": 2, "c2": 2, "d": 3, "d2": 3, "e": 3, "e2": 3},
    }
    waiting = await team.waiting(ann)
    await ann.do("heartbeat", "e", lease_token=token, usage=used(0))
    assert await spent_of(team) == spent | dict.fromkeys(("c", "c2", "d", "d2", "e", "e2"), 1)
    await boss.do("update", "a", values={"max_tokens": 0})
    assert len(await waiting) == 1
    assert set((await spent_of(team)).values()) == {0}


async def test_the_creator_is_told_once_until_the_budget_changes(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", **BUDGETS["tokens"])
    token = await ann.held("x")
    for tokens in (200, 1, 200, 1, 200):
        beat = await ann.do("heartbeat", "x", lease_token=token, usage=used(tokens))
        assert beat.budget_spent == (tokens == 200)
    assert len(await boss.received()) == 1
    await boss.do("update", "x", values={"title": "other"})
    await boss.do("update", "x", values={"max_tokens": 150})
    assert (await team.verbs("x")).count("spend-budget") == 1  # It stayed spent.
    await boss.do("update", "x", values={"max_tokens": 300})
    await ann.do("heartbeat", "x", lease_token=token, usage=used(300))
    assert len(await boss.received()) == 2


async def test_a_tree_that_leaves_a_spent_one_goes_on_and_wakes_who_waits(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="top", **BUDGETS["tokens"])
    await boss.made(task_id="a", parent_task_id="top")
    await boss.made(task_id="a.1", parent_task_id="a", assignee_id="ann")
    await ended(ann, "complete", "top", usage=SPENT)
    waiting = await team.waiting(ann)
    await boss.do("update", "a", values={"parent_task_id": ""})
    assert ids(each.task for each in await waiting) == ["a.1"]


async def test_sums_of_the_deepest_tree_are_whole_and_leave_with_what_made_them(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    most = trees.LEVELS_MAX
    drafts = [
        pb.CreateTaskRequest(
            task_id=f"t{n}", title="t", parent_task_id=f"t{n - 1}" if n else "", max_tokens=50
        )
        for n in range(most + 1)
    ]
    await boss.call(pb.BatchCreateTasksRequest(requests=drafts))
    last = f"t{most}"
    await ended(ann, "release", last, usage=used(100))
    assert await spent_of(team) == {f"t{n}": n + 1 for n in range(most + 1)}
    assert await refused(ann, last) == last
    await boss.do("update", last, values={"parent_task_id": ""})
    rest = {each.task_id: each for each in await boss.all()}
    assert rest.pop(last).tree_usage.input_tokens == 100
    assert {(each.tree_usage.input_tokens, each.budget_spent) for each in rest.values()} == {
        (0, False)
    }
