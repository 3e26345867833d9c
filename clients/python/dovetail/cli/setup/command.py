"""`dovetail setup`: writes into the configuration of a host what its model needs for Dovetail."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from dovetail.cli.output.exit_codes import MISUSED, NOT_FOUND, REFUSED, CommandError
from dovetail.cli.output.text import escape_controls
from dovetail.cli.setup import claude, codex, cursor, gemini
from dovetail.cli.setup.changing import Changes, RefusedError, make, planned, undone
from dovetail.cli.setup.hosts import Caller, Plan, Planner, Scope
from dovetail.cli.setup.records import Record

HOSTS: Mapping[str, Planner] = {
    "claude": claude.plan,
    "codex": codex.plan,
    "cursor": cursor.plan,
    "gemini": gemini.plan,
}


@click.command()
@click.argument("host", type=click.Choice([*HOSTS]))
@click.option("--as", "agent", default="", metavar="AGENT", help="Always as this agent.")
@click.option("--team", default="", help="And in this team.")
@click.option(
    "--scope",
    type=click.Choice(["project", "user"]),
    default="project",
    show_default=True,
    help="For this folder, or for all of yours.",
)
@click.option("--print", "prints", is_flag=True, help="Only print it, for pasting.")
@click.option("--undo", is_flag=True, help="Take out what was written.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def setup(
    host: str, agent: str, team: str, scope: str, prints: bool, undo: bool, yes: bool
) -> None:
    """Configure a model's host.

    Shows as a diff what it would write (MCP server, hooks, a text for the model), and asks.
    Without --as the host's DOVETAIL_AGENT or its profile says which agent it is.
    """
    place = _place(is_user=scope == "user")
    plan = HOSTS[host](_caller(agent, team), place)
    if prints:
        _print(plan)
        return
    with _refusals_explained():
        record = Record(host, place.home if place.is_user else place.project)
        known = record.load()
        if undo and not known:
            raise CommandError(f"nothing of {host} was set up in this scope", NOT_FOUND)
        changes = undone(known) if undo else planned(plan.targets, known)
        _carry_out(changes, record, asks=not yes)
    for note in () if undo else plan.notes:
        click.echo(note)


def _carry_out(changes: Changes, record: Record, *, asks: bool) -> None:
    """Show the changes, ask, and make them."""
    if not changes.needed:
        click.echo("nothing to change")
    for line in changes.diff():
        click.echo(line)
    if changes.needed and asks and not _agrees():
        raise CommandError("nothing was written", REFUSED)
    make(changes, record)
    for each in changes.needed:
        done = "removed" if each.after is None else "wrote"
        click.echo(f"{done} {escape_controls(str(each.path))}")


def _agrees() -> bool:
    if not sys.stdin.isatty():
        raise CommandError(
            "nothing was written: nobody can be asked here", MISUSED, hint="Say --yes"
        )
    return click.confirm("Write this?")


def _print(plan: Plan) -> None:
    for target in plan.targets:
        click.echo(f"# {escape_controls(str(target.path))}")
        click.echo(target.part.shown)
    for note in plan.notes:
        click.echo(note)


def _caller(agent: str, team: str) -> Caller:
    """How the host calls Dovetail: by its name, which other machines have too, if PATH has it."""
    beside = Path(sys.executable).with_name("dovetail")
    program = "dovetail" if shutil.which("dovetail") or not beside.exists() else str(beside)
    named = {"--as": agent, "--team": team}
    options = tuple(word for flag, value in named.items() if value for word in (flag, value))
    return Caller(program=(program,), options=options)


def _place(*, is_user: bool) -> Scope:
    try:
        home = Path.home()
    except RuntimeError:
        raise CommandError("no home folder is known: set HOME", MISUSED) from None
    return Scope(is_user=is_user, home=home, project=Path.cwd(), environment=os.environ)


@contextmanager
def _refusals_explained() -> Generator[None]:
    try:
        yield
    except RefusedError as error:
        raise CommandError(str(error), REFUSED) from error
    except ValueError as error:
        raise CommandError(str(error), MISUSED) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
