"""`dovetail up`: both servers as one command, and what becomes of them."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child


@dataclass(frozen=True, kw_only=True)
class Up:
    """A running `dovetail up`, what it said, and its children."""

    process: subprocess.Popen[str]
    said: str
    children: dict[str, psutil.Process]

    def ends(self) -> tuple[int, str]:
        """Its exit code and what it complained of, once no child is left either."""
        _, error = self.process.communicate(timeout=60)
        _, alive = psutil.wait_procs(self.children.values(), timeout=60)
        assert alive == []
        return self.process.returncode, error


def command(folder: Path, *words: str) -> list[str]:
    ports = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
    return [*PROGRAM, "up", "--data-dir", str(folder), *ports, *words]


@contextmanager
def running(folder: Path, *words: str, last_line: str, cwd: Path | None = None) -> Generator[Up]:
    children: dict[str, psutil.Process] = {}
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": cwd}
    with child(command(folder, *words), **how) as process:
        assert process.stdout is not None
        said = ""
        while last_line not in said:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=SECONDS)
            said += line
        children |= {each.cmdline()[4]: each for each in psutil.Process(process.pid).children()}
        assert set(children) == {"messaging", "tasks"}
        yield Up(process=process, said=said, children=children)
    psutil.wait_procs(children.values(), timeout=SECONDS)


def running_json(folder: Path):
    return running(folder, "--json", last_line="}\n")


def test_it_says_what_runs_and_the_command_it_proposes_works(tmp_path: Path):
    with running(tmp_path / "data", last_line="Ctrl-C") as up:
        for part in ("0.1.0", f"sqlite:///{tmp_path}/data/dovetail.db", "fsync", "127.0.0.1:"):
            assert part in up.said
        proposed = up.said.partition("in another terminal:\n")[2].splitlines()[0]
        done = subprocess.run(
            proposed, shell=True, capture_output=True, text=True, timeout=60, check=True
        )
        assert "me → me" in done.stdout
        assert "Hello, inbox" in done.stdout


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and a server's certificate that it signs."""
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([*PROGRAM, "tls", "dev", "--dir", str(folder)], check=True, timeout=60)
    return folder


def locked(folder: Path, certificates: Path):
    """Servers that speak TLS alone and ask for tokens."""
    files = ("--tls-cert", f"{certificates}/server.pem", "--tls-key", f"{certificates}/server.key")
    admin = ("--credentials", "--admin-token-file", str(folder / "admin.token"))
    return running(folder / "data", *files, *admin, last_line="Ctrl-C")


def test_what_it_proposes_works_with_tls_and_credentials_too(tmp_path: Path, certificates: Path):
    with locked(tmp_path, certificates) as up:
        proposed = up.said.partition("in another terminal:\n")[2].splitlines()[:2]
        done = subprocess.run(
            "\n".join(("set -e", *proposed)),
            shell=True,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "Hello, inbox" in done.stdout
    with locked(tmp_path, certificates) as up:
        proposed = up.said.partition("in another terminal:\n")[2].splitlines()[:2]
        assert ["token create" in line for line in proposed] == [False, False]
    (tmp_path / "data" / "me.token").unlink()
    (tmp_path / "admin.token").unlink()
    with locked(tmp_path, certificates) as up:
        (proposed, _) = up.said.partition("in another terminal:\n")[2].split("\n\n")
        assert "admin.token" not in proposed
        assert "--token-file FILE --messaging" in proposed


def test_what_it_proposes_works_from_another_folder(tmp_path: Path, certificates: Path):
    own = tmp_path / "own"
    own.mkdir()
    for name in ("server.pem", "server.key"):
        shutil.copy(certificates / name, own)
    for folder, trusted in ((certificates, f"{certificates}/ca.pem"), (own, "FILE")):
        files = ("--tls-cert", "server.pem", "--tls-key", "server.key")
        admin = ("--credentials", "--admin-token-file", f"../{folder.name}.token")
        with running(tmp_path / folder.name, *files, *admin, last_line="Ctrl-C", cwd=folder) as up:
            assert f"--tls-ca {trusted} " in up.said
            assert f"--token-file {folder}/../{folder.name}.token" in up.said


def test_status_and_doctor_say_what_is_missing_before_locked_servers(
    tmp_path: Path, certificates: Path
):
    with locked(tmp_path, certificates) as up:
        there = dict(line.split() for line in up.said.splitlines()[2:4])
        shell = Shell(messaging=there["messaging"], tasks=there["tasks"], team="")
        store = ("--data-dir", str(tmp_path / "data"))
        for words, says in (
            ((), "it speaks TLS: name its authority, with --tls-ca FILE or --tls"),
            (("--tls",), "this side does not trust its certificate"),
            (("--tls-ca", f"{certificates}/ca.pem"), "--token-file FILE"),
        ):
            done = shell.run("status", *words)
            assert done.exit_code == 6
            assert says in done.error
            done = shell.run("doctor", *words, *store)
            assert (done.exit_code, says in done.out) == (1, True), done


def test_an_admin_sees_that_both_serve_and_no_team(tmp_path: Path, certificates: Path):
    with locked(tmp_path, certificates) as up:
        there = dict(line.split() for line in up.said.splitlines()[2:4])
        words = ("--tls-ca", f"{certificates}/ca.pem", "--token-file", f"{tmp_path}/admin.token")
        said = Shell(messaging=there["messaging"], tasks=there["tasks"], team="").says(
            "status", *words
        )
        (facts,) = Shell(messaging=there["messaging"], tasks=there["tasks"], team="").json(
            "status", *words
        )
        shell = Shell(messaging=there["messaging"], tasks=there["tasks"], team="")
        found = shell.says("doctor", *words, "--data-dir", f"{tmp_path}/data")
    assert found.count("the token is an admin's, who sees no team") == 2
    assert all(line.startswith("ok ") for line in found.splitlines())
    assert "an admin's token, which sees no team\n" in said
    rows = [line.split()[:2] for line in said.splitlines()[1:] if line]
    assert rows == [["messaging", "serving"], ["tasks", "serving"]]
    assert [server["health"] for server in facts["servers"]] == ["serving", "serving"]
    assert "agents" not in facts


def test_a_fault_of_tls_is_not_taken_for_a_server_that_does_not_run(
    tmp_path: Path, certificates: Path
):
    with locked(tmp_path, certificates) as up:
        there = dict(line.split() for line in up.said.splitlines()[2:4])
        for words, says in (
            (("--tls",), "not by an authority that is trusted here"),
            ((), "if the server asks for TLS, use TLS"),
        ):
            code, line = Shell(messaging=there["messaging"], tasks=there["tasks"], team="").fails(
                "task", "list", *words
            )
            assert code == 6
            assert says in line
            assert "--tls-ca FILE" in line
            assert "dovetail up" not in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_well_at_a_signal_and_leaves_no_child(number: signal.Signals, tmp_path: Path):
    with running_json(tmp_path) as up:
        said = json.loads(up.said)
        shell = Shell(messaging=said["messaging"], tasks=said["tasks"], team="t")
        assert shell.says("task", "list") == "no tasks\n"
        assert shell.says("agent", "list") == "no agents\n"
        up.process.send_signal(number)
        assert up.ends() == (0, "")


def test_what_was_written_is_there_when_it_runs_again(tmp_path: Path):
    with running_json(tmp_path) as up:
        said = json.loads(up.said)
        Shell(messaging=said["messaging"], tasks=said["tasks"], team="t").says(
            "task", "create", "x"
        )
        up.process.terminate()
        up.ends()
    with running_json(tmp_path) as up:
        said = json.loads(up.said)
        shell = Shell(messaging=said["messaging"], tasks=said["tasks"], team="t")
        assert [task["title"] for task in shell.json("task", "list")] == ["x"]


def test_no_child_outlives_it_even_when_it_is_killed(tmp_path: Path):
    with running_json(tmp_path) as up:
        up.process.kill()
        assert up.ends()[0] == -signal.SIGKILL


@pytest.mark.parametrize("service", ["messaging", "tasks"])
def test_when_a_server_dies_it_stops_the_other_and_says_so(service: str, tmp_path: Path):
    with running_json(tmp_path) as up:
        up.children[service].kill()
        code, error = up.ends()
    assert code == 1
    assert f"{service} ended by itself, by signal 9; the other one was stopped" in error
    assert "Its last message: " in error
    assert f"log: {tmp_path}/{service}.log" in error


def test_a_server_that_cannot_start_is_named_and_the_other_stopped(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        done = subprocess.run(
            command(tmp_path, "--tasks-listen", taken),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"dovetail: tasks cannot start: cannot listen on {taken}")
    # Its sibling may have been stopped before it could say so in its log.
    environments = (each.info["environ"] or {} for each in psutil.process_iter(["environ"]))
    assert not [each for each in environments if str(tmp_path) in each.get("DOVETAIL_STORE", "")]


def test_the_store_is_not_in_the_command_line_of_a_child(tmp_path: Path):
    with running(
        tmp_path, "--json", "--store", f"sqlite:///{tmp_path}/pw.db", last_line="}\n"
    ) as up:
        assert all("pw.db" not in " ".join(child.cmdline()) for child in up.children.values())
        assert json.loads(up.said)["store"] == f"sqlite:///{tmp_path}/pw.db"


def test_its_files_are_its_users_alone(tmp_path: Path):
    folder = tmp_path / "data"
    with running_json(folder):
        assert folder.stat().st_mode & 0o077 == 0
        assert [path.name for path in folder.iterdir() if path.stat().st_mode & 0o077] == []
