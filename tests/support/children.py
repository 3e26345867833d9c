"""Commands as child processes that no test leaves behind."""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

SECONDS = 60.0
"""How long a test waits for the end of a child that was asked to end."""


def prepared(words: str, command: Sequence[str]) -> list[str]:
    """A command that a shell becomes, once it has run these words.

    Between fork and exec a process in which gRPC has threads must run nothing of its own.
    """
    return ["sh", "-c", f'{words}; exec "$@"', "sh", *command]


@contextmanager
def child(command: Sequence[str], **options: Any) -> Generator[subprocess.Popen[str]]:
    """A child that has ended at the end of the block, however that is left."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()
