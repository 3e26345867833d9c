"""Where Cursor has its configuration.

Read on 26 November 2026: cursor.com/docs/hooks.md, /docs/context/mcp, /docs/context/rules.

- MCP servers: `.cursor/mcp.json` of a project, `~/.cursor/mcp.json` of a user. Object `mcpServers`,
  by name: command, args, env.
- Hooks: `.cursor/hooks.json` of either: `version` 1, `hooks` by event: command, timeout in seconds.
- Instructions: `AGENTS.md` of a project. Those of a user are in the settings of the program, not in
  a file.
"""

from __future__ import annotations

from dovetail.bridges.hooks.cursor import EVENTS
from dovetail.cli.setup.hosts import (
    HOOK_SECONDS_MAX,
    Caller,
    Plan,
    Scope,
    Target,
    instructions,
    json_part,
    server_part,
)
from dovetail.cli.setup.texts import INSTRUCTIONS

HOST = "cursor"


def plan(caller: Caller, scope: Scope) -> Plan:
    """The files of Cursor."""
    folder = scope.folder(".cursor")
    hooks = {
        ("hooks", event): {"command": caller.hook(HOST, event), "timeout": HOOK_SECONDS_MAX}
        for event in EVENTS
    }
    targets = [
        Target(path=folder / "mcp.json", part=server_part(caller)),
        Target(path=folder / "hooks.json", part=json_part(elements=hooks, defaults={"version": 1})),
    ]
    if not scope.is_user:
        targets.append(Target(path=scope.project / "AGENTS.md", part=instructions(HOST)))
        return Plan(targets=targets)
    pasted = "\n".join(INSTRUCTIONS)
    return Plan(
        targets=targets,
        notes=(f"Cursor has a user's rules in its settings, not in a file. Paste:\n{pasted}",),
    )
