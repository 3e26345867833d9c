"""Bad fields of batches of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as m
from wire.requests import Row, send, sends

METHOD = "BatchSendMessages"


def batches() -> Iterator[Row]:
    """A batch that is too large, and one whose second message is wrong."""
    wrong: Any = 99
    yield METHOD, sends(importance=wrong), "requests[1].importance"
    yield METHOD, sends(subject="x" * 513), "requests[1].subject"
    yield METHOD, sends(body="a\0b"), "requests[1].body"
    yield METHOD, sends(body="x" * (1024 * 1024 + 1)), "requests[1].body"
    yield METHOD, sends(request_id="r"), "requests[1].request_id"
    yield (
        METHOD,
        m.BatchSendMessagesRequest(requests=[m.SendMessageRequest()]),
        ("requests[0].recipient_ids"),
    )
    yield METHOD, sends(recipient_ids=["bob"] * 1_001), "requests[1].recipient_ids"
    yield METHOD, m.BatchSendMessagesRequest(), "requests"
    yield METHOD, m.BatchSendMessagesRequest(requests=[send()] * 1_001), "requests"
    to_many = send(recipient_ids=["bob"] * 1_000)
    for rest in (1, 1_000):
        more = [to_many] * 10 + [send(recipient_ids=["bob"] * rest)]
        yield METHOD, m.BatchSendMessagesRequest(requests=more), "requests"
