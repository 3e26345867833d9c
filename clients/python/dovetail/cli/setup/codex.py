"""Where Codex CLI has its configuration.

Read on 26 November 2026: developers.openai.com/codex/hooks, /codex/mcp, /codex/config-reference.

- `~/.codex/config.toml` of a user (in CODEX_HOME, if that is set), `.codex/config.toml` of a
  project, which is read once the project is trusted.
- MCP servers: tables `[mcp_servers.NAME]`: command, args, env_vars (names of variables to pass on:
  a server has few of the environment otherwise).
- Hooks: `[[hooks.EVENT]]` with `[[hooks.EVENT.hooks]]`: type `command`, command, timeout in
  seconds; or the same as JSON in `hooks.json` beside it. The host warns if a folder has both, so an
  existing hooks.json is used. A new hook must be trusted by the user before it runs.
- Instructions: `AGENTS.md` of a project, `~/.codex/AGENTS.md` of a user.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from dovetail.bridges.hooks.codex import EVENTS
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
from dovetail.cli.setup.parts import BlockPart
from dovetail.settings import CLIENT, CONFIG, PROFILE

HOST = "codex"


def plan(caller: Caller, scope: Scope) -> Plan:
    """The files of Codex."""
    folder = scope.folder(".codex", "CODEX_HOME")
    commands = {event: caller.hook(HOST, event) for event in EVENTS}
    lines = [*_server(caller)]
    targets: list[Target] = []
    if (folder / "hooks.json").exists():
        hooks = json_part(elements=grouped_hooks(commands, timeout=HOOK_SECONDS_MAX))
        targets.append(Target(path=folder / "hooks.json", part=hooks))
    else:
        lines += _hooks(commands)
    block = BlockPart(
        begin="# dovetail setup codex: begin",
        end="# dovetail setup codex: end",
        lines=lines,
        is_toml=True,
    )
    text = (folder if scope.is_user else scope.project) / "AGENTS.md"
    return Plan(
        targets=(
            Target(path=folder / "config.toml", part=block),
            *targets,
            Target(path=text, part=instructions(HOST)),
        ),
        notes=("Codex runs the hooks once you have trusted them: /hooks in a session.",),
    )


def _server(caller: Caller) -> Iterator[str]:
    server = caller.server()
    variables = [each.variable for each in (CONFIG, PROFILE, *CLIENT.values())]
    yield f"[mcp_servers.{SERVER}]"
    yield f"command = {_text(server['command'])}"
    yield f"args = [{', '.join(map(_text, server['args']))}]"
    yield f"env_vars = [{', '.join(map(_text, variables))}]"


def _hooks(commands: Mapping[str, str]) -> Iterator[str]:
    for event, command in commands.items():
        yield ""
        yield f"[[hooks.{event}]]"
        yield f"[[hooks.{event}.hooks]]"
        yield 'type = "command"'
        yield f"command = {_text(command)}"
        yield f"timeout = {HOOK_SECONDS_MAX}"


def _text(value: str) -> str:
    """A basic string of TOML, which has the escapes of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
