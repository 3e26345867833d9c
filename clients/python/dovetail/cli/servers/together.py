"""Both servers on this machine, until a signal or the end of one of them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing

from rich.text import Text

from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.json_values import dumps
from dovetail.cli.output.screen import console
from dovetail.cli.output.sink import Sink
from dovetail.cli.output.text import escape_controls, release
from dovetail.cli.servers.children import (
    Child,
    Children,
    Plan,
    cancel_on_signals,
    serving,
)
from dovetail.cli.servers.logs import keep_small
from dovetail.cli.servers.next_commands import next_commands
from dovetail.cli.servers.page import Page, page, page_log

DURABILITY = {
    "sqlite": "every write is on disk before its response (fsync)",
    "postgresql": "every write is committed before its response (PostgreSQL's synchronous_commit)",
}
DURABILITY["postgres"] = DURABILITY["postgresql"]


def run(plan: Plan, as_json: bool) -> None:
    """Serve, and say where; until a signal."""
    # A sink, because a full or closed standard output must not stop the servers.
    with closing(Sink(sys.stdout)) as out:
        try:
            asyncio.run(_run(plan, out, as_json))
        except asyncio.CancelledError:
            if not as_json:
                out.line("stopped")


async def _run(plan: Plan, out: Sink, as_json: bool) -> None:
    """Serve until a signal cancels it; a second signal also cancels waiting for the servers."""
    cancel_on_signals()
    async with serving(plan) as children, page(plan, children) as shown:
        if as_json:
            out.line(dumps(_facts(plan, children, shown)))
        else:
            console(out).print(_welcome(plan, children, shown), soft_wrap=True)
        names = (*(child.log for child in children.each), page_log(plan))
        keeping = asyncio.create_task(keep_small(names))
        try:
            raise _unexpected(await children.first_to_end())
        finally:
            keeping.cancel()


def _unexpected(child: Child) -> CommandError:
    code = child.process.returncode or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return CommandError(
        f"{child.service} ended by itself, {how}; the other one was stopped."
        f" Its last message: {child.last_message()} (log: {child.log})"
    )


def _facts(plan: Plan, children: Children, shown: Page) -> dict[str, str]:
    web = {"web": shown.url} if shown.url else {}
    return {
        "version": release(),
        "messaging": children.messaging.address,
        "tasks": children.tasks.address,
        **web,
        "store": children.messaging.store,
        "durability": DURABILITY[children.messaging.store.partition(":")[0]],
        "data_dir": escape_controls(str(plan.logs)),
        **{f"{each.service}_metrics": each.metrics for each in children.each if each.metrics},
    }


def _welcome(plan: Plan, children: Children, shown: Page) -> Text:
    """The addresses and files of both servers and the page, and the next commands."""
    facts = _facts(plan, children, shown)
    text = Text.assemble(("Dovetail ", "bold"), (facts.pop("version"), "bold"), " is ready\n\n")
    facts["data and logs"] = facts.pop("data_dir")
    width = max(map(len, facts)) + 1
    for name, fact in facts.items():
        text.append(f"  {name.replace('_', ' '):<{width}}", style="dim").append(f"{fact}\n")
    if shown.fault:
        text.append(f"  {'web':<{width}}", style="dim").append(f"no page: {shown.fault}\n")
    text.append("\n  Next, in another terminal:\n")
    for line in next_commands(plan, facts):
        text.append(f"  {line}\n", style="green")
    return text.append("\n  Ctrl-C stops both.")
