"""A server that is away: for how long a command tries, and what a person at a terminal is told."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pty
import subprocess
from contextlib import suppress

from cli.shell import PROGRAM, Shell
from support.pair import running
from support.processes import free_port


def at_terminal(shell: Shell, *words: str) -> tuple[int, str]:
    """The exit code of a command whose standard error is a terminal, and what it says there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *words], env=shell.environment, stdout=subprocess.DEVNULL, stderr=theirs
    ) as command:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # The terminal ends with the command.
            while part := os.read(ours, 4_096):
                said += part
    os.close(ours)
    return command.returncode, said.decode()


def test_a_person_is_told_once_that_a_server_is_waited_for(shell: Shell) -> None:
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    code, said = at_terminal(lost, "agent", "list", "--patience", "0.5s")
    assert code == 6
    first, second = said.splitlines()
    assert first == (
        f"dovetail: no answer from {lost.messaging} yet: trying for 1 s more (Ctrl-C ends it)"
    )
    assert f"no answer from {lost.messaging}" in second
    code, said = at_terminal(lost, "agent", "list", "--patience", "0")
    assert (code, len(said.splitlines())) == (6, 1)
    code, said = at_terminal(shell, "agent", "list", "--patience", "0.5s", "--tls")
    assert (code, f"no answer from {shell.messaging} yet (" in said.splitlines()[0]) == (6, True)
    code, said = at_terminal(lost, "agent", "list", "--json")
    assert (code, "trying" in said) == (6, False)


def test_a_program_is_told_nothing_until_it_failed(shell: Shell) -> None:
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    code, line = lost.fails("agent", "list", "--patience", "0.5s")
    assert (code, "trying" in line) == (6, False)


async def test_a_command_outlives_the_start_of_a_server(shell: Shell, sqlite_url: str) -> None:
    """By default it tries for as long as a call may take, as the client does."""
    port = free_port()
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{port}").within(DOVETAIL_PATIENCE="")
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: ASYNC220 - it only starts it
        [*PROGRAM, "agent", "register", "carol"],
        env=lost.environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as waiting:
        os.close(theirs)
        assert b"trying for 30 s more" in await asyncio.to_thread(os.read, ours, 4_096)
        async with running("messaging", sqlite_url, listen=f"127.0.0.1:{port}"):
            assert waiting.stdout is not None
            said = await asyncio.to_thread(waiting.stdout.read)
    os.close(ours)
    assert (waiting.returncode, b"carol" in said) == (0, True)
