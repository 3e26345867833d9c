"""Waiting for a condition, with a bound."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.01


async def until(condition: Callable[[], Any]) -> Any:
    """Ask until the condition holds, and return what it answered. It may be asynchronous.

    For what no event announces. After a minute the test fails with TimeoutError.
    """
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(PAUSE_SECONDS)
