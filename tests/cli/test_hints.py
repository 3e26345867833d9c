"""What a failed call says in a shell: its own words, and one next step at most."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain

import click
import pytest

from docs.pages import DOCS, ROOT
from dovetail import client
from dovetail.admin.v1 import admin_pb2
from dovetail.cli.lazy import loaded, subcommands
from dovetail.cli.main import main
from dovetail.cli.output import hints
from dovetail.cli.output.failures import command_error
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

CONTRACTS = (messaging_pb2, tasks_pb2, admin_pb2)
STEP = re.compile(
    r"(?:^|[.;:] |, or |Or: )(?:or )?(use|set|send|ask|make|read|try|name|see|stop|take|choose"
    r"|look|give|leave|create|add|assign|narrow|end|resume|complete|cancel|restart|put|upgrade)\b",
    re.IGNORECASE,
)
"""How a sentence begins that says what to do."""


def texts(node: ast.expr) -> Iterator[str]:
    """What an expression of a text says, with an X for what is filled in."""
    match node:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts
            )
        case ast.BinOp(left, _, right):
            yield from (one + other for one in texts(left) for other in texts(right))
        case ast.IfExp(_, body, orelse):
            yield from chain(texts(body), texts(orelse))
        case _:
            yield "X"


def raised() -> Iterator[tuple[str, str]]:
    """Each reason with each text with which a server raises it."""
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(_, [ast.Attribute(ast.Name("Reason"), reason), text, *_]):
                    yield from ((reason, each) for each in texts(text))
                case ast.keyword("reason", ast.Attribute(ast.Name("Reason"), reason)):
                    yield reason, "X"  # Its text is composed elsewhere.
                case _:
                    pass


AT_START = "its token was given out before"
"""With this text a server does not start: no call gets it."""

RAISED = sorted(each for each in set(raised()) if not each[1].startswith(AT_START))
METADATA = [
    {},
    {"task_id": "t 9", "state": "PENDING", "allowed_verbs": "START,PROVIDE_INPUT", "role": "AGENT"},
    {"nearest_ids": '["alice"]', "call_id": "c1", "team_id": "red", "force_allows": "true"},
]


def documented() -> set[str]:
    page = (DOCS / "reference" / "errors.md").read_text()
    return set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))


def context(*path: str) -> click.Context:
    """The context of a command, as if it ran."""
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = loaded(command.commands[name])
    return click.Context(command, info_name=path[-1])


def explained(reason: str, text: str, *path: str, **metadata: str) -> str:
    with context(*path):
        return command_error(client.DovetailError(text, reason=reason, metadata=metadata)).line


def test_every_documented_reason_has_its_next_step_or_says_it_itself():
    assert documented() == hints.REASONS
    assert not hints.SAID_BY_SERVER & set(hints.NEXT_STEPS)
    assert set(hints.STEPS_OF_SERVER) <= documented()


@pytest.mark.parametrize("metadata", METADATA, ids=["bare", "first", "second"])
def test_no_error_has_two_next_steps(metadata: dict[str, str]):
    assert {reason for reason, _ in RAISED} == documented()
    for reason, text in RAISED:
        found = hints.refusal(client.DovetailError(text, reason=reason, metadata=metadata))
        steps = STEP.findall(found.message)
        assert not (steps and found.hint), (reason, found)


def test_what_is_cut_from_a_text_is_in_it():
    for reason, marker in hints.STEPS_OF_SERVER.items():
        own = [text for raised, text in RAISED if raised == reason]
        # Some parts of texts are filled in: their code has the rest.
        is_composed = reason in {"AGENT_NOT_FOUND", "GROUP_NOT_FOUND", "LOOP_SUSPECTED"}
        assert is_composed or any(marker in text for text in own), reason


def test_every_rpc_has_its_command_and_every_command_exists():
    methods = {
        method.name
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(hints.COMMANDS) == methods
    for command in hints.COMMANDS.values():
        assert context(*(word for word in command.split() if word[0] != "-")).command


def test_every_command_that_a_hint_names_exists():
    every = "; ".join(hints.NEXT_STEPS.values())
    groups = [name for name, each in subcommands(main) if isinstance(each, click.Group)]
    for words in re.findall(r"dovetail ([a-z]+(?: [a-z]+)?)", every):
        first, _, second = words.partition(" ")
        assert context(*(first, second) if second and first in groups else (first,)).command


def test_names_of_the_contract_are_known():
    assert tuple(tasks_pb2.TaskState.keys()[1:]) == tuple(f"TASK_STATE_{s}" for s in hints.STATES)
    assert tuple(admin_pb2.Role.keys()[1:]) == tuple(f"ROLE_{role}" for role in hints.ROLES)


@pytest.mark.parametrize(
    ("path", "field", "option"),
    [
        (("task", "create"), "title", "TITLE"),
        (("task", "create"), "task_id", "--id"),
        (("task", "create"), "due_time", "--due"),
        (("task", "create"), "initial_backoff", "--backoff"),
        (("task", "create"), "depends_on[3]", "--depends-on"),
        (("task", "create"), 'labels["color"]', '--label "color"'),
        (("task", "update"), "task.priority", "--priority"),
        (("task", "ask"), "text", "QUESTION"),
        (("task", "ask"), "agent_id", "--to"),
        (("task", "answer"), "text", "TEXT"),
        (("task", "complete"), "result.summary", "SUMMARY"),
        (("task", "fail"), "failure.message", "MESSAGE"),
        (("task", "claim"), "lease_duration", "--lease"),
        (("task", "claim"), "max_wait", "--wait"),
        (("task", "list"), "filter.assignee_ids[0]", "--assignee"),
        (("task", "heartbeat"), "progress.percent", "--percent"),
        (("report",), "bucket_duration", "--bucket"),
        (("send",), "recipient_ids[0]", "TO"),
        (("send",), "body", "TEXT"),
        (("send",), "in_reply_to", "--reply-to"),
        (("agent", "register"), "display_name", "--name"),
        (("inbox",), "agent_id", "AGENT"),
        (("inbox",), "what_is_that", "what_is_that"),
    ],
)
def test_a_field_is_called_as_the_command_calls_it(path: tuple[str, ...], field: str, option: str):
    assert hints.option_of(field, context(*path)) == option


@pytest.mark.parametrize(
    ("reason", "text", "path", "metadata", "says"),
    [
        (
            "TASK_STATE",
            "cannot provide-input task 'PENDING': it is IN_PROGRESS. Allowed: update",
            ("task", "answer"),
            {"allowed_verbs": "UPDATE,REQUEST_INPUT", "force_allows": "false"},
            "cannot answer task 'PENDING': it is in_progress [TASK_STATE]."
            " Possible now: dovetail task update, ask",
        ),
        (
            "TASK_STATE",
            "cannot assign task 't1': it is IN_PROGRESS; with force it may. Allowed: update",
            ("task", "assign"),
            {"allowed_verbs": "UPDATE", "force_allows": "true"},
            "cannot assign task 't1': it is in_progress; with force it may [TASK_STATE]."
            " To do it all the same: --force",
        ),
        (
            "ROLE_REFUSED",
            "the role OBSERVER may not call RequestTaskInput",
            ("task", "ask"),
            {"role": "OBSERVER"},
            "the role observer may not call dovetail task ask [ROLE_REFUSED]. Use a token of"
            " another role: --token-file FILE. An admin creates one",
        ),
        (
            "ROLE_REFUSED",
            "the role OPERATOR may not call ListTeams: this server asks for no credentials",
            ("team", "list"),
            {},
            "the role operator may not call dovetail team list: this server asks for no"
            " credentials [ROLE_REFUSED]",
        ),
        (
            "CALLER_AGENT_REQUIRED",
            "sending needs a caller with an agent: set the metadata dovetail-agent",
            ("send",),
            {},
            "sending needs a caller with an agent [CALLER_AGENT_REQUIRED]."
            " Name it: --as AGENT, or DOVETAIL_AGENT",
        ),
        (
            "CALLER_AGENT_REQUIRED",
            "sending needs a caller with an agent: use the token of an agent",
            ("send",),
            {"role": "OPERATOR"},
            "sending needs a caller with an agent [CALLER_AGENT_REQUIRED]. Use an agent's token,"
            " which an admin creates: dovetail token create --agent AGENT",
        ),
        (
            "AGENT_NOT_FOUND",
            """no agent "alise" in team 'default'; nearest known: alice""",
            ("send",),
            {"nearest_ids": '["alice"]'},
            """no agent "alise" in team 'default' [AGENT_NOT_FOUND]."""
            " Did you mean alice? All: dovetail agent list",
        ),
        (
            "TASK_NOT_FOUND",
            "parent_task_id: no task 't9'",
            ("task", "create"),
            {},
            "--parent: no task 't9' [TASK_NOT_FOUND]. See all tasks: dovetail task list",
        ),
        (
            "ETAG_MISMATCH",
            "etag: task 't 9' has changed: its etag is 'v2', not 'v1'; read it again",
            ("task", "update"),
            {"task_id": "t 9"},
            "--etag: task 't 9' has changed: its etag is 'v2', not 'v1' [ETAG_MISMATCH]."
            " Read it again: dovetail task show 't 9'",
        ),
        (
            "INVALID_CALLER",
            "metadata dovetail-team: is too long",
            ("inbox",),
            {},
            "--team: is too long [INVALID_CALLER]",
        ),
    ],
)
def test_an_error_is_told_in_words_of_the_command_line(
    reason: str, text: str, path: tuple[str, ...], metadata: dict[str, str], says: str
):
    assert explained(reason, text, *path, **metadata) == says
