"""Usage: what attempts used, as their holders report it, and its sums."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.server.store.tables import reports, usage
from dovetail.server.store.tables.tasks import TaskFilter
from dovetail.server.store.tables.usage import UsageTotal
from dovetail.server.tasks.usage_wire import total_message
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.callers import Caller, seconds
from support.refusals import faults
from support.tables import COMPLETED, PENDING
from support.teams import Team
from tasks.test_attempts import attempts_of

FULL = pb.Usage(
    input_tokens=1_000,
    output_tokens=200,
    cached_tokens=300,
    cost=pb.Cost(amount="0.0123", currency="USD"),
    model="some-model-1",
    counters={"searches": 3, "pages read": 10**15},
)
RETRY = pb.TaskFailure(message="again", retryable=True)


def used(tokens: int, cost: str = "", currency: str = "USD") -> pb.Usage:
    money = pb.Cost(amount=cost, currency=currency) if cost else None
    return pb.Usage(input_tokens=tokens, output_tokens=tokens // 10, cost=money)


def total(of: pb.UsageTotal) -> tuple[int, int, dict[str, str]]:
    return of.input_tokens, of.output_tokens, {each.currency: each.amount for each in of.costs}


async def ended(caller: Caller, verb: str, task_id: str = "x", **fields: Any) -> pb.Task:
    """Start a task, and end the attempt."""
    await caller.do("start", task_id)
    return await caller.did(verb, task_id, **fields)


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
async def test_the_end_of_an_attempt_says_what_it_used(team: Team, verb: str) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    assert not (await ann.get("x")).HasField("usage")
    task = await ended(ann, verb, usage=FULL)
    (attempt,) = await attempts_of(ann, "x")
    assert attempt.usage == FULL
    expected = pb.UsageTotal(
        input_tokens=1_000,
        output_tokens=200,
        cached_tokens=300,
        costs=[pb.Cost(amount="0.0123", currency="USD")],
    )
    assert (task.usage, task.tree_usage) == (expected, expected)
    assert await ann.get("x") == task


async def test_each_report_of_an_attempt_replaces_the_last_and_attempts_are_summed(
    team: Team,
) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x", initial_backoff=seconds(0))
    token = await ann.held("x")
    etag = (await ann.get("x")).etag
    for report in (used(10, "0.1"), used(30, "0.3"), used(30, "0.3"), used(20, "0.2")):
        await ann.do("heartbeat", "x", lease_token=token, usage=report)
        (present,) = await attempts_of(ann, "x")
        assert present.usage == report
    await ann.do("heartbeat", "x", lease_token=token)
    task = await ann.get("x")
    assert (total(task.usage), task.etag) == ((20, 2, {"USD": "0.2"}), etag)
    assert await team.verbs("x") == ["create", "start"]
    await ann.do("fail", "x", failure=RETRY, lease_token=token)
    assert not any(map((await attempts_of(ann, "x"))[-1].HasField, ["late_result"]))
    task = await ended(ann, "fail", failure=RETRY, usage=used(100, "7", "EUR"))
    assert total(task.usage) == (120, 12, {"EUR": "7", "USD": "0.2"})
    task = await ended(ann, "complete")
    first, second, third = await attempts_of(ann, "x")
    assert (first.usage, second.usage) == (used(20, "0.2"), used(100, "7", "EUR"))
    assert not third.HasField("usage")
    task = await ann.did("reopen", "x")
    assert (task.state, total(task.usage)) == (PENDING, (120, 12, {"EUR": "7", "USD": "0.2"}))


async def test_costs_are_exact_in_sums_of_any_size(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    for _ in range(10):
        await ended(ann, "release", usage=used(10**15, "999999999999.999999999"))
        await ended(ann, "release", usage=used(0, "0.1"))
    task = await ann.get("x")
    assert total(task.usage) == (10**16, 10**15, {"USD": "10000000000000.99999999"})
    task = await ended(ann, "release", usage=used(1, "0007.50", "EUR"))
    assert total(task.usage)[2]["EUR"] == "7.5"
    assert (await attempts_of(ann, "x"))[-1].usage.cost == pb.Cost(amount="7.5", currency="EUR")


async def test_a_repeat_is_counted_once(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.do("start", "x")
    for _ in range(2):
        await ann.do("complete", "x", usage=used(10), request_id="r")
    assert total((await ann.get("x")).usage)[0] == 10
    (attempt,) = await attempts_of(ann, "x")
    assert attempt.usage == used(10)


async def test_a_tree_has_the_sum_of_its_tasks(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.made(task_id="x.1", parent_task_id="x")
    await ann.made(task_id="x.1.1", parent_task_id="x.1")
    await ann.made(task_id="x.2", parent_task_id="x")
    etag = (await ann.get("x")).etag
    await ended(ann, "complete", "x.1.1", usage=used(1_000, "1"))
    token = await ann.held("x.2")
    await ann.do("heartbeat", "x.2", lease_token=token, usage=used(200, "2", "EUR"))
    await ann.do("heartbeat", "x.2", lease_token=token, usage=used(100, "2", "EUR"))
    top = await ann.get("x")
    assert (top.etag, top.HasField("usage")) == (etag, False)
    await ended(ann, "release", "x", usage=used(10, "0.5"))
    sums = {
        task.task_id: (total(task.usage)[0], total(task.tree_usage)) for task in await ann.all()
    }
    assert sums == {
        "x": (10, (1_110, 111, {"EUR": "2", "USD": "1.5"})),
        "x.1": (0, (1_000, 100, {"USD": "1"})),
        "x.1.1": (1_000, (1_000, 100, {"USD": "1"})),
        "x.2": (100, (100, 10, {"EUR": "2"})),
    }


async def test_a_late_result_counts_nothing(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x")
    token = await ann.held("x")
    await ann.do("heartbeat", "x", lease_token=token, usage=used(10))
    await boss.do("cancel", "x")
    await faultless(ann, token)
    (attempt,) = await attempts_of(boss, "x")
    assert (attempt.usage, attempt.HasField("late_result")) == (used(10), True)
    assert total((await boss.get("x")).usage)[0] == 10


async def faultless(ann: Caller, token: str) -> None:
    """Complete too late."""
    with pytest.raises(Exception, match="kept as a late result"):
        await ann.do("complete", "x", lease_token=token, usage=used(500))


async def test_usage_is_summed_by_assignee_over_a_filter(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    for number, caller in enumerate((ann, ann, bob, bob)):
        labels = {"kind": "even" if number % 2 == 0 else "odd"}
        await ann.made(task_id=str(number), labels=labels)
        if number < 3:
            report = used(10**number, f"0.{number}1", "EUR" if number == 1 else "USD")
            await ended(caller, "complete", str(number), usage=report)

    async def sums(filter: TaskFilter) -> dict[str, tuple[int, dict[str, str]]]:
        found = await team.pair.tasks_store.read(
            team.team_id, lambda s: reports.usage_by_assignee(s, filter)
        )
        return {
            agent_id: (each.input_tokens, {c: usage.amount(n) for c, n in each.costs.items()})
            for agent_id, each in found.items()
        }

    assert await sums(TaskFilter()) == {
        "ann": (11, {"EUR": "0.11", "USD": "0.01"}),
        "bob": (100, {"USD": "0.21"}),
    }
    assert await sums(TaskFilter(labels={"kind": "odd"})) == {"ann": (10, {"EUR": "0.11"})}


async def test_a_report_sums_usage_in_all_and_by_assignee(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    for caller, tokens, cost in ((ann, 10, "0.1"), (ann, 20, "0.2"), (bob, 300, "7")):
        task = await ann.made(labels={"kind": "odd" if tokens == 20 else "even"})
        await ended(caller, "complete", task.task_id, usage=used(tokens, cost))
    await ann.made()
    chosen = pb.TaskFilter(states=[COMPLETED])
    report = await ann.report(filter=chosen)
    assert total(report.usage) == (330, 33, {"USD": "7.3"})
    assert {each.assignee_id: total(each.usage) for each in report.assignees} == {
        "ann": (30, 3, {"USD": "0.3"}),
        "bob": (300, 30, {"USD": "7"}),
    }
    report = await ann.report(filter=pb.TaskFilter(labels={"kind": "odd"}))
    assert total(report.usage) == (20, 2, {"USD": "0.2"})
    report = await ann.report(filter=pb.TaskFilter(states=[PENDING]))
    assert not report.HasField("usage")
    assert not report.assignees[0].HasField("usage")


async def test_the_kept_sums_of_usage_are_those_of_the_tasks(team: Team) -> None:
    boss, ann, bob = await team.known("boss", "ann", "bob")
    work = {"a": (ann, "0.5"), "b": (ann, "999999999999.999999999"), "c": (bob, "7")}
    for task_id, (caller, money) in work.items():
        await boss.made(task_id=task_id, assignee_id=caller.agent_id)
        token = await caller.held(task_id)
        for tokens in (5, 10**15, 3 * 10**14):
            report = used(tokens, money)
            await caller.do("heartbeat", task_id, lease_token=token, usage=report)
    await boss.do("assign", "b", assignee_id="bob", force=True)
    await boss.do("cancel", "a")
    await boss.do("delete", "a")
    kept = await boss.report()
    scanned = await boss.report(filter=pb.TaskFilter(creator_ids=["boss"]))
    assert (kept.basis, scanned.basis) == (pb.REPORT_BASIS_KEPT, pb.REPORT_BASIS_SCAN)
    assert kept.usage == scanned.usage
    assert kept.usage.costs[0].amount == "1000000000006.999999999"
    assert [(each.assignee_id, each.usage) for each in kept.assignees] == [
        (each.assignee_id, each.usage) for each in scanned.assignees
    ]


BAD = {
    "usage.input_tokens": pb.Usage(input_tokens=-1),
    "usage.output_tokens": pb.Usage(output_tokens=10**15 + 1),
    "usage.cached_tokens": pb.Usage(cached_tokens=-5),
    "usage.model": pb.Usage(model="m" * 129),
    "usage.cost.amount": pb.Usage(cost=pb.Cost(amount="1,5", currency="EUR")),
    "usage.cost.currency": pb.Usage(cost=pb.Cost(amount="1.5", currency="eur")),
    "usage.counters": pb.Usage(counters={str(number): 1 for number in range(9)}),
    'usage.counters["pages"]': pb.Usage(counters={"pages": -1}),
    'usage.counters["a\\tb"]': pb.Usage(counters={"a\tb": 1}),
}


@pytest.mark.parametrize("verb", ["heartbeat", "release", "complete", "fail"])
async def test_wrong_usage_is_refused_by_its_field(team: Team, verb: str) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.do("start", "x")
    for field, report in BAD.items():
        assert await faults(ann.do(verb, "x", usage=report)) == {field}
    for amount in ("", "-1", "1e3", ".5", "5.", "1" * 13, "0." + "1" * 10, "٣", " 1", "NaN"):
        wrong = pb.Usage(cost=pb.Cost(amount=amount, currency="EUR"))
        assert await faults(ann.do(verb, "x", usage=wrong)) == {"usage.cost.amount"}, amount
    assert not (await ann.get("x")).HasField("usage")


def test_sums_that_no_message_can_hold_stop_there() -> None:
    found = total_message(UsageTotal(input_tokens=10**19, output_tokens=1, costs={"USD": 10**30}))
    assert total(found) == (2**63 - 1, 1, {"USD": "1" + "0" * 21})
