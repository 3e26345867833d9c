"""Readers of inboxes that go on after the server was killed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.pair import identity
from support.servers import OUTCOME_UNKNOWN, Servers, insist


async def follow(servers: Servers, agent_id: str) -> AsyncGenerator[pb.SubscribeInboxResponse]:
    """What an inbox's stream answers, resumed after the cursor; fails on a gap."""
    cursor = 0
    while True:
        stream = servers.messaging_stub.SubscribeInbox(
            pb.SubscribeInboxRequest(after_sequence=cursor, include_acknowledged=True),
            metadata=identity(agent_id),
            wait_for_ready=True,
        )
        try:
            async for response in stream:
                sequences = [delivery.receipt.sequence for delivery in response.deliveries]
                assert sequences == list(range(cursor + 1, response.through_sequence + 1))
                cursor = response.through_sequence
                yield response
        except grpc.aio.AioRpcError as error:
            if error.code() not in OUTCOME_UNKNOWN:
                raise
        finally:
            stream.cancel()


async def receive(
    servers: Servers, agent_id: str, enough: Callable[[list[pb.Delivery]], bool]
) -> list[pb.Delivery]:
    """Read and acknowledge an inbox until there is enough."""
    received: list[pb.Delivery] = []
    responses = follow(servers, agent_id)
    async for response in responses:
        received.extend(response.deliveries)
        if response.deliveries:
            request = pb.AcknowledgeMessagesRequest(through_sequence=response.through_sequence)
            await insist(servers.messaging_stub.AcknowledgeMessages, request, agent_id)
        if enough(received):
            break
    await responses.aclose()
    return received
