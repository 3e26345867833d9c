"""The calls that several measures make."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any

from bench.fixtures import Echo, Engine
from dovetail.messaging.v1 import messaging_pb2 as talk

BODY = "x" * 200
Metadata = tuple[tuple[str, str], ...]
Call = Callable[[int], Awaitable[object]]
_numbers = count(1)


def new_request_id() -> str:
    """An id for a request, as the Python client makes one."""
    return f"request-{next(_numbers)}"


def message(*recipient_ids: str) -> talk.SendMessageRequest:
    """A message as the Python client sends it."""
    return talk.SendMessageRequest(
        recipient_ids=recipient_ids, body=BODY, request_id=new_request_id()
    )


def as_agent(agent_id: str, team_id: str = "") -> Metadata:
    """The metadata of a caller."""
    team = (("dovetail-team", team_id),) if team_id else ()
    return (("dovetail-agent", agent_id), *team)


def caller(number: int) -> str:
    """The id of a caller."""
    return f"caller-{number}"


async def register(engine: Engine, agent_ids: Iterable[str], team_id: str = "") -> None:
    """Make agents known."""
    call = engine.messaging.RegisterAgent
    await asyncio.gather(
        *(
            call(talk.RegisterAgentRequest(agent_id=agent_id), metadata=as_agent(agent_id, team_id))
            for agent_id in agent_ids
        )
    )


async def send_to_self(engine: Engine, number: int) -> None:
    """Send a message from a caller to itself, so that callers do not wait for each other."""
    agent_id = caller(number)
    await engine.messaging.SendMessage(message(agent_id), metadata=as_agent(agent_id))


async def echo_message(echo: Echo, number: int) -> None:
    """Send the same to the echo server."""
    agent_id = caller(number)
    await echo.stub.Echo(message(agent_id), metadata=as_agent(agent_id))


def open_inbox(stub: Any, agent_id: str, position: Any) -> Any:
    """Open a stream of an inbox, from a position on."""
    request = talk.SubscribeInboxRequest(agent_id=agent_id, position=position)
    return stub.SubscribeInbox(request, metadata=as_agent(agent_id))


async def until_caught_up(stream: Any) -> int:
    """Read a stream until it has nothing more to deliver. Returns how many it delivered."""
    messages = 0
    while True:
        response = await stream.read()
        messages += len(response.deliveries)
        if response.mark == talk.STREAM_MARK_CAUGHT_UP:
            return messages
