"""The command line as a shell runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support import warm

SECONDS = 60.0
PROGRAM = (sys.executable, "-m", "dovetail.cli")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a command did."""

    exit_code: int
    out: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Runs commands against two servers, in a team."""

    messaging: str
    tasks: str
    team: str
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    is_warm: bool = True
    """Whether commands begin with the libraries loaded (`support/warm.py`)."""

    def within(self, **variables: str) -> Shell:
        """The same shell with more variables."""
        return replace(self, more={**self.more, **variables})

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if key != "COLUMNS"},
            "DOVETAIL_MESSAGING": self.messaging,
            "DOVETAIL_TASKS": self.tasks,
            "DOVETAIL_TEAM": self.team,
            "DOVETAIL_PATIENCE": "1s",
            **self.more,
        }

    def run(self, *words: str, typed: str = "") -> Finished:
        """Run a command to its end."""
        environment = self.environment
        if self.is_warm and warm.can_run(words, environment):
            code, out, error = warm.run("dovetail.cli", words, environment, typed, SECONDS)
            return Finished(exit_code=code, out=out, error=error)
        done = subprocess.run(
            [*PROGRAM, *words],
            input=typed,
            capture_output=True,
            text=True,
            env=environment,
            timeout=SECONDS,
            check=False,
        )
        return Finished(exit_code=done.returncode, out=done.stdout, error=done.stderr)

    def says(self, *words: str, typed: str = "") -> str:
        """What a command prints that succeeds and complains of nothing."""
        done = self.run(*words, typed=typed)
        assert (done.exit_code, done.error) == (0, ""), done
        return done.out

    def json(self, *words: str) -> list[dict[str, Any]]:
        """The objects that a command prints: in an array, or one a line."""
        return read_json(self.says(*words, "--json"))

    def fails(self, *words: str) -> tuple[int, str]:
        """The exit code and the one line of a command that fails, having printed nothing."""
        done = self.run(*words)
        assert done.out == "", done
        assert done.error.count("\n") == 1, done
        return done.exit_code, done.error


def read_json(text: str) -> list[dict[str, Any]]:
    """The objects of an array that has each on a line of its own, or those on the lines."""
    if not text.startswith("["):
        return [json.loads(line) for line in text.splitlines()]
    found: list[dict[str, Any]] = json.loads(text)
    assert text.count("\n") == (len(found) + 2 if found else 1), text
    return found
