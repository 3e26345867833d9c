"""A client in TypeScript that follows the page for any language to the letter, beside kill -9."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.pages import DOCS, ROOT, examples
from support.processes import ServerProcess
from support.soak import SOAK, full_or_tenth
from support.stubs import run_commands, skip_without

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

HANDS = 64
KILLS = full_or_tenth(60) // (1 if SOAK else 2)
PAUSE_SECONDS = 1.0
SERVING = '"event": "serving"'
"""In its log, once for each start that came so far."""
SOURCE = ROOT / "tests" / "languages" / "strict.ts"
PAGE = DOCS / "how-to" / "stubs.md"


async def test_a_client_that_follows_the_page_gives_up_loses_and_doubles_nothing(
    sqlite_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    await asyncio.to_thread(skip_without, "npm")
    program = await asyncio.to_thread(_built, tmp_path)
    with ServerProcess("messaging", sqlite_url, tmp_path / "server.log") as server:
        client = await asyncio.create_subprocess_exec(
            *("node", str(program), f"http://{server.address}", str(HANDS)),
            stdin=PIPE,
            stdout=PIPE,
            limit=2**26,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            assert await client.stdout.readline() == b"ready\n"
            for _ in range(KILLS):
                await asyncio.sleep(PAUSE_SECONDS)
                server.kill()
                server.start(wait=False)
            await asyncio.to_thread(server.wait_until_serving)
            client.stdin.close()
            told: dict[str, Any] = json.loads(await client.stdout.read())
            assert await client.wait() == 0
        finally:
            if client.returncode is None:
                client.kill()
    met = (tmp_path / "server.log").read_text().count(SERVING) - 1
    report_figures(
        f"{KILLS} kills, {met} of a server that served, under {HANDS} sends at once:"
        f" {told['sent']:,} sent, {told['unknown']:,} unknown outcomes repeated, the stream opened"
        f" again {told['reopened']} times, {told['read']:,} acknowledged;"
        f" given up {len(told['givenUp'])}, lost {len(told['lost'])},"
        f" twice {len(told['twice'])}, not read {len(told['unread'])}"
    )
    assert told["unknown"], "no kill met a call"
    assert told["reopened"], "no kill met the stream"
    for wrong in ("givenUp", "lost", "twice", "unread", "gaps", "unacknowledged"):
        assert told[wrong] == [], wrong
    assert told["read"] == told["sent"]


def _built(folder: Path) -> Path:
    """The program, with stubs made as the page says."""
    (block,) = examples(PAGE, "console typescript")
    generate, _, _ = block.text.partition("cat > src/main.ts")
    build = (
        f"cp {SOURCE} src/main.ts\n"
        "npx tsc --outDir dist --target es2022 --module nodenext --strict --skipLibCheck"
        " src/main.ts\n"
    )
    run_commands(generate + build, folder)
    return folder / "node" / "dist" / "main.js"
