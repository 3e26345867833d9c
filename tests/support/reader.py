"""A program: an agent that reads its inbox, and names some of what it read in later calls.

`python reader.py ADDRESS AGENT HOW SEED FILE`: HOW is `stream` or `poll`. For each delivery that it
names it writes a line into FILE, before the call that names it, so that the line is there whatever
kills it: `seen 7` (MarkMessagesSeen, or a reply), or `done 7` (an acknowledgement).
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence

import grpc

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.types.v1.types_pb2 import DELIVERY_STATE_UNACKNOWLEDGED

READER_OF_REPLIES = "writer"
WAIT_SECONDS = 1


class Reader:
    """Reads until it is killed; where the connection breaks it begins again."""

    def __init__(
        self, stub: messaging_pb2_grpc.MessagingServiceAsyncStub, words: Sequence[str]
    ) -> None:
        """Read as the command line says."""
        agent_id, self._how, seed, file = words
        self._stub = stub
        self._metadata = (("dovetail-agent", agent_id),)
        self._random = random.Random(seed)
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def read(self) -> None:
        """Read for ever."""
        while True:
            try:
                await (self._stream() if self._how == "stream" else self._poll())
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)

    async def _stream(self) -> None:
        call = self._stub.SubscribeInbox(
            m.SubscribeInboxRequest(), metadata=self._metadata, wait_for_ready=True
        )
        async for response in call:
            for each in response.deliveries:
                await self._name(each, acknowledging=0.1)

    async def _poll(self) -> None:
        request = m.ReceiveMessagesRequest()
        request.max_wait.FromSeconds(WAIT_SECONDS)
        response = await self._stub.ReceiveMessages(
            request, metadata=self._metadata, wait_for_ready=True
        )
        for each in response.deliveries:
            await self._name(each, acknowledging=0.6)

    async def _name(self, delivery: m.Delivery, acknowledging: float) -> None:
        """Name a delivery in a call, or do not."""
        sequence, choice = delivery.receipt.sequence, self._random.random()
        if choice < acknowledging:
            self._write(f"done {sequence}")
            acknowledge = m.AcknowledgeMessagesRequest(sequences=[sequence])
            await self._stub.AcknowledgeMessages(acknowledge, metadata=self._metadata)
        elif delivery.receipt.state != DELIVERY_STATE_UNACKNOWLEDGED:
            return
        elif choice < acknowledging + 0.15:
            self._write(f"seen {sequence}")
            seen = m.MarkMessagesSeenRequest(sequences=[sequence])
            await self._stub.MarkMessagesSeen(seen, metadata=self._metadata)
        elif choice < acknowledging + 0.3:
            self._write(f"seen {sequence}")
            reply = m.SendMessageRequest(
                recipient_ids=[READER_OF_REPLIES], in_reply_to=delivery.message.message_id
            )
            await self._stub.SendMessage(reply, metadata=self._metadata)

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())


async def main(address: str, *words: str) -> None:
    """Be an agent."""
    async with grpc.aio.insecure_channel(
        address, options=(("grpc.max_reconnect_backoff_ms", 100),)
    ) as channel:
        await Reader(messaging_pb2_grpc.MessagingServiceStub(channel), words).read()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
