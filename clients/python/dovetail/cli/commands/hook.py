"""`dovetail hook`, as help and completion know it. Calls of hosts go by `cli/entry.py`."""

from __future__ import annotations

import click

from dovetail.bridges.hooks import call


@click.command()
@click.argument("host", type=click.Choice(call.HOSTS))
@click.argument("event", metavar="EVENT")
@click.option(
    "--as", "agent_id", default="", metavar="AGENT", help="The agent, if not from settings."
)
@click.option("--team", "team_id", default="", help="Its team.")
def hook(host: str, event: str, agent_id: str, team_id: str) -> None:
    """Run a hook of HOST.

    It prints what the model should read now. For the configuration of claude, codex, cursor or
    gemini. EVENT is the host's own name of it; what the host says of it is read from standard
    input. Between tools: messages of high importance, or all, once another one has
    waited for 6 s. At the end of a turn: the rest, and tasks that the agent still holds. Each once.
    """
    call.run(host, event, agent_id, team_id)
