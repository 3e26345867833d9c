"""Usage and budgets in the Python client."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from dovetail.client import Agent, FailedPreconditionError, Usage, UsageTotal
from dovetail.tasks.v1 import tasks_pb2 as pb


def shown(used: Usage | UsageTotal | None) -> tuple[int, int, list[tuple[str, str]]]:
    assert used
    costs = used.costs if isinstance(used, UsageTotal) else [used.cost] if used.cost else []
    return used.input_tokens, used.output_tokens, [(c.amount, c.currency) for c in costs]


async def test_a_holder_says_what_it_used_and_its_heartbeats_and_end_carry_it(
    alice: Agent, bob: Agent
):
    made = await alice.tasks.create("x", initial_backoff=timedelta(0), max_cost=("1.50", "USD"))
    assert made.max_cost
    assert (made.max_tokens, made.max_cost.amount, made.budget_spent) == (0, "1.5", False)
    async with bob.claim() as task:
        task.used(input_tokens=100, cost=(Decimal("0.5"), "USD"), counters={"searches": 2})
        assert not (await task.heartbeat()).budget_spent
        task.used(input_tokens=300, cost=(2, "USD"))
        assert (await task.heartbeat()).budget_spent
        assert task.budget_spent
        task.used(input_tokens=200, output_tokens=20, cost=("1.25", "USD"), model="m")
        await task.fail("no luck")
    async with bob.claim() as task:
        await task.release()
    async with bob.claim() as task:
        task.used(input_tokens=7)
        task.result("done")
    used = [each.usage async for each in alice.tasks.attempts(made.task_id)]
    assert shown(used[0]) == (200, 20, [("1.25", "USD")])
    assert used[0]
    assert (used[0].model, used[0].counters) == ("m", {})
    assert (used[1], shown(used[2])) == (None, (7, 0, []))
    task = await alice.tasks.get(made.task_id)
    assert shown(task.usage) == (207, 20, [("1.25", "USD")])
    assert shown(task.tree_usage) == shown(task.usage)


async def test_calls_take_usage_and_budgets_as_values(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", max_tokens=10)
    await bob.tasks.start(made.task_id)
    beat = await bob.tasks.heartbeat(made.task_id, usage={"input_tokens": 4})
    assert not beat.budget_spent
    released = await bob.tasks.release(made.task_id, usage=pb.Usage(output_tokens=10))
    assert released.budget_spent
    with pytest.raises(FailedPreconditionError) as refused:
        await bob.tasks.start(made.task_id)
    assert (refused.value.reason, refused.value.metadata["budget_task_id"]) == (
        "BUDGET_SPENT",
        made.task_id,
    )
    changed = await alice.tasks.update(made.task_id, max_tokens=100, max_cost=("3", "EUR"))
    assert changed.max_cost
    assert (changed.max_tokens, changed.max_cost.currency) == (100, "EUR")
    cleared = await alice.tasks.update(made.task_id, max_tokens=0, max_cost=None)
    assert (cleared.max_tokens, cleared.max_cost) == (0, None)
    await bob.tasks.start(made.task_id)
    done = await bob.tasks.complete(made.task_id, "done", usage={"cost": ("0.1", "USD")})
    assert shown(done.usage) == (0, 10, [("0.1", "USD")])
