"""What a server keeps for the next stream it lets go of: a large message is not held for ever."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from dovetail.server import memory
from dovetail.server.edge import convert


async def test_structured_content_that_is_kept_for_streams_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = json.dumps({str(number): number for number in range(10_000)})
    kept = convert.optional_struct(text)
    assert convert.optional_struct(text) is kept
    forgot = asyncio.Event()

    def forget() -> None:
        convert.forget_structs()
        forgot.set()

    monkeypatch.setattr(memory, "TRIM_SECONDS", 0.0)
    giving = asyncio.create_task(memory.trim_regularly(forget))
    await asyncio.wait_for(forgot.wait(), 30)
    giving.cancel()
    with suppress(asyncio.CancelledError):
        await giving
    assert convert.optional_struct(text) is not kept
