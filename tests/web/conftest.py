"""A browser for all tests of the page, and a page of servers that tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator

import pytest
from playwright.async_api import Browser, async_playwright

from support.pair import Pair, running_pair
from support.web import Web, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """Headless Chromium, as this system has it."""
    if not CHROMIUM:
        assert not os.environ.get("CI"), "CI must have a browser: see .ci/run"
        pytest.skip("there is no Chromium here: the page is not tested")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest.fixture(scope="module")
async def team_pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Both services on SQLite: what the page does is the same on either engine."""
    url = f"sqlite:///{tmp_path_factory.mktemp('page')}/store.db"
    async with running_pair(url) as pair:
        yield pair


@pytest.fixture(scope="module")
async def web(browser: Browser, team_pair: Pair) -> AsyncGenerator[Web]:
    """The page of these. Without a browser nothing is started."""
    async with serving(team_pair.messaging_address, team_pair.tasks_address) as each:
        yield each
