"""Where Claude Code has its configuration.

Read on 26 November 2026: code.claude.com/docs/en/settings, /hooks, /mcp and /memory.

- MCP servers: `.mcp.json` of a project, which each user is asked to allow; `~/.claude.json` of a
  user (in CLAUDE_CONFIG_DIR, if that is set). Object `mcpServers`, by name: command, args, env.
- Hooks: `.claude/settings.json` of either. `hooks`, by event: groups of an optional `matcher` and
  `hooks`: type `command`, command, timeout in seconds.
- Instructions: `CLAUDE.md` of a project, `~/.claude/CLAUDE.md` of a user.
- All these are plain JSON, without comments. `~/.claude.json` is written by running sessions too.
"""

from __future__ import annotations

from dovetail.bridges.hooks.claude import EVENTS
from dovetail.cli.setup.hosts import (
    HOOK_SECONDS_MAX,
    Caller,
    Plan,
    Scope,
    Target,
    grouped_hooks,
    instructions,
    json_part,
    server_part,
)

HOST = "claude"
FOLDER_VARIABLE = "CLAUDE_CONFIG_DIR"


def plan(caller: Caller, scope: Scope) -> Plan:
    """The files of Claude Code."""
    folder = scope.folder(".claude", FOLDER_VARIABLE)
    if scope.is_user:
        named = scope.environment.get(FOLDER_VARIABLE)
        servers = (folder if named else scope.home) / ".claude.json"
        text = folder / "CLAUDE.md"
        notes = ("End running sessions of Claude Code first: they write ~/.claude.json as well.",)
    else:
        servers, text = scope.project / ".mcp.json", scope.project / "CLAUDE.md"
        notes = ("Claude Code asks each user once whether to allow the server of .mcp.json.",)
    commands = {event: caller.hook(HOST, event) for event in EVENTS}
    hooks = grouped_hooks(commands, timeout=HOOK_SECONDS_MAX)
    return Plan(
        targets=(
            Target(path=servers, part=server_part(caller)),
            Target(path=folder / "settings.json", part=json_part(elements=hooks)),
            Target(path=text, part=instructions(HOST)),
        ),
        notes=notes,
    )
