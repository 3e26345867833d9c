"""A client is closed by its block or by `close`; one that was forgotten does no harm."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from client.conftest import Connect
from dovetail.client import Agent
from dovetail.client.admin import connect_admin
from support.processes import ServerProcess


async def test_a_client_works_without_a_block_until_it_is_closed(connected: Connect):
    alice = connected("alice")
    await alice.register()
    task = await alice.tasks.create("x")
    await alice.close()
    await alice.close()
    with pytest.raises(RuntimeError, match=r"this client is closed: call connect\(\) again"):
        await alice.register()
    with pytest.raises(RuntimeError, match="closed"):
        await alice.tasks.get(task.task_id)
    with pytest.raises(RuntimeError, match="closed"):
        await anext(alice.agents())


async def test_a_client_that_made_no_call_is_closed_too(connected: Connect):
    alice = connected("alice")
    await alice.close()
    with pytest.raises(RuntimeError, match="closed"):
        await alice.register()


async def test_the_end_of_a_client_ends_its_inboxes(alice: Agent, connected: Connect):
    waiting = connected("alice")
    inbox = waiting.inbox()
    await alice.send("alice", "one")
    assert (await anext(inbox)).body == "one"
    reading = asyncio.create_task(anext(inbox, None))
    await waiting.close()
    assert await reading is None
    assert [message async for message in inbox.backlog()] == []


async def test_an_admin_s_client_is_closed_by_close():
    admin = connect_admin(messaging="127.0.0.1:1", tasks="127.0.0.1:1")
    await admin.close()
    with pytest.raises(RuntimeError, match="closed"):
        await admin.create_team("red")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    folder = tmp_path_factory.mktemp("server")
    store = f"sqlite:///{folder}/store.db"
    with ServerProcess("messaging", store, folder / "messaging.log") as server:
        yield server.address


def run(script: str, address: str, tmp_path: Path) -> str:
    file = tmp_path / "script.py"
    file.write_text(script.replace("ADDRESS", repr(address)))
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_forgotten_client_neither_holds_up_the_end_nor_prints_to_it(
    address: str, tmp_path: Path
) -> None:
    script = """
import asyncio
from dovetail.client import connect

carol = connect("carol", messaging=ADDRESS)  # Before there is an event loop.
kept = []

async def main():
    await carol.send("carol", "hello")
    inbox = carol.inbox()
    kept.append(inbox)
    print((await anext(inbox)).body)
    kept.append(asyncio.create_task(anext(inbox)))
    kept.append(connect("dave", messaging=ADDRESS))
    await kept[-1].register()

asyncio.run(main())
"""
    assert run(script, address, tmp_path) == "hello\n"


def test_nor_does_a_forgotten_client_that_blocks(address: str, tmp_path: Path) -> None:
    script = """
import threading
from dovetail.client.blocking import connect

erin = connect("erin", messaging=ADDRESS)
erin.send("erin", "hello")
began = threading.Event()

def read():
    for message in connect("erin", messaging=ADDRESS).inbox():
        print(message.body)
        began.set()

threading.Thread(target=read, daemon=True).start()
began.wait(30)
closed = connect("erin", messaging=ADDRESS)
closed.close()
try:
    closed.register()
except RuntimeError as error:
    print(error)
lost = connect("erin", messaging="127.0.0.1:1", patience=0)
try:
    lost.register()
except Exception as error:
    frames, trace = [], error.__traceback__
    while trace:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    print(frames)
"""
    assert run(script, address, tmp_path).splitlines() == [
        "hello",
        "this client is closed: call connect() again",
        "['<module>', 'call', 'run']",
    ]
