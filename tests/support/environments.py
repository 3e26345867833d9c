"""A fresh environment, and commands that must end well."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment into which the wheel was installed.

    It sees the libraries of this one, but not its editable Dovetail: Python reads no path files
    in folders that a path file names.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *command: str | Path) -> str:
        """What a command of it prints."""
        line = [str(self.folder / "bin" / command[0]), *map(str, command[1:])]
        return run(*line, folder=self.folder)


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What `make build` makes, and what it says of it."""

    wheel: Path
    sdist: Path
    said: str


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; it must end well."""
    line = list(map(str, command))
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
