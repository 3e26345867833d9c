"""`dovetail whoami`: as whom, in which team and with which servers commands speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.options.calling import DEFAULT_TEAM, Session, calls
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Column, Group, Shown, Table
from dovetail.cli.output.text import escape_controls


@click.command()
@calls
async def whoami(session: Session) -> None:
    """Show your agent, team and servers.

    On servers without credentials it also looks for messages to the same agent in the team
    `default`, where they are sent without --team.
    """
    facts: dict[str, Any] = {
        "agent_id": session.agent.agent_id,
        "team_id": session.known_team_id,
        "messaging": session.servers.messaging,
        "tasks": session.servers.tasks,
        "credential": _credential(session),
        "tls": session.servers.tls is not None,
    }
    try:
        agent = await _agent(session)
    except late.client.PermissionDeniedError as error:
        if error.metadata.get("role") != "ADMIN":
            raise
        facts["role"], agent = "admin", None
    if agent:
        facts |= {"agent_id": agent.agent_id, "unacknowledged": agent.unacknowledged_count}
        facts["known"] = True
    if not session.servers.has_token:
        facts["role"] = "operator"
        facts |= await _elsewhere(session, facts)
    session.out.facts(facts, lambda: _picture(facts))


async def _agent(session: Session) -> late.messaging_pb2.Agent | None:
    """The agent that calls, as the server knows it; None if it is none, or not known yet."""
    try:
        return (await session.agent.agent()).proto
    except late.client.NotFoundError:
        return None
    except late.client.InvalidArgumentError as error:
        if error.reason != "CALLER_AGENT_REQUIRED":
            raise
        return None


async def _elsewhere(session: Session, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the same name has unread in the team of commands without --team."""
    if facts["team_id"] == DEFAULT_TEAM or not facts["agent_id"]:
        return {}
    async with session.servers.connect(
        facts["agent_id"], DEFAULT_TEAM, session.timeout
    ) as elsewhere:
        try:
            unread = (await elsewhere.agent()).unacknowledged_count
        except late.client.NotFoundError:
            return {}
    return {"elsewhere": {DEFAULT_TEAM: unread}} if unread else {}


def _credential(session: Session) -> str:
    if not session.servers.has_token:
        return ""
    return str(session.servers.token_file or "DOVETAIL_TOKEN")


def _picture(facts: Mapping[str, Any]) -> Shown:
    table = Table(Column(name=""), Column(name="", folds=True, cells_min=20))
    for name, fact in _rows(facts).items():
        table.add_row(Text(name, style="bold"), Text(escape_controls(fact)))
    return Group(table)


def _rows(facts: Mapping[str, Any]) -> dict[str, str]:
    agent = facts["agent_id"] or "none: name one with --as AGENT, or DOVETAIL_AGENT"
    if facts["agent_id"] and not facts.get("known"):
        agent += ", not known in this team: dovetail agent register"
    rows = {
        "agent": agent,
        "team": facts["team_id"] or "the token's",
        "role": _role(facts),
        "unread": f"{facts['unacknowledged']:,}" if facts.get("known") else "",
        "messaging": facts["messaging"],
        "tasks": facts["tasks"],
        "connection": "TLS" if facts["tls"] else "without TLS",
    }
    for team_id, unread in facts.get("elsewhere", {}).items():
        rows["elsewhere"] = f"{unread:,} unread for this name in team {team_id}"
    return {name: row for name, row in rows.items() if row}


def _role(facts: Mapping[str, Any]) -> str:
    if not facts["credential"]:
        return "operator: the caller names itself, no token is sent"
    return f"{facts.get('role', 'the token decides')}, token from {facts['credential']}"
