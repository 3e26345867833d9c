"""Error details: bounded, readable, and never lost on the way."""

from __future__ import annotations

import json

import grpc

from dovetail.messaging.v1 import messaging_pb2 as m
from support.pair import Pair
from support.refusals import bad_fields, error_info
from wire.bad_fields import send
from wire.calling import error_of

FOX = "🦊"


async def test_a_thousand_long_unknown_recipients_are_told_readably(shared: Pair) -> None:
    names = [f"{number:04}" + FOX * 124 for number in range(1_000)]
    error = await error_of(shared, "SendMessage", send(recipient_ids=names))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    info = error_info(error)
    assert (info.reason, info.metadata["unknown_count"]) == ("AGENT_NOT_FOUND", "1000")
    told = json.loads(info.metadata["agent_ids"])
    assert told
    assert told == names[: len(told)]
    assert json.loads(info.metadata["nearest_ids"]) == []


async def test_near_misses_of_long_names_are_told_readably(pair: Pair) -> None:
    known = [f"{number:02}" + FOX * 126 for number in range(20)]
    for name in known:
        await pair.messaging.RegisterAgent(m.RegisterAgentRequest(agent_id=name))
    names = [f"x{number:02}" + FOX * 125 for number in range(20)]
    error = await error_of(pair, "SendMessage", send(recipient_ids=names))
    nearest = json.loads(error_info(error).metadata["nearest_ids"])
    assert nearest
    assert set(nearest) <= set(known)


async def test_a_thousand_bad_recipients_are_told_in_part(shared: Pair) -> None:
    for bad in (FOX * 129, "\x01" * 128, " " + FOX * 120, '"' * 129):
        error = await error_of(shared, "SendMessage", send(recipient_ids=[bad] * 1_000))
        found = bad_fields(error)
        assert next(iter(found)) == "recipient_ids[0]"
        assert all(found.values())
        assert "999 more" in str(error.details())


async def test_bad_labels_with_long_names_are_told(shared: Pair) -> None:
    labels = {f"{number:03}" + FOX * 200: "\x02" * 300 for number in range(100)}
    error = await error_of(shared, "SendMessage", send(labels=labels))
    assert error_info(error).reason == "INVALID_FIELDS"
    assert "labels" in bad_fields(error)


async def test_names_of_any_script_come_back_as_they_were(shared: Pair) -> None:
    error = await error_of(shared, "GetAgent", m.GetAgentRequest(agent_id="лиса 🦊"))
    assert json.loads(error_info(error).metadata["agent_ids"]) == ["лиса 🦊"]
    assert "лиса 🦊" in str(error.details())
