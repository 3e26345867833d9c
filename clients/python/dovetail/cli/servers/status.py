"""`dovetail status`: whether both services serve, and the team's totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.output.exit_codes import NO_ANSWER, CommandError
from dovetail.cli.output.json_values import words
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Group, Shown, Table
from dovetail.cli.output.text import escape_controls, release
from dovetail.cli.servers.health import Health, Probe


@click.command()
@calls
async def status(session: Session) -> None:
    """Show whether both services serve, and the team's totals.

    With an admin's token it shows only the services: an admin sees no team. Ends with exit code 6
    if one of them does not serve.
    """
    from dovetail.cli.servers.probe import probe_all  # Loads gRPC.

    probes = await probe_all(session.servers)
    up = {probe.service for probe in probes if probe.health is Health.SERVING}
    faults = [
        f"{probe.service} at {probe.address}: {probe.explanation}"
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
    except late.client.DovetailError as error:
        admin = _is_admins(error)
        faults += [] if admin else [late.failures.command_error(error).line]
    team_id = session.team_id or ("" if session.servers.has_token else "default")
    facts = {"version": release(), "team_id": team_id}
    facts |= {"servers": list(map(_probed, probes)), **counts}
    whose = "an admin's token, which sees no team" if admin else _team(team_id)
    session.out.facts(facts, lambda: _picture(whose, probes, counts), _brief)
    if faults:
        raise CommandError("; ".join(faults), NO_ANSWER)


def _brief(facts: Mapping[str, Any]) -> str:
    """The services, and what the team has, on one line."""
    counts = {"agents": "agents", "unacknowledged": "unread", "total_tasks": "tasks"}
    parts = [f"{each['service']} {each['health']}" for each in facts["servers"]]
    parts += [f"{facts[name]} {word}" for name, word in counts.items() if name in facts]
    return ", ".join(parts)


def _probed(probe: Probe) -> dict[str, Any]:
    """A probe for programs; its health as a word."""
    return {
        **asdict(probe),
        "health": probe.health.name.lower(),
        "seconds": round(probe.seconds, 4),
    }


def _is_admins(error: late.client.DovetailError) -> bool:
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
    names = words(late.tasks_pb2.TaskState.DESCRIPTOR)
    states = {names[count.state]: count.count for count in report.states}
    return {"total_tasks": report.total_tasks, "states": states}


def _picture(whose: str, probes: Sequence[Probe], counts: dict[str, Any]) -> Shown:
    table = Table(*[""] * 4)
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
            line.append(f"   {count} ").append_text(
                late.render.state(late.tasks_pb2.TaskState.Value(f"TASK_STATE_{name.upper()}"))
            )
        lines.append(line)
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"
