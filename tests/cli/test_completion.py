"""`dovetail completion`: what shells source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shell import Shell


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_script_is_printed(shell: Shell, name: str):
    script = shell.says("completion", name)
    assert f"_DOVETAIL_COMPLETE={name}_complete" in script


def test_bash_sources_it_and_completes_commands(shell: Shell, tmp_path: Path):
    program = tmp_path / "dovetail"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dovetail.cli "$@"\n')
    program.chmod(0o755)
    ask = (
        "set -eu; source /dev/stdin; COMP_WORDS=(dovetail sta); COMP_CWORD=1;"
        ' _dovetail_completion dovetail sta ""; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", ask],
        input=shell.says("completion", "bash"),
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["status"]


def test_an_unknown_shell_is_refused(shell: Shell):
    done = shell.run("completion", "cmd")
    assert (done.exit_code, done.out) == (2, "")
