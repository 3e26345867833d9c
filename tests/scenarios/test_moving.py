"""A large store that is moved to the other engine, and its clients, who go on where they were.

The commands are killed midway, and run again.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.main import (
    MoveError,
    StoreOpenError,
    check_store,
    export_store,
    new_file,
)
from dovetail.server.store.moving.places import opened
from dovetail.server.store.store import Store
from dovetail.tasks.v1 import tasks_pb2 as work
from support.callers import Caller, sequences
from support.children import child
from support.databases import empty_database
from support.servers import serving
from support.soak import SOAK, full_or_tenth
from support.waiting import until

pytestmark = pytest.mark.soak

# A hundredth in the tests of every change, which fill a store and read it several times.
MESSAGES = full_or_tenth(200_000) // (1 if SOAK else 10)
TASKS = full_or_tenth(50_000) // (1 if SOAK else 10)
BATCH = 1_000
PROGRAM = (sys.executable, "-m", "dovetail.cli")
READ = 7
"""How far bob has read before the move."""

DATA = Struct()
DATA.update({"files": ["a", "b"], "n": 3, "ok": True})


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the clients remember of the time before the move."""

    through_sequence: int
    lease_token: str
    sent: talk.SendMessageResponse


@pytest.fixture(params=["sqlite", "postgres"])
def stores(
    request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path
) -> Generator[tuple[str, str]]:
    """A store of each engine, and an empty one of the other."""
    with empty_database(str(request.getfixturevalue("postgres"))) as postgres_url:
        yield (
            (sqlite_url, postgres_url) if request.param == "sqlite" else (postgres_url, sqlite_url)
        )


async def test_a_store_is_moved_to_the_other_engine_and_its_clients_go_on(
    stores: tuple[str, str], tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    source, target = stores
    third = f"sqlite:///{tmp_path}/third.db"
    archive = tmp_path / "archive"
    figures: list[str] = []
    async with serving(source, tmp_path) as servers:
        left = await _filled(servers.caller("ann"), servers.caller("bob"))
        for each in servers.both:
            assert each.stop() == 0
        with _timed("copied", figures):
            copied = await _killed_midway(("store", "copy", source, target), target)
        assert copied["written"] < copied["rows"]  # Not begun anew.
        await _kill_export(source, archive)
        assert archive.name not in os.listdir(tmp_path)
        with _timed("exported", figures):
            lines = await asyncio.to_thread(_exported, source, archive)
        assert lines == await asyncio.to_thread(_exported, target, tmp_path / "target")
        with _timed("imported", figures):
            imported = await _killed_midway(("import", str(archive), "--store", third), third)
        assert imported["resumed"]
        assert lines == await asyncio.to_thread(_exported, third, tmp_path / "third")
        checks = await asyncio.to_thread(check_store, target)
        assert [each for each in checks if each.level == "fail"] == []
        for each in servers.both:
            each.store_url = target
            each.start()
        await _gone_on(servers.caller("ann"), servers.caller("bob"), left)
    report_figures(f"{MESSAGES:,} messages, {TASKS:,} tasks: {', '.join(figures)}")


async def _filled(ann: Caller, bob: Caller) -> Left:
    """Ann sends and creates; bob has read and completed a part."""
    await ann.register()
    await bob.register()
    sent = await ann.send("bob", body="first", request_id="first")
    for first in range(1, MESSAGES, BATCH):
        numbers = range(first, min(first + BATCH, MESSAGES))
        requests = [
            talk.SendMessageRequest(
                recipient_ids=["bob"] if number % 4 else ["bob", "ann"],
                subject=f"number {number}",
                body="what there is to say ✓ " * 8,
                data=DATA if number % 10 == 0 else None,
                labels={"b": "2", "a": "1"} if number % 7 == 0 else None,
            )
            for number in numbers
        ]
        await ann.call(talk.BatchSendMessagesRequest(requests=requests))
    for first in range(0, TASKS, BATCH):
        numbers = range(first, min(first + BATCH, TASKS))
        tasks = [
            work.CreateTaskRequest(title=f"task {number}", input=DATA if number % 5 == 0 else None)
            for number in numbers
        ]
        await ann.call(work.BatchCreateTasksRequest(requests=tasks))
    for _ in range(TASKS // 4 // 100):
        claimed = await bob.claim(max_tasks=100, lease_duration=3_600)
        done = [
            work.CompleteTaskRequest(task_id=each.task.task_id, lease_token=each.lease_token)
            for each in claimed
        ]
        await bob.call(work.BatchCompleteTasksRequest(requests=done))
    async with bob.inbox() as inbox:
        assert sequences(await inbox.take(READ))[0] == 1
    await bob.acknowledge(*range(1, READ + 1))
    (held,) = await bob.claim(lease_duration=3_600)
    return Left(through_sequence=READ, lease_token=held.lease_token, sent=sent)


async def _gone_on(ann: Caller, bob: Caller, left: Left) -> None:
    """The same clients at the new store: cursor, lease, repeats and numbers go on."""
    async with bob.inbox(after_sequence=left.through_sequence) as inbox:
        assert sequences(await inbox.take(3))[:3] == [READ + 1, READ + 2, READ + 3]
    repeated = await ann.send("bob", body="first", request_id="first")
    assert repeated.message_id == left.sent.message_id
    sent = await ann.send("bob", body="next")
    assert int(sent.message_id[1:]) > MESSAGES
    (held,) = (await bob.page(filter=work.TaskFilter(states=[work.TASK_STATE_IN_PROGRESS]))).tasks
    await bob.do("heartbeat", held.task_id, lease_token=left.lease_token)
    await bob.do("complete", held.task_id, lease_token=left.lease_token)
    report = await ann.report()
    assert report.total_tasks == TASKS


async def _killed_midway(words: tuple[str, ...], target: str) -> dict[str, Any]:
    """Run a command twice: the first is killed when it has written something."""
    command = [*PROGRAM, *words, "--json"]
    with child(command) as process:
        await until(lambda: process.poll() is not None or _has_messages(target))
        process.kill()
        assert process.wait() < 0  # It was killed, and had not ended.
    with pytest.raises(StoreOpenError, match="holds only a part of what is moved there"):
        Store(target)
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _has_messages(url: str) -> bool:
    with suppress(MoveError, StoreOpenError), opened(url) as place:
        return bool(place.rows("SELECT 1 FROM messages LIMIT 1"))
    return False


async def _kill_export(url: str, file: Path) -> None:
    """Begin an export, and kill it when it has written something."""
    draft = file.with_name(f".{file.name}.draft")
    with child([*PROGRAM, "export", str(file), "--store", url]) as process:
        await until(lambda: process.poll() is not None or _size(draft) > 0)
        process.kill()
        assert process.wait() < 0


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _exported(url: str, file: Path) -> list[str]:
    """The rows of a store."""
    with new_file(file) as out:
        export_store(url, (), out, lambda *_: None)
    return file.read_text().splitlines()[1:-1]


@contextmanager
def _timed(what: str, figures: list[str]) -> Generator[None]:
    begin = time.perf_counter()
    yield
    figures.append(f"{what} in {time.perf_counter() - begin:.1f} s")
