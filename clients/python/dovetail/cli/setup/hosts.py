"""The hosts of models that can be set up, and what they have in common."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.cli.setup.parts import BlockPart, JsonPart, Part
from dovetail.cli.setup.texts import INSTRUCTIONS

SERVER = "dovetail"
"""The name of the MCP server in the configuration of every host."""

HOOK_SECONDS_MAX = 10
"""After so long a host goes on without the hook."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """How a host calls Dovetail: the program, and options that say as whom."""

    program: tuple[str, ...]
    options: tuple[str, ...]

    def server(self) -> dict[str, Any]:
        """The MCP server, as most hosts describe it."""
        program, *words = (*self.program, "mcp", *self.options)
        return {"command": program, "args": words}

    def hook(self, host: str, event: str) -> str:
        """The command of a hook, for a shell."""
        return shlex.join((*self.program, "hook", host, event, *self.options))


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Where a host looks: in the home folder of a user, or in that of a project."""

    is_user: bool
    home: Path
    project: Path
    environment: Mapping[str, str]

    def folder(self, name: str, variable: str = "") -> Path:
        """The host's folder for its files; `variable` may name that of the user."""
        if not self.is_user:
            return self.project / name
        named = self.environment.get(variable) if variable else None
        return Path(named) if named else self.home / name


@dataclass(frozen=True, kw_only=True)
class Target:
    """A file of a host, and what belongs into it."""

    path: Path
    part: Part


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a host needs, and what to tell the user of it."""

    targets: Sequence[Target]
    notes: Sequence[str] = ()


Planner = Callable[[Caller, Scope], Plan]


def json_part(
    members: Mapping[tuple[str, ...], Any] | None = None,
    elements: Mapping[tuple[str, ...], Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> JsonPart:
    """A part of a JSON file."""
    return JsonPart(members=members or {}, elements=elements or {}, defaults=defaults or {})


def server_part(caller: Caller) -> JsonPart:
    """The MCP server in a file that has all of them in `mcpServers`."""
    return json_part({("mcpServers", SERVER): caller.server()})


def grouped_hooks(
    commands: Mapping[str, str], **more: Any
) -> dict[tuple[str, ...], dict[str, Any]]:
    """Hooks of hosts that have groups of them for each event, with an optional matcher."""
    return {
        ("hooks", event): {"hooks": [{"type": "command", "command": command, **more}]}
        for event, command in commands.items()
    }


def instructions(host: str) -> BlockPart:
    """The text for a model, in a file of Markdown that all of its sessions read."""
    return BlockPart(
        begin=f"<!-- dovetail setup {host}: begin -->",
        end=f"<!-- dovetail setup {host}: end -->",
        lines=INSTRUCTIONS,
    )
