"""The logs of `dovetail up` do not grow without end."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

from dovetail.cli.servers.logs import keep_small
from support.children import child
from support.waiting import until

WRITER = """
import os, sys
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
for number in range(20_000):
    os.write(log, b"line %08d\\n" % number)
print("written", flush=True)
sys.stdin.read(1)
os.write(log, b"the last\\n")
"""
LIMIT = 50_000


async def test_a_log_is_cut_off_under_its_writer_and_the_part_before_is_kept(
    tmp_path: Path,
) -> None:
    log, before = tmp_path / "server.log", tmp_path / "server.log.1"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with child([sys.executable, "-c", WRITER, str(log)], **pipes) as writer:
        assert writer.stdout is not None
        assert await asyncio.to_thread(writer.stdout.readline) == "written\n"
        keeping = asyncio.create_task(keep_small([log, tmp_path / "none.log"], LIMIT))
        await until(lambda: before.exists() and log.stat().st_size == 0)
        keeping.cancel()
        writer.communicate("x", timeout=60)
    assert log.read_text() == "the last\n"
    assert before.read_text().endswith("line 00019999\n")
    assert stat.S_IMODE(before.stat().st_mode) == 0o600


async def test_a_log_that_cannot_be_copied_is_cut_off_all_the_same(tmp_path: Path) -> None:
    log, before = tmp_path / "server.log", tmp_path / "server.log.1"
    log.write_text("x" * (LIMIT + 1))
    os.mkdir(before)  # So the copy cannot be opened.
    (before / "held").touch()
    keeping = asyncio.create_task(keep_small([log], LIMIT))
    await until(lambda: log.stat().st_size == 0 or keeping.done())
    keeping.cancel()
    assert log.stat().st_size == 0
