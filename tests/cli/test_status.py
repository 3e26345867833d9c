"""`dovetail status`: whether both services serve, and what they hold."""

from __future__ import annotations

import dataclasses
import json
import socket
from importlib.metadata import version
from pathlib import Path

from cli.shell import Shell
from support.healths import NOT_SERVING, until_health
from support.processes import ServerProcess, free_port


def test_it_shows_both_services_and_what_the_team_has(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "x")
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
    printed = shell.says("status")
    assert version("dovetail") in printed
    rows = [line.split()[:3] for line in printed.splitlines()]
    assert ["messaging", "serving", shell.messaging] in rows
    assert ["tasks", "serving", shell.tasks] in rows
    assert "agents  2, 2 unread messages: bob 2" in printed
    assert "tasks   1: 1 pending" in printed
    assert "ready   the oldest is t1 for bob, created 2" in printed


def test_a_program_gets_it_as_one_object(shell: Shell):
    (facts,) = shell.json("status")
    assert (facts["version"], facts["team_id"]) == (version("dovetail"), shell.team)
    assert [server["health"] for server in facts["servers"]] == ["serving", "serving"]
    assert [server["address"] for server in facts["servers"]] == [shell.messaging, shell.tasks]
    assert facts["agents"] == 2
    assert not {"unacknowledged", "total_tasks", "states"} & facts.keys()  # All are zero.
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
    (facts,) = shell.json("status")
    assert (facts["unacknowledged"], facts["total_tasks"]) == (1, 1)
    assert facts["states"] == {"pending": 1}


def test_a_service_that_is_not_there_is_told_and_the_other_counted(shell: Shell):
    lost = dataclasses.replace(shell, tasks=f"127.0.0.1:{free_port()}")
    done = lost.run("status")
    assert done.exit_code == 6
    assert done.error == (
        f"dovetail: tasks at {lost.tasks}: nothing listens there. Start it with: dovetail up\n"
    )
    assert "agents  2, 0 unread messages" in done.out
    facts = json.loads(lost.run("status", "--json").out)
    assert [server["health"] for server in facts["servers"]] == ["serving", "not_running"]
    assert "total_tasks" not in facts


def test_one_service_at_the_others_address_is_not_taken_for_it(shell: Shell):
    crossed = dataclasses.replace(shell, messaging=shell.tasks, tasks=shell.messaging)
    done = crossed.run("status", "--json")
    assert done.exit_code == 6
    servers = json.loads(done.out)["servers"]
    assert [server["health"] for server in servers] == ["other_service"] * 2


def test_a_program_that_is_no_server_is_told_from_one(shell: Shell):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = dataclasses.replace(shell, messaging=address).run("status")
    assert done.exit_code == 6
    assert f"messaging at {address}: another program responds there" in done.error


async def test_a_service_whose_store_is_gone_is_not_serving(shell: Shell, tmp_path: Path):
    store = tmp_path / "store.db"
    with ServerProcess("tasks", f"sqlite:///{store}", tmp_path / "log") as server:
        store.rename(tmp_path / "away.db")
        lost = dataclasses.replace(shell, tasks=server.address)
        await until_health(server, NOT_SERVING)
        done = lost.run("status")
    assert done.exit_code == 6
    assert "its store does not respond" in done.error


def test_the_health_of_one_service_is_asked_for_alone(shell: Shell):
    lost = dataclasses.replace(shell, tasks=f"127.0.0.1:{free_port()}")
    assert "tasks" not in lost.says("status", "messaging")
    (facts,) = lost.json("status", "messaging")
    assert facts.keys() == {"version", "servers"}
    assert [server["health"] for server in facts["servers"]] == ["serving"]
    done = lost.run("status", "tasks")
    assert (done.exit_code, "nothing listens there" in done.error) == (6, True)
