"""Where Gemini CLI has its configuration.

Read on 26 November 2026: geminicli.com/docs/hooks/reference, /docs/cli/configuration.

- `~/.gemini/settings.json` of a user, `.gemini/settings.json` of a project.
- MCP servers: object `mcpServers`, by name: command, args, env.
- Hooks: `hooks`, by event: groups of an optional `matcher` and `hooks`: type `command`, command,
  name, timeout in milliseconds.
- Instructions: `GEMINI.md` of a project, `~/.gemini/GEMINI.md` of a user.
- The host accepts comments in settings.json; a file that has some is not changed here.
"""

from __future__ import annotations

from dovetail.bridges.hooks.gemini import EVENTS
from dovetail.cli.setup.hosts import (
    HOOK_SECONDS_MAX,
    SERVER,
    Caller,
    Plan,
    Scope,
    Target,
    grouped_hooks,
    instructions,
    json_part,
)

HOST = "gemini"


def plan(caller: Caller, scope: Scope) -> Plan:
    """The files of Gemini CLI."""
    folder = scope.folder(".gemini")
    commands = {event: caller.hook(HOST, event) for event in EVENTS}
    part = json_part(
        {("mcpServers", SERVER): caller.server()},
        grouped_hooks(commands, name=SERVER, timeout=HOOK_SECONDS_MAX * 1_000),
    )
    text = (folder if scope.is_user else scope.project) / "GEMINI.md"
    return Plan(
        targets=(
            Target(path=folder / "settings.json", part=part),
            Target(path=text, part=instructions(HOST)),
        )
    )
