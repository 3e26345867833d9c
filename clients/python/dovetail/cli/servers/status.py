"""`dovetail status`: whether both services serve, and the team's totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dovetail.cli.options.calling import Session, calls
from dovetail.cli.output.exit_codes import NO_ANSWER, CommandError, command_error
from dovetail.cli.output.render import state
from dovetail.cli.output.text import escape_controls, release
from dovetail.cli.servers.probe import EXPLANATIONS, Health, Probe, probe_all
from dovetail.client import DovetailError
from dovetail.tasks.v1 import tasks_pb2 as work


@click.command()
@calls
async def status(session: Session) -> None:
    """Show whether both services serve, and the team's totals.

    With an admin's token it shows only the services: an admin sees no team. Ends with exit code 6
    if one of them does not serve.
    """
    probes = await probe_all(session.servers)
    up = {probe.service for probe in probes if probe.health is Health.SERVING}
    faults = [
        f"{probe.service} at {probe.address}: {EXPLANATIONS[probe.health]}"
        for probe in probes
        if probe.health is not Health.SERVING
    ]
    counts: dict[str, Any] = {}
    admin = False
    try:
        if "messaging" in up:
            counts |= await _talk(session)
        if "tasks" in up:
            counts |= await _work(session)
    except DovetailError as error:
        admin = _is_admins(error)
        faults += [] if admin else [command_error(error).message]
    team_id = session.team_id or ("" if session.servers.has_token else "default")
    facts = {"version": release(), "team_id": team_id}
    facts |= {"servers": [asdict(probe) for probe in probes], **counts}
    whose = "an admin's token, which sees no team" if admin else _team(team_id)
    session.out.facts(facts, lambda: _picture(whose, probes, counts))
    if faults:
        raise CommandError("; ".join(faults), NO_ANSWER)


def _is_admins(error: DovetailError) -> bool:
    """Whether a call was refused because an admin made it."""
    return (error.reason, error.metadata.get("role")) == ("ROLE_REFUSED", "ADMIN")


def _team(team_id: str) -> str:
    return f"team {escape_controls(team_id)}" if team_id else "the team of the token"


async def _talk(session: Session) -> dict[str, Any]:
    found = [agent async for agent in session.agent.agents(page_size=1_000)]
    return {
        "agents": len(found),
        "unacknowledged": sum(agent.unacknowledged_count for agent in found),
    }


async def _work(session: Session) -> dict[str, Any]:
    report = await session.agent.tasks.report()
    states = {work.TaskState.Name(count.state): count.count for count in report.states}
    return {"total_tasks": report.total_tasks, "states": states}


def _picture(whose: str, probes: Sequence[Probe], counts: dict[str, Any]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
    for probe in probes:
        serving = probe.health is Health.SERVING
        table.add_row(
            Text(probe.service, style="bold"),
            Text(str(probe.health), style="green" if serving else "red"),
            Text(escape_controls(probe.address)),
            Text(f"{1_000 * probe.seconds:.0f} ms" if serving else "", style="dim"),
        )
    head = Text(f"Dovetail {release()}, {whose}\n")
    return Group(head, table, *_sums(counts))


def _sums(counts: dict[str, Any]) -> list[Text]:
    lines: list[Text] = []
    if "agents" in counts:
        agents = _count(counts["agents"], "agent")
        unread = _count(counts["unacknowledged"], "unacknowledged message")
        lines.append(Text(f"\n{agents}   {unread}"))
    if "states" in counts:
        line = Text(_count(counts["total_tasks"], "task"))
        for name, count in counts["states"].items():
            line.append(f"   {count} ").append_text(state(work.TaskState.Value(name)))
        lines.append(line)
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
