"""The measure of searches: a page of the newest hits, in teams that have talked little and much."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc

from bench.calls import as_agent, caller, echo_message
from bench.fill import EVERYWHERE, RARE, RARE_SENDER
from bench.fixtures import Engine, Fixtures
from bench.size import Size
from bench.trials import ECHO, Case, closed_loop
from dovetail.messaging.v1 import messaging_pb2 as talk

INDEXED_SECONDS = 1_800
"""In which servers must have indexed what a store was filled with."""

SEARCHES = {
    "a rare word": talk.SearchMessagesRequest(query=RARE),
    "a word in every message": talk.SearchMessagesRequest(query=EVERYWHERE),
    "that word from a sender of few": talk.SearchMessagesRequest(
        query=EVERYWHERE, filter=talk.MessageFilter(sender_ids=[RARE_SENDER])
    ),
}


async def search(fixtures: Fixtures, size: Size) -> list[Case]:
    """SearchMessages, the first page, one call at a time."""
    echo = fixtures.echo
    for engine in fixtures.engines.values():
        for messages in size.messages:
            await engine.code.fill("team_with_talk", engine.store.url, _team(messages), messages)
            await _indexed(engine, messages)
    return [
        Case(
            measure="search",
            name=f"{what}, {messages:,} messages",
            unit="searches",
            targets={
                ECHO: partial(
                    closed_loop, echo.processes, 1, size.seconds, partial(echo_message, echo)
                ),
                **{
                    target: partial(
                        closed_loop,
                        engine.processes,
                        1,
                        size.seconds,
                        partial(_search, engine, messages, request),
                    )
                    for target, engine in fixtures.engines.items()
                },
            },
        )
        for what, request in SEARCHES.items()
        for messages in size.messages
    ]


async def _indexed(engine: Engine, messages: int) -> None:
    """Have a team indexed: searches wait for it, each for a while."""
    async with asyncio.timeout(INDEXED_SECONDS):
        while True:
            try:
                await _search(engine, messages, SEARCHES["a rare word"], 0)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            else:
                return


async def _search(
    engine: Engine, messages: int, request: talk.SearchMessagesRequest, number: int
) -> None:
    metadata = as_agent(caller(number), _team(messages))
    response = await engine.messaging.SearchMessages(request, metadata=metadata)
    assert response.hits


def _team(messages: int) -> str:
    return f"talk-{messages}"
