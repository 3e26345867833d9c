"""Sending, and what comes of it in the inbox."""

from __future__ import annotations

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.pair import Pair, caller


async def test_a_message_arrives_on_an_open_stream(pair: Pair) -> None:
    await pair.messaging.RegisterAgent(pb.RegisterAgentRequest(), metadata=caller("bob"))
    stream = pair.messaging.SubscribeInbox(pb.SubscribeInboxRequest(), metadata=caller("bob"))
    first = await stream.read()
    assert isinstance(first, pb.SubscribeInboxResponse)
    assert first.mark == pb.STREAM_MARK_CAUGHT_UP
    sent = await pair.messaging.SendMessage(
        pb.SendMessageRequest(recipient_ids=["bob"], body="hello"), metadata=caller("alice")
    )
    response = await stream.read()
    assert isinstance(response, pb.SubscribeInboxResponse)
    assert [delivery.message.message_id for delivery in response.deliveries] == [sent.message_id]
    assert response.through_sequence == 1
    stream.cancel()
