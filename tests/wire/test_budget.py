"""Bytes that may be held at once are shared out in turn, and none is lost."""

from __future__ import annotations

import asyncio

from dovetail.server.edge.budget import Budget


async def taking(budget: Budget, part: int) -> asyncio.Task[None]:
    """A taker that had its chance to take."""
    task = asyncio.create_task(budget.take(part))
    await asyncio.sleep(0)
    return task


async def test_who_needs_more_than_is_left_waits() -> None:
    budget = Budget(10)
    await budget.take(6)
    second = await taking(budget, 5)
    assert not second.done()
    budget.release(6)
    await second


async def test_a_large_part_is_not_passed_by() -> None:
    budget = Budget(10)
    await budget.take(6)
    large, small = await taking(budget, 10), await taking(budget, 1)
    assert not small.done()
    budget.release(6)
    await large
    assert not small.done()
    budget.release(10)
    await small


async def test_who_gives_up_lets_the_next_one_in() -> None:
    budget = Budget(10)
    await budget.take(6)
    large, small = await taking(budget, 10), await taking(budget, 1)
    large.cancel()
    await small


async def test_who_gives_up_on_its_turn_leaves_its_part() -> None:
    budget = Budget(10)
    await budget.take(6)
    second = await taking(budget, 10)
    budget.release(6)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.wait_for(budget.take(10), 1)


async def test_who_gives_up_in_the_moment_of_its_turn_is_only_cancelled() -> None:
    """Before its task runs, the part that it gave up goes to the next one."""
    budget = Budget(10)
    await budget.take(6)
    large, small = await taking(budget, 10), await taking(budget, 1)
    large.cancel()
    budget.release(6)
    await small
    (outcome,) = await asyncio.gather(large, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)
    budget.release(1)
    await asyncio.wait_for(budget.take(10), 1)
