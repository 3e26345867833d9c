"""How commands end."""

from __future__ import annotations

import dataclasses
import re
import socket
from importlib.metadata import version

import pytest

from cli.shell import Shell
from dovetail import client
from dovetail.cli.output.exit_codes import FAILED
from dovetail.cli.output.failures import command_error
from support.processes import free_port


def test_a_server_that_is_not_there_is_named_with_the_command_that_starts_it(shell: Shell):
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    for words in (("agent", "list"), ("send", "--as", "a", "a", "x"), ("inbox", "--as", "a")):
        code, line = lost.fails(*words)
        assert code == 6
        assert f"no answer from {lost.messaging}" in line
        assert line.endswith("Start it with: dovetail up\n")
    assert lost.says("task", "list") == "no tasks\n"
    assert lost.says("task", "list", "--assignee", "nobody") == "no tasks\n"


def test_a_server_that_does_not_answer_in_time_is_named(shell: Shell):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        code, line = dataclasses.replace(shell, tasks=address).fails(
            "task", "list", "--timeout", "0.5"
        )
    assert code == 6
    assert f"no answer from {address} in time" in line


def test_an_address_that_is_none_is_named(shell: Shell):
    code, line = dataclasses.replace(shell, tasks="no.such.host.invalid:1").fails("task", "list")
    assert code == 6
    assert "no answer from no.such.host.invalid:1" in line


@pytest.mark.parametrize(
    "words",
    [
        ("acknowledge", "--as", "bob", str(2**63)),
        ("task", "create", "x", "--priority", str(2**31)),
        ("send", "--as", "alice", "bob", "\udcff"),
        ("send", "--as", "alice", "bob", "x", "--data", '{"n": NaN}'),
        ("agent", "list", "--as", " "),
    ],
)
def test_a_value_that_cannot_be_sent_is_an_invalid_argument(shell: Shell, words: tuple[str, ...]):
    assert shell.fails(*words)[0] == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (client.NotFoundError, 3),
        (client.AlreadyExistsError, 4),
        (client.FailedPreconditionError, 4),
        (client.AbortedError, 4),
        (client.OutOfRangeError, 4),
        (client.PermissionDeniedError, 4),
        (client.UnauthenticatedError, 4),
        (client.InvalidArgumentError, 5),
        (client.UnavailableError, 6),
        (client.DeadlineExceededError, 6),
        (client.CallCancelledError, 6),
        (client.ResourceExhaustedError, FAILED),
        (client.InternalError, FAILED),
        (client.UnknownError, FAILED),
    ],
)
def test_each_status_has_its_exit_code(error: type[client.DovetailError], code: int):
    assert command_error(error("text")).exit_code == code


def test_an_error_is_one_line_however_it_was_written():
    line = command_error(client.InternalError("two\nlines \x1b[2J", reason="INTERNAL")).line
    assert line == r"two lines \u001b[2J [INTERNAL]. The server's log says more"


def test_all_wrong_fields_are_named():
    faults = [client.FieldViolation(field=name, description="is wrong") for name in ("a", "b")]
    error = client.InvalidArgumentError("text", reason="INVALID_FIELDS", violations=faults)
    assert command_error(error).line == "a: is wrong; b: is wrong [INVALID_FIELDS]"


def test_every_command_has_help_and_the_version_is_told(shell: Shell):
    assert shell.says("--version") == f"dovetail, version {version('dovetail')}\n"
    assert "Exit codes" in shell.says("-h")
    for words in (
        *((name,) for name in ("serve", "up", "demo", "send", "inbox", "acknowledge", "thread")),
        *((name,) for name in ("report", "status", "doctor", "completion")),
        *(("task", name) for name in ("create", "list")),
    ):
        assert "Usage: " in shell.says(*words, "--help")


def test_swapped_addresses_are_named_by_calls_by_status_and_by_doctor(shell: Shell):
    swapped = dataclasses.replace(shell, messaging=shell.tasks, tasks=shell.messaging)
    code, line = swapped.fails("task", "list")
    assert code == 2
    assert line == (
        f"dovetail: {shell.messaging} serves messaging, not tasks: are --messaging and --tasks"
        " swapped?\n"
    )
    assert "serves tasks, not messaging" in swapped.fails("inbox", "--as", "a")[1]
    done = swapped.run("status")
    assert (done.exit_code, done.error.count("swapped?")) == (6, 2)
    done = swapped.run("doctor", "--store", "/nowhere/store.db")
    assert f"{shell.tasks}: tasks serves there: are --messaging and --tasks swapped?" in done.out
    assert "another program" not in done.out


WRONG = [
    (
        ("task", "list", "--tasks", "127.0.0.1"),
        2,
        "--tasks '127.0.0.1' has no port: write HOST:PORT",
    ),
    (
        ("task", "list", "--tasks", "no.invalid:1"),
        6,
        "? See which address is used: dovetail",
    ),
    (
        ("task", "list", "--token-file", "/no"),
        2,
        "directory. See where it is named: dov",
    ),
    (("send", "--as", "alice", "hello there", "bob"), 3, "TO comes first: dovetail send TO TEXT"),
    (("task", "assign", "bob", "t1"), 3, "TASK comes first: dovetail task assign TASK AGENT"),
    (
        ("task", "complete", "All done", "t1"),
        3,
        "TASK comes first: dovetail task complete TASK",
    ),
    (("task", "show", "bob"), 3, "[TASK_NOT_FOUND]. See all tasks: dovetail task list"),
    (("task", "start", "t9", "--lease", "1ms"), 2, "--lease"),
    (("task", "claim", "--max", "0"), 2, "range 1<=x<=100. See: dovetail task claim --help"),
    (("inbox",), 2, "whose inbox? Name its agent, or yourself: --as AGENT"),
    (("task", "create", "x", "--due", "yesterday"), 2, "is not a time: write "),
    (("team", "list"), 4, "asks for no credentials, so that nobody is an admin; start it with"),
    (("send", "bob", "hi"), 5, "[CALLER_AGENT_REQUIRED]. Name it: --as AGENT, or DOVETAIL_AGENT"),
    (("acknowledge", "--as", "bob", "7"), 4, "0 to 0 are legal [CURSOR_IN_FUTURE]"),
]
"""What new users type, the exit code, and what they are told."""


@pytest.mark.parametrize(("words", "code", "says"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_what_new_users_do_wrong_is_answered_with_one_step(
    shell: Shell, words: tuple[str, ...], code: int, says: str
):
    found, line = shell.within(DOVETAIL_PATIENCE="0").fails(*words)
    assert (found, says in line) == (code, True), line
    assert len(re.findall(r"(?:[.?] |: )(?:See|Name|Use|Write|Add|Did)\b", line)) <= 1, line
