"""Both servers on this machine, until a signal or the end of one of them."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from contextlib import closing
from pathlib import Path

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
from dovetail.cli.servers.tls import CA
from dovetail.settings import CLIENT, MESSAGING, TASKS

TOKEN_FILE = CLIENT["token-file"].flag
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
    async with serving(plan) as children:
        if as_json:
            out.line(dumps(_facts(plan, children)))
        else:
            console(out).print(_welcome(plan, children), soft_wrap=True)
        raise _unexpected(await children.first_to_end())


def program() -> str:
    """The name of this program, for commands to paste."""
    if shutil.which("dovetail"):
        return "dovetail"
    if sys.argv[0].endswith("dovetail"):
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m dovetail.cli"


def _unexpected(child: Child) -> CommandError:
    code = child.process.returncode or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return CommandError(
        f"{child.service} ended by itself, {how}; the other one was stopped."
        f" Its last message: {child.last_message()} (log: {child.log})"
    )


def _facts(plan: Plan, children: Children) -> dict[str, str]:
    return {
        "version": release(),
        "messaging": children.messaging.address,
        "tasks": children.tasks.address,
        "store": children.messaging.store,
        "durability": DURABILITY[children.messaging.store.partition(":")[0]],
        "data_dir": escape_controls(str(plan.logs)),
    }


def _welcome(plan: Plan, children: Children) -> Text:
    """The addresses and files of both servers, and the next commands."""
    facts = _facts(plan, children)
    text = Text.assemble(("Dovetail ", "bold"), (facts.pop("version"), "bold"), " is ready\n\n")
    facts["data and logs"] = facts.pop("data_dir")
    for name, fact in facts.items():
        text.append(f"  {name:<14}", style="dim").append(f"{fact}\n")
    text.append("\n  Next, in another terminal:\n")
    for line in _next(plan, facts):
        text.append(f"  {line}\n", style="green")
    return text.append("\n  Ctrl-C stops both.")


def _next(plan: Plan, facts: dict[str, str]) -> list[str]:
    """Commands to paste, with the options that reach these servers."""
    reach = "".join(_elsewhere(facts) + _trust(plan))
    if not plan.settings["credentials"]:
        return [_hello(f"--as me{reach}")]
    own = plan.logs / "me.token"
    hello = _hello(f"--as me {TOKEN_FILE} {shlex.quote(str(own))}{reach}")
    if own.exists():
        return [hello]
    admin: Path | None = plan.settings["admin_token_file"]
    # If an admin's credential already existed, the servers have not created the file.
    if not (admin and admin.exists()):
        return [_hello(f"--as me {TOKEN_FILE} FILE{reach}")]
    admins = f"{TOKEN_FILE} {shlex.quote(str(admin.absolute()))}{reach}"
    make = f"token create --agent me --out {shlex.quote(str(own))} {admins}"
    return [f"{program()} team create default {admins} && {program()} {make}", hello]


def _hello(options: str) -> str:
    return f"{program()} send {options} me 'Hello, inbox' && {program()} inbox {options}"


def _elsewhere(facts: dict[str, str]) -> list[str]:
    """The options that name servers that are not at their default addresses."""
    return [
        f" {CLIENT[service].flag} {shlex.quote(_near(facts[service]))}"
        for service, usual in (("messaging", MESSAGING), ("tasks", TASKS))
        if facts[service] != usual
    ]


def _near(address: str) -> str:
    """The address at which this machine reaches a server that listens on all addresses."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else address


def _trust(plan: Plan) -> list[str]:
    """The options that clients and servers need to trust each other."""
    certificate: Path | None = plan.settings["tls_cert"]
    if not certificate:
        return []
    ca = certificate.absolute().with_name(CA)
    flags = [f" {CLIENT['tls-ca'].flag} {shlex.quote(str(ca)) if ca.exists() else 'FILE'}"]
    if plan.settings["tls_client_ca"]:
        flags += [f" {CLIENT[f'tls-client-{part}'].flag} FILE" for part in ("cert", "key")]
    return flags
