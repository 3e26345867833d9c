"""`dovetail up --try`: a first exchange between two agents, shown and explained."""

from __future__ import annotations

import textwrap

from rich.text import Text

from dovetail.cli.output import lists, render, reports
from dovetail.cli.output.screen import console
from dovetail.cli.output.tables import Shown
from dovetail.client import Agent, Inbox, connect

INDENT = "   "
ARRIVALS = 2


async def show_first_exchange(messaging: str, tasks: str, program: str) -> None:
    """Let two agents exchange messages and a task, over servers at these addresses."""
    async with (
        connect("alice", messaging=messaging, tasks=tasks) as alice,
        connect("bob", messaging=messaging, tasks=tasks) as bob,
        bob.inbox() as inbox,
    ):
        stage = _Stage()
        stage.say(Text(f"messaging serves at {messaging}, tasks at {tasks}, over one new store"))
        await _meet(stage, alice, bob)
        await _give_work(stage, alice)
        task_id = await _receive(stage, inbox)
        await _work(stage, bob, task_id)
        await _look_back(stage, alice)
        stage.say(Text(f"\nEach step was on disk before its response. Now yours: {program} up"))


class _Stage:
    """Prints numbered steps, each with the command that does the same."""

    def __init__(self) -> None:
        self._screen = console()
        self._step = 0

    def step(self, text: str, command: str = "") -> None:
        self._step += 1
        self.say(Text.assemble("\n", (f"{self._step}. {text}", "bold")))
        if command:
            self.say(Text(f"   $ dovetail {command}", style="green"))

    def show(self, shown: Shown) -> None:
        """Print the output of a command, indented."""
        with self._screen.capture() as printed:
            self._screen.print(shown)
        lines = (line.rstrip() for line in printed.get().splitlines())
        print(textwrap.indent("\n".join(lines), INDENT), flush=True)

    def say(self, text: Text) -> None:
        self._screen.print(text, soft_wrap=True)


async def _meet(stage: _Stage, alice: Agent, bob: Agent) -> None:
    stage.step("Two agents register; each has an inbox on disk.", "agent register --as alice")
    stage.show(lists.AGENTS([await alice.register(), await bob.register()]))


async def _give_work(stage: _Stage, alice: Agent) -> None:
    stage.step(
        "alice sends bob a message. The response comes when it is on disk.",
        "send --as alice bob 'Can you look at the build?'",
    )
    stage.show(render.sent(await alice.send("bob", "Can you look at the build?")))
    stage.step(
        "alice creates a task for bob. The task and the notice to bob are one commit.",
        "task create --as alice --assignee bob 'Make the build green'",
    )
    task = await alice.tasks.create("Make the build green", assignee_id="bob")
    stage.show(render.task(task))


async def _receive(stage: _Stage, inbox: Inbox) -> str:
    """Show what arrives in bob's inbox; return the id of the task."""
    stage.step(
        "Both reach bob on the stream of his inbox, numbered; he acknowledges each.",
        "inbox --as bob --follow --ack",
    )
    task_id = ""
    for _ in range(ARRIVALS):
        message = await anext(inbox)
        stage.show(render.delivery(message.delivery))
        await message.acknowledge()
        task_id = task_id or message.task_id
    return task_id


async def _work(stage: _Stage, bob: Agent, task_id: str) -> None:
    stage.step(
        "bob starts the task and completes it; alice gets a notice in the same commit.",
        f"task start --as bob {task_id}; dovetail task complete --as bob {task_id} 'All green'",
    )
    await bob.tasks.start(task_id)
    stage.show(render.task(await bob.tasks.complete(task_id, "All green")))


async def _look_back(stage: _Stage, alice: Agent) -> None:
    stage.step("alice's inbox now:", "inbox --as alice")
    async with alice.inbox() as inbox:
        async for message in inbox.backlog():
            stage.show(render.delivery(message.delivery))
    stage.step("And the report: totals, times, workload.", "report")
    stage.show(reports.report(await alice.tasks.report()))
