"""A person before the page: what they see and do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Locator, Page, Request, expect

from support.waiting import until

expect.set_options(timeout=20_000)

STREAMS = ("WatchTasks", "SubscribeInbox")
TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => done(null))))"""
HARMLESS = ("net::ERR_CONNECTION_REFUSED", "Failed to load resource", "net::ERR_INCOMPLETE_CHUNKED")
"""What a browser writes to its console where a server is away or refuses."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A tab with the page, and what went wrong in it."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list[str])
    pending: set[Request] = field(default_factory=set[Request])

    def part(self, name: str, **more: str) -> Locator:
        """A part of the page by its name, and by other `data-` attributes."""
        others = "".join(f'[data-{key}="{value}"]' for key, value in more.items())
        return self.page.locator(f'[data-test="{name}"]{others}')

    async def enter(self, name: str, team_id: str) -> None:
        """Come in by a name."""
        await self.part("login-name").fill(name)
        await self.part("login-team").fill(team_id)
        await self.part("login-send").click()
        await self.is_live()

    async def enter_by_token(self, token: str) -> None:
        """Come in by a token."""
        await self.part("login-token").fill(token)
        await self.part("login-send").click()

    async def is_live(self) -> None:
        """Wait until the page follows the team."""
        await expect(self.part("connection")).to_have_attribute("data-state", "live")

    async def settled(self) -> None:
        """Wait until all calls but the streams have ended, and what they brought is shown."""
        await self.page.evaluate(TWO_FRAMES)  # A view begins its calls when it is shown.
        await until(lambda: not self.pending)
        await self.page.evaluate(TWO_FRAMES)

    async def go(self, fragment: str) -> None:
        """Open another view."""
        await self.page.goto(f"{self.url}{fragment}")


@asynccontextmanager
async def visiting(browser: Browser, url: str, **context: Any) -> AsyncGenerator[Visit]:
    """Open the page in a tab of its own. Whatever its console complains of fails the test."""
    opened = await browser.new_context(**context)
    page = await opened.new_page()
    visit = Visit(page=page, url=url)
    page.on("pageerror", lambda error: visit.wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: visit.wrong.append(f"dialog: {dialog.message}"))
    page.on("console", lambda said: _note(visit, said.type, said.text))
    page.on("request", lambda request: _begin(visit, request))
    page.on("requestfinished", lambda request: visit.pending.discard(request))
    page.on("requestfailed", lambda request: visit.pending.discard(request))
    await page.goto(url)
    try:
        yield visit
        assert visit.wrong == []
    finally:
        await opened.close()


def _begin(visit: Visit, request: Request) -> None:
    if not request.url.endswith(STREAMS):
        visit.pending.add(request)


def _note(visit: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning") and not any(each in text for each in HARMLESS):
        visit.wrong.append(f"{kind}: {text}")
