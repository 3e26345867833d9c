"""`dovetail serve`: one server as a process."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
from playhouse.cysqlite_ext import CySqliteDatabase

from cli.shell import PROGRAM, Finished
from support.children import SECONDS, child
from support.processes import ServerProcess

ANY = ("--listen", "127.0.0.1:0")


def serve(*words: str, **environment: str) -> Finished:
    """Run a server that is expected to end by itself."""
    done = subprocess.run(
        [*PROGRAM, "serve", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )
    return Finished(exit_code=done.returncode, out=done.stdout, error=done.stderr)


def start_fault(*words: str, **environment: str) -> str:
    """The one line with which a server says that it cannot start."""
    done = serve(*words, **environment)
    assert (done.exit_code, done.out) == (1, ""), done
    assert done.error.count("\n") == 1, done
    return done.error


@pytest.mark.parametrize("service", ["messaging", "tasks"])
def test_a_server_says_where_it_serves_and_ends_well(service: str, tmp_path: Path):
    command = [*PROGRAM, "serve", service, "--data-dir", str(tmp_path / "new"), *ANY]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = line.split()[4].rstrip(",")
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))):
            server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS) == 0
    assert (
        line == f"{service} is serving at {address}, store sqlite:///{tmp_path}/new/dovetail.db\n"
    )


def test_a_server_says_where_it_serves_as_json(tmp_path: Path):
    command = [*PROGRAM, "serve", "tasks", "--json", *ANY]
    environment = os.environ | {"DOVETAIL_DATA_DIR": str(tmp_path)}
    with child(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(SECONDS) == 0
    assert said["service"] == "tasks"
    assert said["store"] == f"sqlite:///{tmp_path}/dovetail.db"
    assert said["address"].startswith("127.0.0.1:")


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        line = start_fault("messaging", "--data-dir", str(tmp_path), "--listen", address)
    assert line.startswith(f"dovetail: messaging cannot start: cannot listen on {address}")
    assert "choose another: --listen" in line


def test_two_servers_do_not_share_a_port(tmp_path: Path):
    store = f"sqlite:///{tmp_path}/store.db"
    with ServerProcess("messaging", store, tmp_path / "log") as first:
        line = start_fault("tasks", "--store", store, "--listen", first.address)
    assert "the address is in use" in line


def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "text").write_text("no database, but long enough to be taken for one " * 20)
    for path in (tmp_path, tmp_path / "text", tmp_path / "text" / "below.db"):
        line = start_fault("tasks", "--store", f"sqlite:///{path}", *ANY)
        assert f"sqlite:///{path}" in line
    assert "no store of the kind 'mysql'" in start_fault("tasks", "--store", "mysql://x", *ANY)


def test_what_is_no_store_is_named_and_left_as_it_is(tmp_path: Path):
    """A plain path is a store too; a database of another program is not made ours."""
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE notes (text)")
    before = foreign.read_bytes()
    (tmp_path / "text").write_text("no database")
    (tmp_path / "folder").mkdir()
    long = tmp_path.joinpath(*["x" * 200] * 3)
    long.parent.mkdir(parents=True)
    for path, says in (
        (foreign, "is a database of another program (it has the tables notes)"),
        (tmp_path / "text", "is no SQLite database"),
        (tmp_path / "folder", "it is a folder"),
        (Path("/dev/full"), "it is no file"),
        (long, "and SQLite takes 504"),
    ):
        assert says in start_fault("tasks", "--store", str(path), *ANY)
    assert foreign.read_bytes() == before
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["folder", "foreign.db", "text", "x" * 200]


def test_what_looks_like_a_url_is_no_file(tmp_path: Path):
    for url in ("mysql://x", "sqlite:x.db", "sqlite://x.db"):
        assert "no store of the kind" in start_fault("tasks", "--store", url, *ANY)


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Callable[[str], Path]]:
    """Mounts a disk of its own with these options, where this process may."""
    place = tmp_path / "disk"
    place.mkdir()

    def mounted(options: str) -> Path:
        mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(mounting, capture_output=True, check=False).returncode:
            pytest.skip("mounting a disk is not permitted here")
        return place

    yield mounted
    subprocess.run(["umount", str(place)], check=False, capture_output=True)


@pytest.mark.parametrize(
    ("options", "server_says", "up_says"),
    [
        ("size=64k", "is full", "there is no room for its log"),
        ("ro", "Read-only file system", "Read-only file system"),
    ],
)
def test_a_disk_that_cannot_be_written_is_told_at_the_start(
    disk: Callable[[str], Path], options: str, server_says: str, up_says: str
):
    folder = str(disk(options))
    assert server_says in start_fault("tasks", "--data-dir", folder, *ANY)
    ports = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
    done = subprocess.run(
        [*PROGRAM, "up", "--data-dir", folder, *ports],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert up_says in done.stderr


@pytest.mark.parametrize("name", ["x" * 180, "数" * 60, os.fsdecode(b"caf\xe9"), "a\nb"])
def test_long_and_odd_store_paths_work(name: str, tmp_path: Path):
    """The doorbell's socket and the driver's path are where such names do not fit by themselves."""
    folder = tmp_path / name
    command = [*PROGRAM, "serve", "tasks", "--json", "--data-dir", str(folder), *ANY]
    environment = os.environ | {"TMPDIR": str(tmp_path / ("t" * 100))}
    with child(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as server:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        assert (folder / "dovetail.db").stat().st_size > 0
        assert len(list((folder / "dovetail.db-bells").iterdir())) == 1
        server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS) == 0
    assert said["store"].isprintable()


def limited(ulimit: str) -> list[str]:
    """The words before a command that is to run under a limit of open files."""
    return ["sh", "-c", f'ulimit {ulimit}; exec "$@"', "sh"]


def test_a_limit_of_open_files_that_is_too_low_is_told(tmp_path: Path):
    command = [*limited("-n 64"), *PROGRAM, "serve", "tasks", "--data-dir", str(tmp_path), *ANY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert "may open 64 files, and a server needs 256: ulimit -n" in done.stderr


def test_a_server_takes_as_many_open_files_as_it_may(tmp_path: Path):
    command = [*limited("-S -n 300"), *PROGRAM, "serve", "tasks", "--data-dir", str(tmp_path), *ANY]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        assert server.stdout.readline()
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS) == 0
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


def test_a_plain_path_is_a_store(tmp_path: Path):
    with ServerProcess("tasks", str(tmp_path / "plain.db"), tmp_path / "log") as server:
        assert server.stop() == 0
    assert f"sqlite:///{tmp_path}/plain.db" in (tmp_path / "log").read_text()


def test_a_database_server_that_is_not_there_is_named(tmp_path: Path):
    line = start_fault("tasks", *ANY, DOVETAIL_STORE="postgresql://u:secret@127.0.0.1:1/none")
    assert "127.0.0.1:1/none" in line
    assert "Connection refused" in line
    assert "secret" not in line


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path):
    store = tmp_path / "store.db"
    with ServerProcess("tasks", f"sqlite:///{store}", tmp_path / "log"):
        pass
    database = CySqliteDatabase(str(store))
    database.execute_sql(
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')"
    )
    database.close()
    line = start_fault("tasks", "--store", f"sqlite:///{store}", *ANY)
    assert "was made by a newer release (it has 9999_later): upgrade this one" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tasks", "--listen", "0.0.0.0:0"), "say --insecure"),
        (("tasks", "--listen", "nonsense"), "is not HOST:PORT"),
        (("talk",), "'talk' is not one of messaging, tasks"),
        (("tasks", "--data-dir", __file__), "is a file"),
    ],
)
def test_a_wrong_command_line_is_explained(words: tuple[str, ...], says: str, tmp_path: Path):
    done = serve(*words, XDG_DATA_HOME=str(tmp_path))
    assert (done.exit_code, done.out) == (2, "")
    assert says in done.error
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_a_parent_stops_when_its_standard_input_closes(tmp_path: Path):
    command = [
        *PROGRAM,
        "serve",
        "tasks",
        "--data-dir",
        str(tmp_path),
        "--until-stdin-closes",
        *ANY,
    ]
    with child(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline()
        server.stdin.close()
        assert server.wait(SECONDS) == 0
