"""Hosts of models: the SDK's real client, with a bridge in this process or one of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TextIO

import psutil
from mcp import Client, StdioServerParameters, stdio_client

from dovetail import client
from dovetail.bridges.mcp.server import build
from dovetail.bridges.mcp.session import LEASE, Bridge, Place
from support.wordcount import count_tokens


class RefusedError(Exception):
    """A tool answered with an error."""


def text_of(content: Any) -> str:
    """The text of a content that is one."""
    return content.text


@dataclass(kw_only=True)
class Host:
    """A host, whose calls a model makes. It counts what they cost the model."""

    client: Client
    bridge: Bridge | None = None
    """The bridge, where it is in this process."""
    tokens: int = 0

    async def call(self, name: str, **arguments: Any) -> str:
        """What a tool answers. Raises RefusedError."""
        result = await self.client.call_tool(name, arguments)
        (content,) = result.content
        written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        text = text_of(content)
        self.tokens += count_tokens(written) + count_tokens(text)
        if result.is_error:
            raise RefusedError(text)
        return text

    async def refused(self, name: str, **arguments: Any) -> str:
        """What a tool answers that refuses."""
        try:
            text = await self.call(name, **arguments)
        except RefusedError as error:
            return str(error)
        raise AssertionError(f"{name} was not refused: {text}")


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Two servers, and a team on them."""

    messaging: str
    tasks: str
    team_id: str

    def agent(self, agent_id: str, **options: Any) -> client.Agent:
        """A client of an agent."""
        return client.connect(
            agent_id, team_id=self.team_id, messaging=self.messaging, tasks=self.tasks, **options
        )

    @asynccontextmanager
    async def host(
        self, agent_id: str, *, lease: timedelta = LEASE, **options: Any
    ) -> AsyncGenerator[Host]:
        """A host with a bridge in this process."""
        async with self.agent(agent_id, **options) as agent:
            place = Place(team_id=self.team_id, messaging=self.messaging, tasks=self.tasks)
            bridge = Bridge(agent=agent, place=place, lease=lease)
            async with bridge, Client(build(bridge)) as sdk:
                yield Host(client=sdk, bridge=bridge)

    def environment(self, agent_id: str) -> dict[str, str]:
        """The environment of a bridge of its own."""
        return {
            **os.environ,
            "DOVETAIL_AGENT": agent_id,
            "DOVETAIL_TEAM": self.team_id,
            "DOVETAIL_MESSAGING": self.messaging,
            "DOVETAIL_TASKS": self.tasks,
        }

    def command(self, *words: str) -> list[str]:
        """The command line of a bridge of its own."""
        return [sys.executable, "-m", "dovetail.cli", "mcp", *words]

    @asynccontextmanager
    async def process(self, agent_id: str, *words: str, errors: TextIO) -> AsyncGenerator[Host]:
        """A host with a bridge in a process of its own, as real ones have it."""
        program, *arguments = self.command(*words)
        started = StdioServerParameters(
            command=program, args=arguments, env=self.environment(agent_id)
        )
        async with Client(stdio_client(started, errlog=errors)) as sdk:
            yield Host(client=sdk)


def bridges() -> list[psutil.Process]:
    """The bridges that this process has started and that run."""
    found: list[psutil.Process] = []
    for each in psutil.Process().children():
        with suppress(psutil.Error):  # It ended meanwhile.
            if "mcp" in each.cmdline():
                found.append(each)
    return found


@dataclass
class Shown:
    """What stands in fences of an answer: the marks, and the texts between them."""

    text: str
    heads: list[str] = field(default_factory=list[str])
    texts: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        lines = self.text.splitlines()
        mark = lines[0].split()[5] if lines[0].startswith("What stands") else "-"
        inside: list[str] | None = None
        for line in lines:
            if inside is not None and line == f"</{mark}>":
                self.texts.append("\n".join(inside))
                inside = None
            elif inside is not None:
                inside.append(line)
            elif line.startswith(f"<{mark} "):
                self.heads.append(line.removeprefix(f"<{mark} ").removesuffix(">"))
                inside = []
        assert inside is None, self.text
