"""Usage and budgets on the command line."""

from __future__ import annotations

import json

import pytest

from cli.pool import tasks
from cli.shell import Shell
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.pair import identity

USAGE = {
    "input_tokens": 18_000,
    "output_tokens": 2_500,
    "cost": {"amount": "0.09", "currency": "USD"},
    "model": "m-1",
    "counters": {"searches": 3},
}


def test_usage_is_reported_shown_and_held_against_the_budget(shell: Shell) -> None:
    create = ("task", "create", "--as", "ann", "--id")
    shell.says(*create, "x", "T", "--budget", "20000 tokens", "--budget", "0.5 usd")
    with tasks(shell) as stub:
        bob = identity("bob", shell.team)
        stub.CreateTask(
            pb.CreateTaskRequest(task_id="y", title="T", parent_task_id="x"), metadata=bob
        )
        stub.StartTask(pb.StartTaskRequest(task_id="y"), metadata=bob)
    usage = json.dumps(USAGE)
    shell.says("task", "complete", "--as", "bob", "y", "done", "--usage", usage)
    (attempt,) = shell.json("task", "attempts", "y")
    assert attempt["usage"] == USAGE
    row = shell.says("task", "attempts", "y").splitlines()[1].split("\t")
    assert row[4] == "20,500 tokens, 0.09 USD"
    said = shell.says("task", "show", "x")
    for fact in ("20,500 tokens, 0.09 USD", "20,000 tokens, 0.5 USD; spent: it cannot be started"):
        assert fact in said
    refused = shell.run("task", "start", "--as", "bob", "x")
    assert refused.exit_code == 4
    assert "[BUDGET_SPENT]. Give it a larger one: dovetail task update x --budget" in refused.error
    shell.says("task", "update", "--as", "ann", "x", "--budget", "100000 tokens")
    shell.says("task", "start", "--as", "bob", "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("heartbeat", "x", "--usage", '{"tokens": 1}'), "input_tokens"),
        (("release", "x", "--usage", '{"input_tokens": "many"}'), "input_tokens"),
        (("fail", "x", "why", "--usage", '{"cost": "1 USD"}'), '"currency"'),
        (("create", "T", "--budget", "5"), "'2.50 USD'"),
        (("update", "x", "--budget", "five USD"), "'2.50 USD'"),
    ],
)
def test_what_is_no_usage_and_no_amount_is_refused_before_a_call(
    shell: Shell, words: tuple[str, ...], said: str
) -> None:
    done = shell.run("task", words[0], "--as", "ann", *words[1:])
    assert done.exit_code == 2
    assert said in done.error
