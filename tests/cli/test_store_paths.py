"""A store that is named by a path, and one that is mistyped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cli.shell import PROGRAM, Shell


@pytest.mark.parametrize("command", [("up",), ("serve", "messaging"), ("serve", "tasks")])
@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
def test_a_mistyped_folder_founds_no_store(command: tuple[str, ...], scheme: str, tmp_path: Path):
    shell = Shell(messaging="", tasks="", team="").within(DOVETAIL_DATA_DIR=str(tmp_path / "logs"))
    missing = tmp_path / "dat"
    code, told = shell.fails(*command, "--store", f"{scheme}{missing}/dovetail.db")
    assert code == 2
    assert f"there is no folder {missing}. If the path is right, create it first: mkdir" in told
    assert not missing.exists()


def test_a_plain_path_is_served_and_doctor_finds_it(tmp_path: Path):
    shell = Shell(messaging="127.0.0.1:1", tasks="127.0.0.1:1", team="")
    command = [*PROGRAM, "serve", "tasks", "--json", "--listen", "127.0.0.1:0", "--store", "own.db"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        try:
            facts = json.loads(server.stdout.readline())
        finally:
            server.kill()
    assert facts["store"] == f"sqlite:///{tmp_path.resolve()}/own.db"
    doctor = shell.run("doctor", "--store", f"{tmp_path}/own.db")
    assert (doctor.exit_code, str(tmp_path) in doctor.out) == (0, True), doctor


def test_a_path_in_the_file_begins_at_the_folder_of_the_file(tmp_path: Path):
    (tmp_path / "config.toml").write_text('[server]\nstore = "own.db"\n')
    shell = Shell(messaging="", tasks="", team="")
    shown = shell.json("--config", str(tmp_path / "config.toml"), "config")
    (store,) = (each for each in shown if (each["section"], each["key"]) == ("server", "store"))
    assert store["value"] == f"sqlite:///{tmp_path}/own.db"
