"""`dovetail doctor`: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

import dataclasses
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from cli.shell import Finished, Shell, read_json
from support.healths import NOT_SERVING, until_health
from support.processes import ServerProcess, free_port


def levels(done: Finished) -> dict[str, str]:
    """How bad each finding is, of what was printed for programs."""
    return {one["check"]: one["level"] for one in read_json(done.out)}


def test_all_is_well_beside_running_servers(
    shell: Shell, servers: tuple[ServerProcess, ServerProcess]
):
    shell.says("send", "--as", "alice", "bob", "x")
    done = shell.run("doctor", "--store", servers[0].store_url)
    assert (done.exit_code, done.error) == (0, "")
    for part in (
        "quick_check finds no fault",
        "GiB free",
        " ms, the median of ",
        f"{shell.messaging}: Dovetail serves there",
        "returned in",
    ):
        assert part in done.out
    assert all(line.startswith("ok ") for line in done.out.splitlines())


def test_figures_of_reports_are_rebuilt_beside_running_servers(
    shell: Shell, servers: tuple[ServerProcess, ServerProcess]
):
    shell.says("task", "create", "--as", "alice", "a task")
    done = shell.run("doctor", "--rebuild-figures", "--store", servers[0].store_url)
    assert (done.exit_code, done.error) == (0, "")
    assert "report figures  agree with the tasks" in done.out


def test_the_index_of_words_is_made_anew_beside_running_servers(
    shell: Shell, servers: tuple[ServerProcess, ServerProcess]
):
    shell.says("send", "--as", "alice", "bob", "find this")
    assert "find this" in shell.says("search", "find")
    done = shell.run("doctor", "--rebuild-search", "--store", servers[0].store_url)
    assert (done.exit_code, done.error) == (0, "")
    assert "indexed         all but " in done.out
    assert "find this" in shell.says("search", "find")


def test_without_a_store_no_figures_are_rebuilt(shell: Shell, tmp_path: Path):
    done = shell.run("doctor", "--rebuild-figures", "--store", str(tmp_path / "none.db"))
    assert done.exit_code == 1
    assert done.error == f"dovetail: there is no store at {tmp_path}/none.db\n"


def test_a_program_gets_one_object_per_finding(
    shell: Shell, servers: tuple[ServerProcess, ServerProcess]
):
    findings = shell.json("doctor", "--store", servers[0].store_url)
    assert {one["level"] for one in findings} == {"ok"}
    checks = [one["check"] for one in findings]
    assert {"SQLite", "fsync", "integrity", "messaging port", "tasks call"} <= set(checks)
    assert len(set(checks)) == len(checks)


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(shell: Shell, tmp_path: Path):
    free = dataclasses.replace(
        shell, messaging=f"127.0.0.1:{free_port()}", tasks=f"127.0.0.1:{free_port()}"
    )
    folder = tmp_path / "new" / "data"
    printed = free.says("doctor", "--data-dir", str(folder))
    assert f"there is none at {folder}/dovetail.db yet" in printed
    assert f"{free.tasks}: free, nothing runs there" in printed
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_none_fails_with_what_to_do(shell: Shell, tmp_path: Path):
    file = tmp_path / "dovetail.db"
    file.write_text("no store " * 1_000)
    done = shell.run("doctor", "--data-dir", str(tmp_path))
    assert done.exit_code == 1
    assert done.error == "dovetail: 1 failed: store\n"
    assert f"{file} cannot be read" in done.out
    assert "restore a copy that is whole" in done.out
    assert file.read_text() == "no store " * 1_000


def test_a_database_of_another_program_fails_and_stays_as_it_is(shell: Shell, tmp_path: Path):
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE notes (text)")
    before = file.read_bytes()
    done = shell.run("doctor", "--store", str(file))
    assert done.exit_code == 1
    assert "database of another program (it has the tables notes)" in done.out
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_one_fails(shell: Shell, tmp_path: Path):
    (tmp_path / "file").touch()
    done = shell.run("doctor", "--store", f"sqlite:///{tmp_path}/file/store.db", "--json")
    assert done.exit_code == 1
    assert levels(done)["folder"] == "fail"


def test_a_port_that_another_program_has_fails(shell: Shell, tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        done = dataclasses.replace(shell, tasks=taken).run("doctor", "--data-dir", str(tmp_path))
    assert (done.exit_code, done.error) == (1, "dovetail: 1 failed: tasks port\n")
    assert f"{taken}: another program" in done.out
    assert "dovetail up --tasks-listen" in done.out


def test_an_address_without_a_way_to_it_fails(shell: Shell, tmp_path: Path):
    lost = dataclasses.replace(shell, messaging="no.such.host.invalid:1")
    done = lost.run("doctor", "--data-dir", str(tmp_path))
    assert (done.exit_code, done.error) == (1, "dovetail: 1 failed: messaging port\n")
    assert "Is the address right?" in done.out


async def test_a_server_without_its_store_fails(shell: Shell, tmp_path: Path):
    store = tmp_path / "store.db"
    with ServerProcess("tasks", f"sqlite:///{store}", tmp_path / "log") as server:
        store.rename(tmp_path / "away.db")
        await until_health(server, NOT_SERVING)
        sick = dataclasses.replace(shell, tasks=server.address)
        done = sick.run("doctor", "--data-dir", str(tmp_path), "--json")
    assert done.exit_code == 1
    assert (levels(done)["tasks port"], levels(done)["messaging port"]) == ("fail", "ok")


def test_a_wrong_command_line_is_explained(shell: Shell):
    assert shell.run("doctor", "bob").exit_code == 2
    done = shell.run("doctor", "--store", "mysql://x")
    assert (done.exit_code, "no store of the kind 'mysql'" in done.out) == (1, True)
