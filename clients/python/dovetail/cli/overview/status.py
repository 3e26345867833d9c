"""`dovetail status`: both services, and what the team has, on one screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import Word
from dovetail.cli.output.exit_codes import NO_ANSWER, CommandError
from dovetail.cli.output.json_values import fields, words
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Group, Shown, Table
from dovetail.cli.output.text import escape_controls, release
from dovetail.cli.servers.health import Health, Probe


@click.command()
@click.argument("service", type=Word(["messaging", "tasks"]), required=False)
@calls
async def status(session: Session, service: str | None) -> None:
    """Show whether both services serve.

    With an admin's token it shows only the services: an admin sees no team. For one SERVICE it asks
    for its health alone, which needs no token. Ends with exit code 6 if one does not serve.
    """
    from dovetail.cli.servers.probe import probe_all  # Loads gRPC, as what follows does.

    probes = await probe_all(session.servers, service)
    if service:
        facts = {"version": release(), "servers": list(map(_probed, probes))}
        head = f"Dovetail {release()}"
        session.out.facts(facts, lambda: _picture(head, probes, None, None), _brief)
        _fail_for(_faults(probes))
    else:
        await _show_team(session, probes)


async def _show_team(session: Session, probes: Sequence[Probe]) -> None:
    """Show the services, and what the team has at those that serve."""
    from dovetail.cli.overview import snapshot

    up = {probe.service for probe in probes if probe.health is Health.SERVING}
    faults = _faults(probes)
    agents: Sequence[late.messaging_pb2.Agent] | None = None
    found: snapshot.Work | None = None
    admin = False
    try:
        if "messaging" in up:
            agents = await snapshot.read_agents(session.agent)
        if "tasks" in up:
            found = await snapshot.read_work(session.agent, with_throughput=False)
    except late.client.DovetailError as error:
        admin = late.failures.is_refusal_of_admin(error)
        faults += [] if admin else [late.failures.command_error(error).line]
    team_id = session.team_id or ("" if session.servers.has_token else "default")
    facts = {"version": release(), "team_id": team_id, "servers": list(map(_probed, probes))}
    facts |= _agents(agents) | _work(found)
    whose = "an admin's token, which sees no team" if admin else _team(team_id)
    head = f"Dovetail {release()}, {whose}"
    session.out.facts(facts, lambda: _picture(head, probes, agents, found), _brief)
    _fail_for(faults)


def _faults(probes: Sequence[Probe]) -> list[str]:
    return [
        f"{probe.service} at {probe.address}: {probe.explanation}"
        for probe in probes
        if probe.health is not Health.SERVING
    ]


def _fail_for(faults: Sequence[str]) -> None:
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


def _team(team_id: str) -> str:
    return f"team {escape_controls(team_id)}" if team_id else "the team of the token"


def _agents(agents: Sequence[late.messaging_pb2.Agent] | None) -> dict[str, Any]:
    if agents is None:
        return {}
    unread = sum(agent.unacknowledged_count for agent in agents)
    return {"agents": len(agents), "unacknowledged": unread}


def _work(found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    names = words(late.tasks_pb2.TaskState.DESCRIPTOR)
    states = {names[count.state]: count.count for count in found.report.states}
    facts: dict[str, Any] = {"total_tasks": found.report.total_tasks, "states": states}
    if found.oldest_ready:
        facts["oldest_ready_task"] = {
            name: value
            for name, value in fields(found.oldest_ready).items()
            if name in ("task_id", "title", "assignee_id", "create_time")
        }
    facts["leases"] = [task.task_id for task in found.leases]
    facts["questions"] = [task.task_id for task in found.questions]
    return facts


def _picture(
    head: str,
    probes: Sequence[Probe],
    agents: Sequence[late.messaging_pb2.Agent] | None,
    found: Any,
) -> Shown:
    from dovetail.cli.overview import picture

    table = Table(*[""] * 4)
    for probe in probes:
        serving = probe.health is Health.SERVING
        table.add_row(
            Text(probe.service, style="bold"),
            Text(str(probe.health), style="green" if serving else "red"),
            Text(escape_controls(probe.address)),
            Text(f"{1_000 * probe.seconds:.0f} ms" if serving else "", style="dim"),
        )
    rows = [("agents", picture.agents_fact(agents))] if agents is not None else []
    rows += list(picture.work_facts(found)) if found else []
    return Group(Text(f"{head}\n"), table, *([Text(), picture.facts_table(rows)] if rows else []))
