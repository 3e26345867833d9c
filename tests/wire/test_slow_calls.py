"""Calls that take long have a line in the log; those that wait on purpose have none."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from dovetail.server.access.interceptor import SLOW_SECONDS
from dovetail.tasks.v1 import tasks_pb2 as t
from support.pair import identity
from support.servers import serving
from support.waiting import until

ANN = identity("ann")


async def test_a_slow_call_has_a_line_in_the_log(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("ann")

        def lines() -> list[dict[str, Any]]:
            found = servers.tasks.log.read_text().splitlines(keepends=True)
            return [json.loads(line) for line in found if line[0] == "{" and line[-1] == "\n"]

        def slow() -> list[dict[str, Any]]:
            return [line for line in lines() if line["event"] == "slow"]

        wait = Duration(seconds=1, nanos=300_000_000)
        await servers.tasks_stub.ClaimTask(t.ClaimTaskRequest(max_wait=wait), metadata=ANN)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            create = t.CreateTaskRequest(title="waits for the writer's place")
            waiting = asyncio.ensure_future(servers.tasks_stub.CreateTask(create, metadata=ANN))
            await asyncio.sleep(1.2 * SLOW_SECONDS)  # How long it takes is what is tested.
            other.rollback()
        await waiting
        await servers.tasks_stub.GetReport(t.GetReportRequest(), metadata=ANN)
        (line,) = await until(slow)
        assert line["method"].endswith("/CreateTask")
        assert line["agent_id"] == "ann"
        assert line["milliseconds"] > 1_000 * SLOW_SECONDS
