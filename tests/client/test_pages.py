"""Listings: iterated over as a whole, or read page by page, and gone on with later."""

from __future__ import annotations

import pytest

from dovetail.client import Agent, InvalidArgumentError, draft


async def test_a_listing_is_read_page_by_page_and_gone_on_with(alice: Agent) -> None:
    await alice.tasks.create_many([draft(f"Task {number}") for number in range(5)])
    pages = alice.tasks.list()
    first = await pages.next_page(2)
    assert len(first) == 2
    rest = [task async for task in alice.tasks.list(page_token=pages.page_token)]
    every = [task.task_id async for task in alice.tasks.list(page_size=2)]
    assert [task.task_id for task in (*first, *rest)] == every
    assert len(every) == 5
    assert len(await pages.next_page(3)) == 3
    assert pages.page_token == ""


async def test_a_page_token_of_another_listing_is_refused(alice: Agent) -> None:
    await alice.tasks.create_many([draft("x"), draft("y")])
    pages = alice.tasks.list()
    await pages.next_page(1)
    with pytest.raises(InvalidArgumentError):
        await alice.messages(page_token=pages.page_token).next_page()
