"""The page for each role, for each size of a screen, and for those who do not see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from dovetail.client import Agent, connect
from support.guarded import Guarded, guarded_pair
from support.pair import Pair
from support.web import Web, serving
from web.visits import Visit, visiting

WIDTHS = (360, 800, 1_440, 2_560)
SERIOUS = ("serious", "critical")


def token_of(metadata: Any) -> str:
    """The token in the metadata of a call."""
    ((_, value),) = metadata
    return str(value).removeprefix("Bearer ")


@asynccontextmanager
async def guarded_visit(
    browser: Browser, sqlite_url: str, folder: Path
) -> AsyncGenerator[tuple[Guarded, Visit]]:
    """The page of servers that ask for a token."""
    async with (
        guarded_pair(sqlite_url, folder) as guarded,
        serving(guarded.pair.messaging_address, guarded.pair.tasks_address) as web,
        visiting(browser, f"http://127.0.0.1:{web.port}/") as visit,
    ):
        yield guarded, visit


def caller(guarded: Guarded, metadata: Any) -> Agent:
    pair = guarded.pair
    return connect(
        token=token_of(metadata), messaging=pair.messaging_address, tasks=pair.tasks_address
    )


async def test_an_operator_acts_by_a_token_of_its_own(
    browser: Browser, sqlite_url: str, tmp_path: Path
) -> None:
    async with guarded_visit(browser, sqlite_url, tmp_path) as (guarded, visit):
        await visit.enter_by_token("dovetail_none")
        await expect(visit.part("fault")).to_be_visible()
        ann = caller(guarded, await guarded.agent("ann"))
        async with ann:
            await ann.register()
            task = await ann.tasks.create("Tidy up")
            token = await guarded.token("operator", "red", "olga")
            await visit.enter_by_token(token_of(token))
            await visit.is_live()
            await visit.go(f"#/tasks?task={task.task_id}")
            panel = visit.part("task-panel", task=task.task_id)
            await visit.part("action-assign").click()
            await visit.part("assign-to").fill("ann")
            await visit.part("assign-send").click()
            await expect(panel).to_contain_text("assigned, assignee ann")
            await visit.part("action-cancel").click()
            await visit.part("cancel-reason").fill("Not needed")
            await visit.part("cancel-send").click()
            await expect(panel).to_contain_text("cancelled")
            await visit.part("action-reopen").click()
            if await visit.part("reopen-send").count():
                await visit.part("reopen-send").click()
            await expect(visit.part("action-cancel")).to_be_visible()
            events = [each async for each in ann.tasks.events(task_id=task.task_id)]
            verbs = [(each.verb.name, each.actor_id) for each in events]
            assert verbs == [
                ("CREATE", "ann"),
                ("ASSIGN", "olga"),
                ("CANCEL", "olga"),
                ("REOPEN", "olga"),
            ]
        assert token_of(token) not in visit.page.url
        await visit.part("leave").click()
        await expect(visit.part("login-token")).to_have_value("")
        assert await visit.page.evaluate("JSON.stringify({...sessionStorage})") == "{}"
        assert token_of(token) not in await visit.page.evaluate("JSON.stringify(localStorage)")


async def test_an_observer_reads_and_is_offered_no_action(
    browser: Browser, sqlite_url: str, tmp_path: Path
) -> None:
    async with guarded_visit(browser, sqlite_url, tmp_path) as (guarded, visit):
        async with caller(guarded, await guarded.agent("ann")) as ann:
            await ann.register()
            task = await ann.tasks.create("Look at me")
        await visit.enter_by_token(token_of(await guarded.token("observer", "red")))
        await visit.is_live()
        await visit.go(f"#/tasks?task={task.task_id}")
        await expect(visit.part("task-panel")).to_contain_text("Look at me")
        for name in ("actions", "compose", "question-answer", "tab-inbox"):
            await expect(visit.part(name)).to_have_count(0)


@pytest.fixture(scope="module")
async def scene(team_pair: Pair) -> str:
    """A team with something of all that the page shows; its id."""
    where: dict[str, Any] = {
        "team_id": "scene",
        "messaging": team_pair.messaging_address,
        "tasks": team_pair.tasks_address,
    }
    async with connect("ann", **where) as ann, connect("olga", **where) as olga:
        await olga.register()
        await ann.register()
        asked = await ann.tasks.create("Ask", description="What is asked for")
        await ann.tasks.start(asked.task_id)
        await ann.tasks.ask(
            asked.task_id, "Which?", agent_id="olga", options={"a": "the first", "b": ""}
        )
        failed = await ann.tasks.create("Fail", max_attempts=1)
        await ann.tasks.start(failed.task_id)
        await ann.tasks.fail(failed.task_id, "It broke")
        done = await ann.tasks.create("Done")
        await ann.tasks.start(done.task_id)
        await ann.tasks.complete(done.task_id, "All of it")
        await ann.tasks.create("Waits", depends_on=[asked.task_id])
        first = await ann.send("olga", "Look at this", subject="Hello")
        await olga.send("ann", "I do", in_reply_to=first.message_id)
        await ann.send("olga", "Thanks", thread_id=first.thread_id)
    return "scene"


VIEWS = (
    "#/now",
    "#/tasks",
    "#/tasks?task=t1",
    "#/now?task=t2",
    "#/inbox",
    "#/thread/m1",
    "#/search/this",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_who_does_not_see_it_can_use_it(
    browser: Browser, web: Web, scene: str, scheme: Literal["light", "dark"]
) -> None:
    url = f"http://127.0.0.1:{web.port}/"
    # What fades in has less contrast until it is there.
    how: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce", "bypass_csp": True}
    async with visiting(browser, url, **how) as visit:
        await visit.enter("olga", scene)
        for view in VIEWS:
            await visit.go(view)
            await visit.settled()
            found = await Axe().run(visit.page)
            faults = [
                f"{view} {each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
                for each in found.response["violations"]
                if each["impact"] in SERIOUS
            ]
            assert faults == []


@pytest.mark.parametrize("width", WIDTHS)
async def test_nothing_lies_beside_the_screen(
    browser: Browser, web: Web, scene: str, width: int
) -> None:
    url = f"http://127.0.0.1:{web.port}/"
    size = {"width": width, "height": 800}
    async with visiting(browser, url, viewport=size) as visit:
        await visit.enter("olga", scene)
        for view in VIEWS:
            await visit.go(view)
            await visit.settled()
            wide = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (view, wide)


async def test_keys_lead_through_the_page(browser: Browser, web: Web, scene: str) -> None:
    async with visiting(browser, f"http://127.0.0.1:{web.port}/") as visit:
        await visit.enter("olga", scene)
        await visit.go("#/tasks")
        await expect(visit.part("task-row").first).to_be_visible()
        await visit.page.keyboard.press("j")
        await visit.page.keyboard.press("j")
        await visit.page.keyboard.press("Enter")
        await expect(visit.part("task-panel")).to_be_visible()
        await visit.page.keyboard.press("Escape")
        await expect(visit.part("task-panel")).to_have_count(0)
        await visit.page.keyboard.press("/")
        await visit.page.keyboard.type("Hello")
        await visit.page.keyboard.press("Enter")
        await expect(visit.part("search-results")).to_contain_text("Messages 1")
        await visit.page.keyboard.press("Escape")
        await visit.page.keyboard.press("?")
        await expect(visit.page.get_by_role("dialog")).to_be_visible()
