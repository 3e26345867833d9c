"""A user without an entry in passwd and without HOME, as containers run programs."""

from __future__ import annotations

from pathlib import Path

from cli.shell import Shell
from support.strangers import needs_root, run_as_stranger

pytestmark = needs_root
REACH = ("DOVETAIL_MESSAGING", "DOVETAIL_TASKS", "DOVETAIL_TEAM")


def test_calls_work_and_no_place_is_needed(shell: Shell, tmp_path: Path):
    reach = {name: shell.environment[name] for name in REACH}
    for words in (
        ("config",),
        ("send", "--as", "alice", "bob", "x"),
        ("inbox", "--as", "bob"),
        ("status",),
        ("doctor",),
        ("worker", "--as", "bob", "--until-idle", "1s", "--", "true"),
    ):
        done = run_as_stranger(*words, folder=tmp_path, **reach)
        assert done.returncode == 0, done
        assert "Traceback" not in done.stderr


def test_what_needs_a_place_says_so_and_how_to_name_one(tmp_path: Path):
    for words in (("up",), ("serve", "tasks")):
        done = run_as_stranger(*words, folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
        assert "no home folder is known. Name one: --data-dir DIR" in done.stderr


def test_a_home_that_is_closed_to_it_is_no_fault_until_it_is_needed(tmp_path: Path):
    closed = tmp_path / "root"
    closed.mkdir(0o700)
    own = tmp_path / "own"
    own.mkdir()
    home = {"HOME": str(closed)}
    assert run_as_stranger("config", folder=own, **home).returncode == 0
    done = run_as_stranger("up", folder=own, **home)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert "cannot be created: Permission denied. Name another: --data-dir" in done.stderr


def test_a_tilde_without_a_home_is_a_fault_of_the_file(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text('[client]\ntls_ca = "~/x"\n')
    file.chmod(0o644)
    done = run_as_stranger("--config", file.name, "agent", "list", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert "[client] tls_ca: '~/x' starts at a home folder, and none is known" in done.stderr
