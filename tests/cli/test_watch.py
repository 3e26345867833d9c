"""`dovetail watch`: it ends when there is something to look at, and only then."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.shell import Shell
from dovetail.bridges.hooks import places
from support.background import Background
from support.processes import ServerProcess, process_pair
from support.waiting import until

DIGEST_BYTES_MAX = 512


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """The folder of a user's sockets, whose path is too long for a socket's address."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def bob(shell: Shell, runtime: Path) -> Shell:
    """The shell of bob."""
    return shell.within(XDG_RUNTIME_DIR=str(runtime), DOVETAIL_AGENT="bob")


@contextmanager
def watching(shell: Shell, *words: str) -> Generator[Background]:
    """A watcher that waits."""
    with Background(("watch", *words), shell.environment) as watcher:
        yield watcher


async def until_watched(shell: Shell) -> None:
    """Wait until a watcher answers hooks."""
    await until(lambda: answers(shell))


def answers(shell: Shell) -> bool:
    for found in Path(shell.environment["XDG_RUNTIME_DIR"]).glob("dovetail/*/socket"):
        folder = places.Folder(str(found.parent))
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(folder.name(places.SOCKET))
            except OSError:
                continue
            finally:
                folder.close()
            return True
    return False


def write(shell: Shell, *words: str, sender: str = "alice") -> None:
    shell.says("send", "--as", sender, "bob", *words)


async def test_a_watcher_ends_with_a_digest_of_what_came(bob: Shell):
    with watching(bob) as watcher:
        await until_watched(bob)
        write(bob, "a secret text", "--importance", "high")
        assert watcher.wait() == 0
    assert watcher.error == ""
    assert "1 new (1 high), 1 unread. From alice 1." in watcher.out
    assert "dovetail inbox --brief --as bob" in watcher.out
    assert "secret" not in watcher.out


async def test_a_burst_wakes_once(bob: Shell):
    with watching(bob, "--json") as watcher:
        await until_watched(bob)
        for number in range(3):
            write(bob, f"text {number}")
        watcher.wait()
    first = json.loads(watcher.out)
    told = first["through_sequence"]
    if told == 3:
        return
    # A slow machine: what came after the burst wakes the next one, once.
    with watching(bob, "--json") as watcher:
        watcher.wait()
    assert json.loads(watcher.out)["new"] == 3 - told


async def test_one_of_very_many_recipients_is_woken_too(bob: Shell):
    others = [f"other-{number:02}" for number in range(12)]
    for name in others:
        bob.says("agent", "register", name)
    with watching(bob) as watcher:
        await until_watched(bob)
        bob.says("send", "--as", "alice", *others, "bob", "for all")
        assert watcher.wait() == 0
    assert "1 new, 1 unread. From alice 1." in watcher.out


async def test_what_was_told_does_not_wake_again_unless_asked(bob: Shell):
    write(bob, "one")
    with watching(bob) as watcher:
        watcher.wait()
    with watching(bob, "--json") as watcher:
        await until_watched(bob)
        write(bob, "two")
        watcher.wait()
    assert (json.loads(watcher.out)["new"], json.loads(watcher.out)["unread"]) == (1, 2)
    with watching(bob, "--again", "--json") as watcher:
        watcher.wait()
    assert json.loads(watcher.out)["new"] == 2


async def test_what_was_acknowledged_meanwhile_wakes_nobody(bob: Shell):
    write(bob, "one")
    bob.says("acknowledge", "1")
    with watching(bob, "--json") as watcher:
        await until_watched(bob)
        write(bob, "two")
        watcher.wait()
    assert json.loads(watcher.out)["new"] == 1


async def test_an_assigned_task_wakes_its_assignee(bob: Shell):
    with watching(bob) as watcher:
        await until_watched(bob)
        bob.says("task", "create", "a title that is not told", "--assignee", "bob", "--as", "alice")
        watcher.wait()
    assert "1 new, 1 unread" in watcher.out
    assert "title" not in watcher.out


def test_the_digest_of_many_long_names_is_short(bob: Shell):
    for number in range(8):
        sender = f"{number}{'x' * 99}"
        bob.says("send", "--as", sender, "bob", "text")
    for words in ([], ["--json"]):
        with watching(bob, "--again", *words) as watcher:
            assert watcher.wait() == 0
        assert len(watcher.out.encode()) <= DIGEST_BYTES_MAX
        assert "8" in watcher.out


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_the_digest_of_an_agent_with_the_longest_name_is_short(bob: Shell, words: list[str]):
    name = "\N{ANCHOR}" * 128
    bob.says("agent", "register", name)
    bob.says("send", "--as", "alice", name, "text")
    with watching(bob, "--as", name, *words) as watcher:
        assert watcher.wait() == 0
    assert len(watcher.out.encode()) <= DIGEST_BYTES_MAX


async def test_there_is_one_watcher_for_each_agent(bob: Shell):
    assert bob.fails("watch", "--check")[0] == 3
    with watching(bob) as watcher:
        await until_watched(bob)
        assert bob.run("watch", "--check").exit_code == 0
        code, text = bob.fails("watch")
        assert code == 4
        assert "runs already: process" in text
        assert bob.fails("watch", "--check", "--as", "alice")[0] == 3
        watcher.kill()
    assert bob.fails("watch", "--check")[0] == 3


async def test_a_killed_watcher_is_no_hindrance(bob: Shell):
    with watching(bob) as killed:
        await until_watched(bob)
        killed.kill()
    with watching(bob) as watcher:
        write(bob, "text")
        assert watcher.wait() == 0


async def test_a_host_may_choose_the_exit_code(bob: Shell):
    write(bob, "text")
    with watching(bob, "--exit-code", "2") as watcher:
        assert watcher.wait() == 2
    assert "1 new" in watcher.out


async def test_a_watcher_waits_through_a_restart_of_the_servers(tmp_path: Path, runtime: Path):
    with process_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as (messaging, tasks):
        shell = _shell_of(messaging, tasks, runtime)
        shell.says("agent", "register", "bob")
        messaging.kill()
        with watching(shell) as watcher:
            messaging.start()
            await until_watched(shell)
            messaging.kill()
            messaging.start()
            write(shell, "text")
            assert watcher.wait() == 0


def test_another_store_is_told_from_its_beginning(tmp_path: Path, runtime: Path):
    with process_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as (messaging, tasks):
        shell = _shell_of(messaging, tasks, runtime)
        _write_and_be_woken(shell)
        messaging.stop()
        messaging.store_url = f"sqlite:///{tmp_path}/other.db"
        messaging.start()
        _write_and_be_woken(shell)


def _write_and_be_woken(shell: Shell) -> None:
    shell.says("agent", "register", "bob")
    write(shell, "text")
    with watching(shell, "--json") as watcher:
        assert watcher.wait() == 0
    assert json.loads(watcher.out)["through_sequence"] == 1


def _shell_of(messaging: ServerProcess, tasks: ServerProcess, runtime: Path) -> Shell:
    shell = Shell(messaging=messaging.address, tasks=tasks.address, team="default")
    return shell.within(XDG_RUNTIME_DIR=str(runtime), DOVETAIL_AGENT="bob", DOVETAIL_PATIENCE="30s")


def test_an_unknown_agent_is_refused_at_once(bob: Shell):
    assert bob.fails("watch", "--as", "nobody")[0] == 3


def test_without_an_agent_it_says_which_option_to_use(bob: Shell):
    code, text = bob.within(DOVETAIL_AGENT="").fails("watch")
    assert code == 2
    assert "--as AGENT" in text


async def test_the_folders_are_private(bob: Shell, runtime: Path):
    with watching(bob):
        await until_watched(bob)
        assert folder_modes(runtime) == {0o700}


def folder_modes(top: Path) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in top.rglob("*") if each.is_dir()}


def test_a_folder_that_others_may_enter_is_refused(bob: Shell, runtime: Path):
    (runtime / "dovetail").mkdir()
    os.chmod(runtime / "dovetail", 0o755)
    code, text = bob.fails("watch")
    assert code == 1
    assert "mode 0700" in text


def test_a_broken_memory_is_one_that_remembers_nothing(bob: Shell, runtime: Path):
    write(bob, "text")
    with watching(bob) as watcher:
        watcher.wait()
    (memory,) = runtime.rglob("memory.json")
    memory.write_text('{"told_through": "many"')
    with watching(bob) as watcher:
        assert watcher.wait() == 0
