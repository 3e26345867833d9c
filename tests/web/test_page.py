"""The page in a browser: questions, actions, outages, rights, and texts that mean harm."""

from __future__ import annotations

import asyncio
import json
import subprocess
import unicodedata
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Route, expect

from cli.shell import PROGRAM
from dovetail.client import Agent, connect
from dovetail.tasks.v1 import tasks_pb2 as t
from support.children import SECONDS, child
from support.pair import Pair
from support.processes import process_pair
from support.web import Web, serving
from web.visits import visiting

ANY = "127.0.0.1:0"
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(1)</script><x-harm>bold</x-harm>",
    "javascript:alert(1) http://evil.example/ [a](javascript:alert(1))",
    "invoice \u202egpj.exe\u202c \u2066isolated\u2069 \u200fmark",
    "bell \x07 escape \x1b[31mred\x1b[0m delete \x7f",
    "z" + "\u0301" * 400,
    "w" * 5_000,
)


def caller(agent_id: str, pair: Pair, team_id: str) -> Agent:
    """An agent, by the client library."""
    return connect(
        agent_id, team_id=team_id, messaging=pair.messaging_address, tasks=pair.tasks_address
    )


def address(web: Web) -> str:
    return f"http://127.0.0.1:{web.port}/"


async def test_a_question_asked_under_up_is_answered_in_the_page_and_reaches_who_asked(
    browser: Browser, tmp_path: Path
) -> None:
    ports = ("--messaging-listen", ANY, "--tasks-listen", ANY, "--web-listen", ANY)
    command = [*PROGRAM, "up", "--json", "--data-dir", str(tmp_path), *ports]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline() or "{}")
        assert facts, process.communicate(timeout=SECONDS)
        servers: dict[str, Any] = {name: facts[name] for name in ("messaging", "tasks")}
        async with (
            connect("worker", **servers) as worker,
            visiting(browser, facts["web"]) as visit,
        ):
            await visit.enter("olga", "default")
            await expect(visit.part("band-needs")).to_contain_text("Nobody needs you")
            agents = [each async for each in worker.agents()]
            assert [each.kind.name for each in agents if each.agent_id == "olga"] == ["PERSON"]
            task = await worker.tasks.create("Publish the notes")
            async with worker.claim() as held:
                options = {"publish": "at once", "wait": "until Monday"}
                asking = asyncio.create_task(
                    held.ask("Shall I publish them?", to="olga", options=options)
                )
                card = visit.part("question", task=task.task_id)
                await expect(card).to_contain_text("Shall I publish them?")
                await card.get_by_text("until Monday").click()
                await expect(card).to_have_count(0)
                assert (await asking).option == "wait"
                await held.complete("Waited")
            await expect(visit.part("band-needs")).to_contain_text("Nobody needs you")


async def test_a_server_that_is_killed_is_seen_at_once_and_nothing_is_missed(
    browser: Browser, tmp_path: Path
) -> None:
    with process_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as (messaging, tasks):
        servers: dict[str, Any] = {"messaging": messaging.address, "tasks": tasks.address}
        async with (
            connect("ann", **servers) as ann,
            serving(**servers) as web,
            visiting(browser, address(web)) as visit,
        ):
            await visit.enter("olga", "default")
            await visit.go("#/tasks")
            before = await ann.tasks.create("Before the kill")
            await expect(visit.part("task-row", task=before.task_id)).to_be_visible()
            tasks.kill()
            await expect(visit.part("connection")).to_have_attribute("data-state", "reconnecting")
            tasks.start()
            after = await ann.tasks.create("After the kill")
            await visit.is_live()
            await expect(visit.part("task-row", task=after.task_id)).to_be_visible()


async def test_a_click_that_was_meant_for_another_card_answers_none(
    browser: Browser, web: Web, team_pair: Pair
) -> None:
    async with (
        caller("worker", team_pair, "moved") as worker,
        caller("olga", team_pair, "moved") as olga,
        visiting(browser, address(web)) as visit,
    ):
        await olga.register()
        await visit.enter("olga", "moved")
        tasks = [await worker.tasks.create(each) for each in ("Read", "Erase")]
        for task in tasks:
            await worker.tasks.start(task.task_id)
        read, erase = (visit.part("question", task=each.task_id) for each in tasks)
        await worker.tasks.ask(tasks[0].task_id, "May I read it?", agent_id="olga")
        await expect(read.get_by_text("Approve")).to_be_enabled()
        # Whatever comes above is clicked as soon as it is there, and so is what it moved.
        await visit.page.evaluate(CLICK_AT_ONCE, tasks[1].task_id)
        hour = timedelta(hours=1)
        await worker.tasks.ask(
            tasks[1].task_id,
            "May I erase it?",
            agent_id="olga",
            answer_within=hour,
            default_answer="No",
        )
        await expect(erase.get_by_text("Approve")).to_be_enabled()
        assert await visit.page.evaluate("window.clicks") == 2
        await expect(read.get_by_text("Approve")).to_be_enabled()
        for task in tasks:
            assert (await worker.tasks.get(task.task_id)).answer is None
        await erase.get_by_text("Approve").click()
        await expect(erase).to_have_count(0)


CLICK_AT_ONCE = """(taskId) => {
  window.clicks = 0;
  new MutationObserver((_, observer) => {
    if (!document.querySelector(`[data-test="question"][data-task="${taskId}"]`)) return;
    observer.disconnect();
    requestAnimationFrame(() => {
      for (const each of document.querySelectorAll('[data-option="Approve"]')) {
        each.click();
        window.clicks += 1;
      }
    });
  }).observe(document.body, { childList: true, subtree: true });
}"""


async def test_what_could_not_be_read_is_said_and_read_again(
    browser: Browser, web: Web, team_pair: Pair
) -> None:
    is_refused = True
    begun: set[str] = set()

    async def refuse(route: Route) -> None:
        """All but the read with which following begins."""
        if is_refused and (route.request.url.endswith("GetReport") or "cursor" in begun):
            await route.fulfill(status=500)
        else:
            begun.add("cursor")
            await route.continue_()

    async with (
        caller("worker", team_pair, "unread") as worker,
        caller("olga", team_pair, "unread") as olga,
        visiting(browser, address(web)) as visit,
    ):
        await olga.register()
        task = await worker.tasks.create("Publish")
        await worker.tasks.start(task.task_id)
        await worker.tasks.ask(task.task_id, "Shall I publish it?", agent_id="olga")
        for name in ("ListTasks", "GetReport"):
            await visit.page.route(f"**/{name}", refuse)
        await visit.enter("olga", "unread")
        needs, fault = visit.part("band-needs"), visit.part("fault")
        await expect(needs).to_contain_text("Could not be read: tasks")
        await expect(needs).not_to_contain_text("Nobody needs you")
        await expect(visit.part("band-stuck")).to_contain_text("Could not be read: tasks")
        await expect(visit.part("report")).to_contain_text("Could not be read")
        await expect(fault).to_contain_text("read again by itself")
        is_refused = False  # Nothing happens in the team: the page recovers by itself.
        await expect(visit.part("question", task=task.task_id)).to_be_visible()
        await expect(visit.part("unread")).to_have_count(0)
        await expect(fault).to_have_count(0)


async def test_a_page_of_a_list_that_failed_is_read_again(
    browser: Browser, web: Web, team_pair: Pair
) -> None:
    async with (
        caller("worker", team_pair, "paged") as worker,
        visiting(browser, address(web)) as visit,
    ):
        made = await worker.tasks.create_many(
            t.CreateTaskRequest(title=f"Task {number}") for number in range(150)
        )
        await visit.enter("olga", "paged")
        await visit.go("#/tasks")
        await expect(visit.part("task-row").first).to_be_visible()
        await visit.page.route("**/ListTasks", lambda route: route.fulfill(status=500))
        to_the_end = "document.querySelector('.task-rows').scrollTop = 1e6"
        await visit.page.evaluate(to_the_end)
        fault = visit.part("tasks").locator('[data-test="fault"]')
        await expect(fault).to_contain_text("read again by itself")
        await visit.page.unroute("**/ListTasks")
        await expect(fault).to_have_count(0)
        await visit.page.evaluate(to_the_end)
        await expect(visit.part("task-row", task=made[0].task_id)).to_be_visible()


async def test_an_answer_is_bound_to_the_question_that_was_read(
    browser: Browser, web: Web, team_pair: Pair
) -> None:
    async with (
        caller("worker", team_pair, "bound") as worker,
        caller("olga", team_pair, "bound") as olga,
        visiting(browser, address(web)) as visit,
    ):
        await visit.enter("olga", "bound")
        task = await worker.tasks.create("Pay")
        await worker.tasks.start(task.task_id)
        await worker.tasks.ask(task.task_id, "Pay 10 euros?", agent_id="olga")
        card = visit.part("question", task=task.task_id)
        await expect(card).to_contain_text("Pay 10 euros?")

        async def replace_the_question(route: Route) -> None:
            """Between the click and the server another question takes the place of this one."""
            await olga.tasks.answer(task.task_id, "No")
            await worker.tasks.ask(task.task_id, "Pay 10,000 euros?", agent_id="olga")
            await route.continue_()

        await visit.page.route("**/ProvideTaskInput", replace_the_question, times=1)
        await card.get_by_text("Approve").click()
        await expect(card).to_contain_text("Pay 10,000 euros?")
        await expect(card).to_contain_text("has changed")
        assert (await worker.tasks.get(task.task_id)).answer is None
        await expect(card.get_by_text("Refuse")).to_be_enabled()
        await card.get_by_text("Refuse").click()
        await expect(card).to_have_count(0)
        answer = (await worker.tasks.get(task.task_id)).answer
        assert answer is not None
        assert answer.text == "Refused."


HOSTILE_VIEWS = ("#/now", "#/tasks", "#/inbox", "#/search/onerror", "#/search/escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_that_mean_harm_are_shown_harmlessly_everywhere(
    browser: Browser, web: Web, team_pair: Pair, scheme: Literal["light", "dark"]
) -> None:
    team_id = f"hostile {scheme}"
    async with (
        caller("<x-harm>mallory</x-harm>", team_pair, team_id) as mallory,
        caller("olga", team_pair, team_id) as olga,
    ):
        await olga.register()
        task_ids = [await _hostile_task(mallory, text) for text in HOSTILE]
        threads = {
            (await mallory.send("olga", text, subject=_line(text)[:500])).thread_id
            for text in (*HOSTILE, "x" * 1_000_000)
        }
        async with visiting(browser, address(web), color_scheme=scheme) as visit:
            await visit.enter("olga", team_id)
            for view in (
                *HOSTILE_VIEWS,
                *(f"#/now?task={each}" for each in task_ids),
                *(f"#/thread/{each}" for each in threads),
            ):
                await visit.go(view)
                await visit.settled()
                found = await visit.page.evaluate(FOUND)
                assert found == {"elements": 0, "raw": [], "wide": False}, view


FOUND = """() => {
  const harmful = "img, script:not([src]), iframe, object, embed, x-harm";
  const text = document.body.textContent ?? "";
  const control = /[\\u202a-\\u202e\\u2066-\\u2069\\u0007\\u001b\\u007f]/u;
  const raw = [...text].filter((each) => control.test(each));
  return {
    elements: document.querySelectorAll(harmful).length,
    raw: [...new Set(raw)].map((each) => each.codePointAt(0).toString(16)),
    wide: document.documentElement.scrollWidth > innerWidth,
  };
}"""


def _line(text: str) -> str:
    """A text as a title may be."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return unicodedata.normalize("NFC", line)


async def _hostile_task(mallory: Agent, text: str) -> str:
    task = await mallory.tasks.create(_line(text)[:200], description=text)
    await mallory.tasks.start(task.task_id)
    option = {_line(text)[:60].strip(): text[:60]}
    await mallory.tasks.ask(task.task_id, text, agent_id="olga", options=option)
    return task.task_id
