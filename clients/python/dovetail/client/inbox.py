"""An inbox as an endless stream that reconnects and resumes automatically."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from dovetail.client.connection import Connection
from dovetail.client.following import Following
from dovetail.client.received import ReceivedMessage
from dovetail.messaging.v1 import messaging_pb2 as pb

Subscribe = grpc.aio.UnaryStreamMultiCallable[pb.SubscribeInboxRequest, pb.SubscribeInboxResponse]


class Inbox(Following[ReceivedMessage]):
    """The messages of one inbox, in order, each once. Close it, preferably with `async with`.

    When the connection is lost or the server stops, it reconnects and continues after the last
    message that it received. A wrong request raises. Waiting for a message may be cancelled (for
    example by `asyncio.timeout`) and resumed: no message is lost.
    """

    def __init__(
        self,
        connection: Connection,
        subscribe: Callable[[], Subscribe],
        request: pb.SubscribeInboxRequest,
        received: Callable[[pb.Delivery], ReceivedMessage],
    ) -> None:
        """Prepare to stream `request`; the first `anext` connects."""
        super().__init__(connection, subscribe, request)
        self._received = received

    @property
    def through_sequence(self) -> int:
        """The cursor: all messages up to it arrived here, or do not match the request."""
        return self._request.after_sequence

    def _take(self, response: pb.SubscribeInboxResponse) -> list[ReceivedMessage]:
        self._request.after_sequence = response.through_sequence
        return [self._received(delivery) for delivery in response.deliveries]
