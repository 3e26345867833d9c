"""The page's server in this process."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from google.protobuf.message import Message

from dovetail.bridges.web.server import WebConfig, listen, serve
from support.pair import identity

PROTO = {"content-type": "application/proto"}


@dataclass(frozen=True, kw_only=True)
class Web:
    """The page's server, and a client of it."""

    client: httpx2.AsyncClient
    port: int

    async def call(
        self, path: str, request: Message, agent_id: str = "", **headers: str
    ) -> httpx2.Response:
        """Call an RPC as an agent, in bytes."""
        return await self.client.post(
            path,
            content=request.SerializeToString(),
            headers={**PROTO, **as_agent(agent_id), **headers},
        )


def as_agent(agent_id: str, team_id: str = "") -> dict[str, str]:
    """The headers that name the caller, as Connect has them."""
    return {
        key: b64encode(value if isinstance(value, bytes) else value.encode()).decode().rstrip("=")
        for key, value in identity(agent_id, team_id)
    }


@asynccontextmanager
async def serving(messaging: str, tasks: str, **more: Any) -> AsyncGenerator[Web]:
    """Serve the page for these servers inside the block."""
    config = WebConfig(messaging=messaging, tasks=tasks, **more)
    stopped, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    with listen("127.0.0.1", 0) as listener:
        running = asyncio.create_task(serve(config, listener, stopped, ready.set_result))
        port = await ready
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            yield Web(client=client, port=port)
        stopped.set()
        await running


def framed(content: bytes) -> bytes:
    """One message of a stream."""
    return struct.pack(">BI", 0, len(content)) + content
