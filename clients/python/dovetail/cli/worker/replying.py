"""The end of a turn: the reply and the acknowledgement, in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dovetail.cli.worker.programs import without_nul
from dovetail.cli.worker.turns import HOPS_LABEL, Turn
from dovetail.client import Agent, DovetailError, InvalidArgumentError
from dovetail.client.reconnecting import pauses

T = TypeVar("T")

REUSED = "REQUEST_ID_REUSED"


def reply_of(output: bytes) -> str:
    """The output of a program as the text of a reply; empty: there is none."""
    return without_nul(output.decode(errors="replace")).strip()


async def end_turn(agent: Agent, turn: Turn, reply: str) -> str:
    """Send the reply, if there is one, and acknowledge what was read. Returns what became of it.

    Waits for the servers without a bound: the program must not run again for what it has done. Only
    a fault of the reply raises. The request has the same id each time, so it is done once.
    """
    if not (reply and turn.recipient_ids):
        await lasting(lambda: agent.acknowledge(turn.sequences))
        return "read"
    try:
        await lasting(
            lambda: agent.send(
                turn.recipient_ids,
                reply,
                in_reply_to=turn.messages[-1].message_id,
                labels={HOPS_LABEL: str(turn.hops + 1)},
                request_id=turn.request_id,
                acknowledge=turn.sequences,
            )
        )
    except InvalidArgumentError as error:
        if error.reason != REUSED:
            raise
        # Another process for this agent has replied to the very same messages.
        return "read"
    return "replied"


async def lasting(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call, unchanged, until a server has answered it."""
    for pause in pauses():
        try:
            return await call()
        except DovetailError as error:
            if not error.is_passing:
                raise
            await asyncio.sleep(max(pause, error.retry_after or 0.0))
    raise AssertionError("the pauses have no end")
