"""An agent that only has a shell, at work: what its rounds cost, in tokens and in seconds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import grpc
import pytest

from cli.shell import Shell
from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from support.figures import percentiles
from support.pair import identity
from support.soak import full_or_tenth
from support.wordcount import count_tokens

ROUNDS = full_or_tenth(30)
TOKENS_MAX = 250
"""Of all that the commands of a round print."""

ASSIGNMENT = "Please compare the checksums of the two builds, and tell me which files differ."
SUMMARY = "Three files differ: core.bin, index.db and notes.txt. The other 214 are the same."


@dataclass
class Purse:
    """What an agent has paid."""

    shell: Shell
    tokens: int = 0
    seconds: list[float] = field(default_factory=list[float])

    def run(self, *words: str) -> str:
        """Run a command that succeeds, and pay for all that it prints."""
        begin = time.perf_counter()
        done = self.shell.run(*words)
        self.seconds.append(time.perf_counter() - begin)
        assert done.exit_code == 0, done
        self.tokens += count_tokens(done.out + done.error)
        return done.out


def brief(purse: Purse) -> None:
    """A round of an agent that reads lines."""
    received = purse.run("inbox", "--wait", "10", "--brief")
    sequence, sender_id, message_id = re.findall(r"^#(\d+) (\S+) (\S+): ", received)[0]
    title = f"Compare for {sender_id}, {message_id}"
    created = purse.run("task", "create", title, "--assignee", "bob", "--brief")
    task_id = created.split()[0]
    assert purse.run("task", "start", task_id, "--brief") == f"{task_id} in_progress\n"
    complete = ("task", "complete", task_id, SUMMARY, "--acknowledge", sequence)
    assert purse.run(*complete, "--brief") == f"{task_id} completed\n"


def by_fields(purse: Purse) -> None:
    """A round of an agent that reads JSON."""
    wanted = "receipt.sequence,message.sender_id,message.message_id,message.body"
    (delivery,) = json.loads(purse.run("inbox", "--wait", "10", "--fields", wanted))
    assert delivery["message"]["body"] == ASSIGNMENT
    title = f"Compare for {delivery['message']['sender_id']}, {delivery['message']['message_id']}"
    create = ("task", "create", title, "--assignee", "bob")
    task_id = json.loads(purse.run(*create, "--fields", "task_id"))["task_id"]
    started = json.loads(purse.run("task", "start", task_id, "--fields", "state,attempt"))
    assert started == {"state": "in_progress", "attempt": 1}
    sequence = str(delivery["receipt"]["sequence"])
    complete = ("task", "complete", task_id, SUMMARY, "--acknowledge", sequence)
    assert json.loads(purse.run(*complete, "--fields", "state")) == {"state": "completed"}


@pytest.mark.soak
@pytest.mark.parametrize("play", [brief, by_fields])
def test_a_round_of_an_agent_with_a_shell_costs_few_tokens(
    shell: Shell, play: Callable[[Purse], None], report_figures: Callable[[str], None]
):
    purse = Purse(replace(shell.within(DOVETAIL_AGENT="bob"), is_warm=False))
    costs: list[int] = []
    with grpc.insecure_channel(shell.messaging) as channel:
        send = messaging_pb2_grpc.MessagingServiceStub(channel).SendMessage
        for _ in range(ROUNDS):
            request = messaging_pb2.SendMessageRequest(recipient_ids=["bob"], body=ASSIGNMENT)
            send(request, metadata=identity("alice", shell.team))
            before = purse.tokens
            play(purse)
            costs.append(purse.tokens - before)
    report_figures(
        f"{ROUNDS} rounds of an agent with a shell took {sum(purse.seconds):.1f} s; a command: "
        f"{percentiles(purse.seconds)}; tokens of a round: {sum(costs) / ROUNDS:.0f},"
        f" at most {max(costs)}"
    )
    assert max(costs) <= TOKENS_MAX
    found = shell.json(
        "task", "list", "--state", "completed", "--fields", "task_id", "--limit", "0"
    )
    assert len(found) == ROUNDS
    assert shell.json("inbox", "--as", "bob") == [], "acknowledged with the end of its task"
