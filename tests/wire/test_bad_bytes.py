"""Bad bytes: what is no message, or too large a one, is refused by every method."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.edge.intake import request_bytes_max
from support.pair import Pair
from support.refusals import error_info
from wire.calling import GARBAGE, LARGE, answer_to, everything
from wire.reflected import methods


async def open_methods(channel: grpc.aio.Channel) -> list[tuple[str, bool]]:
    """The methods that somebody without a credential may call."""
    return [each for each in await methods(channel) if ".AdminService/" not in each[0]]


@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_refused_by_every_method(shared: Pair, payload: bytes) -> None:
    before = await everything(shared)
    seen = 0
    for channel in (shared.messaging_channel, shared.tasks_channel):
        for path, stream in await open_methods(channel):
            error = await answer_to(channel, path, stream, payload)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, path
            assert error_info(error).reason == "MALFORMED_REQUEST", path
            seen += 1
    assert seen >= 20
    assert await everything(shared) == before


async def test_too_large_a_request_is_refused_by_every_method(shared: Pair) -> None:
    for channel in (shared.messaging_channel, shared.tasks_channel):
        for path, stream in await open_methods(channel):
            error = await answer_to(channel, path, stream, LARGE)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, path
            info = error_info(error)
            assert info.reason == "REQUEST_TOO_LARGE", path
            assert info.metadata["most"] == str(request_bytes_max(path))


async def test_fields_of_a_later_contract_are_no_garbage(shared: Pair) -> None:
    request = m.GetAgentRequest(agent_id="bob").SerializeToString() + b"\xc2\x3e\x03new"
    path = "/dovetail.messaging.v1.MessagingService/GetAgent"
    call: Any = shared.messaging_channel.unary_unary(path, bytes, m.GetAgentResponse.FromString)
    assert (await call(request)).agent.agent_id == "bob"
