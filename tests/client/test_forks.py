"""Processes that used a client and fork, as servers of web frameworks and task queues do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from support.processes import process_pair

HEAD = """
import asyncio, multiprocessing, os, signal, sys
from dovetail.client import connect as connect_async
from dovetail.client.blocking import connect
signal.alarm(60)
WHERE = dict(messaging=sys.argv[1], tasks=sys.argv[2], timeout=20)

def forked(function):
    # What a child's function gives, or raises, and how the child ends.
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        said = open(reading).read()
        return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(30)  # A child that hangs is ended by it.
    try:
        said = function()
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    os.write(writing, str(said).encode())
    sys.exit(0)  # Leaves every block that the parent had entered.

def fresh(agent_id):
    with connect(agent_id, **WHERE) as agent:
        agent.register()
        agent.send("alice", "from " + agent_id)
        return agent.agent().agent_id

def bodies(agent):
    return [message.body for message in agent.receive()]
"""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("servers")
    store = f"sqlite:///{folder}/store.db"
    with process_pair(store, folder) as (messaging, tasks):
        yield messaging.address, tasks.address


def run(script: str, addresses: tuple[str, str], tmp_path: Path) -> list[str]:
    file = tmp_path / "script.py"
    file.write_text(HEAD + f"WHERE['team_id'] = {tmp_path.name!r}\n" + script)
    done = subprocess.run(
        [sys.executable, str(file), *addresses],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "Warning" not in done.stderr
    return done.stdout.splitlines()


def test_a_child_gets_a_new_client_and_so_does_its_own_child(
    addresses: tuple[str, str], tmp_path: Path
):
    script = """
with connect("alice", **WHERE) as alice:
    alice.register()
    print(forked(lambda: fresh("bob")))
    print(forked(lambda: (fresh("carol"), forked(lambda: fresh("dave")))))
    print(bodies(alice))
print(forked(lambda: fresh("erin")))
"""
    assert run(script, addresses, tmp_path) == [
        "('bob', 0)",
        """("('carol', ('dave', 0))", 0)""",
        "['from bob', 'from carol', 'from dave']",
        "('erin', 0)",
    ]


def test_in_a_child_the_old_client_refuses_and_the_parent_s_goes_on(
    addresses: tuple[str, str], tmp_path: Path
):
    script = """
with connect("alice", **WHERE) as alice:
    alice.tasks.create("x")
    with alice.inbox() as inbox, alice.claim() as task:
        for used in (alice.register, alice.tasks.report, task.heartbeat, inbox.close,
                     lambda: list(alice.agents()), lambda: next(iter(inbox))):
            said, code = forked(used)
            print(said.partition(" made ")[0], said.rpartition(": ")[2], code)
        alice.send("alice", "to myself")
        print(next(iter(inbox)).body)
        task.result("done")
    print([task.result.summary for task in alice.tasks.list()])
"""
    refused = "RuntimeError: this connection was call connect() again in the new process 0"
    assert run(script, addresses, tmp_path) == [*[refused] * 6, "to myself", "['done']"]


def test_a_child_ends_well_that_uses_no_client(addresses: tuple[str, str], tmp_path: Path):
    script = """
with connect("alice", **WHERE) as alice:
    alice.register()
    with alice.inbox() as inbox:
        print(forked(lambda: "nothing"))
    del inbox
    print(forked(lambda: globals().pop("alice") and "let go"))
"""
    assert run(script, addresses, tmp_path) == ["('nothing', 0)", "('let go', 0)"]


def test_a_pool_of_forked_processes_works(addresses: tuple[str, str], tmp_path: Path):
    script = """
with connect("alice", **WHERE) as alice:
    alice.register()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        print(pool.map(fresh, [f"worker-{n}" for n in range(6)]))
    print(len(bodies(alice)))
"""
    names = [f"worker-{number}" for number in range(6)]
    assert run(script, addresses, tmp_path) == [str(names), "6"]


def test_a_child_of_an_asyncio_program_gets_a_new_client_too(
    addresses: tuple[str, str], tmp_path: Path
):
    script = """
async def fresh_async(agent_id):
    async with connect_async(agent_id, **WHERE) as agent:
        await agent.register()
        return (await agent.agent()).agent_id

async def parent():
    async with connect_async("alice", **WHERE) as alice:
        await alice.register()
        print(forked(lambda: fresh("bob")))
        print((await alice.agent("bob")).agent_id)

asyncio.run(parent())
print(forked(lambda: asyncio.run(fresh_async("carol"))))
"""
    assert run(script, addresses, tmp_path) == ["('bob', 0)", "bob", "('carol', 0)"]


def test_where_grpc_cannot_be_loaded_again_a_child_is_told(
    addresses: tuple[str, str], tmp_path: Path
):
    script = """
from dovetail.client import forked as core
with connect("alice", **WHERE) as alice:
    alice.register()
    core.FILE = "/no/such/file"
    print(forked(lambda: fresh("bob")))
"""
    (said,) = run(script, addresses, tmp_path)
    assert "RuntimeError: this process was forked, and gRPC cannot be loaded once more" in said
    assert 'get_context("spawn")' in said
