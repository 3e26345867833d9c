"""Callers: who calls is told by metadata, and bad metadata is refused."""

from __future__ import annotations

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from support.pair import Metadata, Pair
from support.refusals import error_info
from wire.calling import error_of

AGENT, AGENT_BIN = "dovetail-agent", "dovetail-agent-bin"
TEAM, TEAM_BIN = "dovetail-team", "dovetail-team-bin"

BAD: dict[str, tuple[Metadata, str]] = {
    "an agent that is not UTF-8": (((AGENT_BIN, b"\xff\xfe"),), AGENT_BIN),
    "a team that is not UTF-8": (((TEAM_BIN, b"\xc3"),), TEAM_BIN),
    "two agents": (((AGENT, "alice"), (AGENT, "bob")), AGENT),
    "two agents in two forms": (((AGENT, "alice"), (AGENT_BIN, b"bob")), AGENT),
    "two teams": (((TEAM_BIN, b"red"), (TEAM_BIN, b"blue")), TEAM),
    "a long agent": (((AGENT, "x" * 129),), AGENT),
    "a long team": (((TEAM, "x" * 129),), TEAM),
    "a control character": (((AGENT_BIN, b"a\0b"),), AGENT),
    "a line break": (((AGENT_BIN, b"a\nb"),), AGENT),
    "an outer space": (((AGENT_BIN, b" alice"),), AGENT),
    "not NFC": (((TEAM_BIN, "e\u0301".encode()),), TEAM),
}


@pytest.mark.parametrize(("metadata", "key"), BAD.values(), ids=BAD)
async def test_a_bad_caller_is_refused_by_every_service(
    shared: Pair, metadata: Metadata, key: str
) -> None:
    calls = (
        ("GetAgent", m.GetAgentRequest(agent_id="alice")),
        ("SubscribeInbox", m.SubscribeInboxRequest(agent_id="alice")),
        ("GetTask", t.GetTaskRequest(task_id="build")),
    )
    for method, request in calls:
        error = await error_of(shared, method, request, metadata)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        info = error_info(error)
        assert (info.reason, info.metadata["field"]) == ("INVALID_CALLER", key)


@pytest.mark.parametrize(
    "metadata",
    [
        ((AGENT, "alice"),),
        ((AGENT_BIN, b"alice"),),
        ((AGENT, "alice"), (AGENT_BIN, b"alice")),
        ((AGENT, "alice"), (AGENT, "alice"), (TEAM, "default")),
        ((AGENT, "alice"), (TEAM, "")),
    ],
)
async def test_a_caller_may_be_named_in_either_form(shared: Pair, metadata: Metadata) -> None:
    answer = await shared.messaging.GetAgent(m.GetAgentRequest(), metadata=metadata)
    assert answer.agent.agent_id == "alice"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("RegisterAgent", m.RegisterAgentRequest()),
        ("GetAgent", m.GetAgentRequest()),
        ("SendMessage", m.SendMessageRequest(recipient_ids=["bob"])),
        ("SubscribeInbox", m.SubscribeInboxRequest()),
        ("AcknowledgeMessages", m.AcknowledgeMessagesRequest(through_sequence=1)),
    ],
)
async def test_where_an_agent_is_needed_its_absence_is_told(
    shared: Pair, method: str, request_: m.GetAgentRequest
) -> None:
    error = await error_of(shared, method, request_, ())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "CALLER_AGENT_REQUIRED"
    assert AGENT in str(error.details())
