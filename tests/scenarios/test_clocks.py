"""Servers whose clock is set wrongly, for a moment or from their start: times stay true."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.doctor import Level, check_store
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.clocks import faked
from support.followers import receive
from support.servers import Servers, serving

WORK_SECONDS = 0.3
DAY = 86_400.0
NEAR = 60.0
"""Seconds by which two clocks that agree may differ here, on a machine with much to do."""

LATE = types_pb2.TASK_VERB_BECOME_OVERDUE


@pytest.mark.parametrize("days", [365, -365])
async def test_a_clock_that_is_a_year_off_for_a_moment_leaves_no_trace(
    sqlite_url: str, tmp_path: Path, days: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    async with serving(sqlite_url, tmp_path, environment=faked(clock)) as servers:
        await servers.register("boss", "hand")
        later = {"due_time": _from_now(3_600), "assignee_id": "hand"}
        await _create(servers, task_id="later", **later)
        for offset, said in ((days, "clock jumped"), (0, "clock is back")):
            clock.write_text(f"{offset:+}d\n")
            await _until_logged(servers, said)
            await _work(servers)
            soon = f"soon{offset}"
            await _create(servers, task_id=soon, due_time=_from_now(0.5))
            await receive(servers, "boss", lambda found, soon=soon: _late(found, soon))
        messages = await servers.caller("boss").list_messages()
        told = [record.message for record in messages.records]
        assert "later" not in [each.notice.task_id for each in told if each.notice.verb == LATE]
        assert all(_is_near(each.create_time, 0) for each in told)
        report = await servers.caller("boss").report()
        assert WORK_SECONDS <= _length(report.average_task_time) < NEAR


async def test_after_a_server_that_began_a_day_ahead_time_goes_on_from_there(
    store_url: str, tmp_path: Path
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+1d\n")
    async with serving(store_url, tmp_path, environment=faked(clock)) as servers:
        await servers.register("boss", "hand")
        await _work(servers)
        for _ in range(20):  # Two servers whose clocks differ drive each other no further.
            sent = await _send(servers)
            task = await _create(servers)
            assert task.create_time.ToNanoseconds() >= sent.create_time.ToNanoseconds()
            assert _is_near(sent.create_time, DAY)
            assert _is_near(task.create_time, DAY)
        servers.tasks.kill()
        clock.write_text("+0\n")
        await asyncio.to_thread(servers.tasks.start)
        await _work(servers)
        assert _is_near((await _send(servers)).create_time, DAY)
        assert "stamp is ahead of the clock" in servers.tasks.log.read_text()
        filter = pb.TaskFilter(labels={"when": "soon"})
        await _create(servers, labels=filter.labels, schedule_time=_from_now(0.5))
        assert await servers.caller("hand").claim(max_wait=20, filter=filter)
    findings = await asyncio.to_thread(check_store, store_url)
    (found,) = [each for each in findings if each.check == "time"]
    assert found.level is Level.WARN
    assert "'' by" not in found.text
    assert " by 1 day" in found.text or " by 23:" in found.text


async def _work(servers: Servers) -> None:
    """A task that takes a while, by every clock."""
    hand, task = servers.caller("hand"), await _create(servers, assignee_id="hand")
    await hand.do("start", task.task_id)
    await asyncio.sleep(WORK_SECONDS)
    ended = await hand.did("complete", task.task_id)
    took = (ended.end_time.ToNanoseconds() - ended.start_time.ToNanoseconds()) / 1e9
    assert 0.99 * WORK_SECONDS <= took < NEAR


async def _create(servers: Servers, **fields: Any) -> pb.Task:
    return await servers.caller("boss").made(**fields)


async def _send(servers: Servers) -> talk.SendMessageResponse:
    return await servers.caller("boss").send("hand", body="hello")


async def _until_logged(servers: Servers, words: str) -> None:
    """Wait until the task server has said it; each look is a call that asks for the time."""
    while words not in servers.tasks.log.read_text():
        await servers.caller("boss").report()


def _late(found: list[talk.Delivery], task_id: str) -> bool:
    notices = [each.message.notice for each in found]
    return any(each.verb == LATE and each.task_id == task_id for each in notices)


def _is_near(stamp: Timestamp, ahead: float) -> bool:
    return abs(stamp.ToNanoseconds() / 1e9 - time.time() - ahead) < NEAR


def _from_now(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(time.time_ns() + int(seconds * 1e9))
    return stamp


def _length(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
