"""Commands that make stubs, run beside the protos and with a `protoc` at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 800


def skip_without(tool: str) -> None:
    """Skip a test whose tool is not there, or that cannot fetch packages here."""
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    if tool == "npm":
        asked = subprocess.run(
            ["npm", "view", "--fetch-retries=0", "typescript", "version"],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        if asked.returncode:
            pytest.skip("npm reaches no registry from here")


def run_commands(commands: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run them in an empty folder, as in an activated environment; what they print."""
    (folder / "protos").symlink_to(ROOT / "protos")
    left = shutil.ignore_patterns("node_modules", "dist")
    for name in ("typescript", "web"):
        shutil.copytree(ROOT / "clients" / name, folder / "clients" / name, ignore=left)
    tools = folder / "tools"
    tools.mkdir()
    protoc = tools / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    places = (str(tools), str(Path(sys.executable).parent), os.environ["PATH"])
    done = subprocess.run(
        ["bash", "-ec", commands],
        cwd=folder,
        env={**os.environ, **(environment or {}), "PATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2_000:]
    return done.stdout
