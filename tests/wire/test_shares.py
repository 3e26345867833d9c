"""Each sender has its own places, and none is lost."""

from __future__ import annotations

import asyncio

from dovetail.server.edge.shares import Shares


async def taking(shares: Shares, sender: str) -> asyncio.Task[None]:
    """A taker that had its chance to take."""
    task = asyncio.create_task(shares.take(sender))
    await asyncio.sleep(0)
    return task


async def test_a_sender_with_all_its_places_waits_and_another_does_not() -> None:
    shares = Shares(2)
    await shares.take("ann")
    await shares.take("ann")
    third = await taking(shares, "ann")
    await shares.take("bob")
    assert not third.done()
    shares.release("ann")
    await third


async def test_places_are_taken_in_the_order_in_which_they_were_asked_for() -> None:
    shares = Shares(1)
    await shares.take("ann")
    second, third = await taking(shares, "ann"), await taking(shares, "ann")
    shares.release("ann")
    fourth = await taking(shares, "ann")
    await second
    assert not third.done()
    shares.release("ann")
    await third
    assert not fourth.done()
    shares.release("ann")
    await fourth


async def test_who_gives_up_is_passed_by() -> None:
    """Also when its place becomes free before its task has run."""
    shares = Shares(1)
    await shares.take("ann")
    second, third = await taking(shares, "ann"), await taking(shares, "ann")
    second.cancel()
    shares.release("ann")
    await third
    (outcome,) = await asyncio.gather(second, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)


async def test_who_gives_up_on_its_turn_leaves_its_place() -> None:
    shares = Shares(1)
    await shares.take("ann")
    second = await taking(shares, "ann")
    shares.release("ann")
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.wait_for(shares.take("ann"), 1)


async def test_senders_without_a_place_leave_nothing_behind() -> None:
    shares = Shares(1)
    for sender in ("ann", "bob"):
        await shares.take(sender)
        waiting = await taking(shares, sender)
        given_up = await taking(shares, sender)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        shares.release(sender)
        await waiting
        shares.release(sender)
    assert (shares._taken, shares._waiting) == ({}, {})
