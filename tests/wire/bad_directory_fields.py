"""The table of bad fields, of calls about agents and groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.protobuf.message import Message

from dovetail.messaging.v1 import messaging_pb2 as m
from wire.requests import BAD_IDS, Row, put_group, send, sends, update_agent

IDS: tuple[tuple[str, Callable[[str], Message], str], ...] = (
    ("SendMessage", lambda v: send(group_ids=["crew", v]), "group_ids[1]"),
    ("BatchSendMessages", lambda v: sends(group_ids=[v]), "requests[1].group_ids[0]"),
    ("RemoveAgent", lambda v: m.RemoveAgentRequest(agent_id=v), "agent_id"),
    ("PutGroup", lambda v: m.PutGroupRequest(group=m.Group(group_id=v)), "group.group_id"),
    ("PutGroup", lambda v: put_group(agent_ids=["bob", v]), "group.agent_ids[1]"),
    ("GetGroup", lambda v: m.GetGroupRequest(group_id=v), "group_id"),
    ("DeleteGroup", lambda v: m.DeleteGroupRequest(group_id=v), "group_id"),
)
OPTIONAL_IDS: tuple[tuple[str, Callable[[str], Message], str], ...] = (
    ("UpdateAgent", lambda v: update_agent("kind", agent_id=v), "agent.agent_id"),
    ("ListGroups", lambda v: m.ListGroupsRequest(agent_id=v), "agent_id"),
)
LABELLED: tuple[tuple[str, Callable[..., Message], str], ...] = (
    ("UpdateAgent", partial(update_agent, "labels"), "agent.labels"),
    ("PutGroup", put_group, "group.labels"),
    ("ListGroups", m.ListGroupsRequest, "labels"),
)


def directory() -> Iterator[Row]:
    for method, make, field in (*IDS, *OPTIONAL_IDS):
        yield from ((method, make(value), field) for value in BAD_IDS)
    yield from ((method, make(""), field) for method, make, field in IDS)
    for method, make, field in LABELLED:
        yield method, make(labels={str(n): "" for n in range(17)}), field
        yield method, make(labels={"": "v"}), f"{field}[*]"
        yield method, make(labels={"k": "v" * 257}), f'{field}["k"]'
    yield from _values()
    yield from _counts()


def _values() -> Iterator[Row]:
    wrong: Any = 99
    yield "RegisterAgent", m.RegisterAgentRequest(kind=wrong), "kind"
    yield "UpdateAgent", update_agent("kind", kind=wrong), "agent.kind"
    yield "UpdateAgent", m.UpdateAgentRequest(agent=m.Agent(agent_id="bob")), "update_mask"
    for path in ("agent_id", "etag", "labels.key", "*", "", "Kind", "\0"):
        yield "UpdateAgent", update_agent("kind", path), "update_mask"
    for text in ("x" * 257, "\0"):
        yield "PutGroup", put_group(display_name=text), "group.display_name"
        named = update_agent("display_name", display_name=text)
        yield "UpdateAgent", named, "agent.display_name"
    for token in ("x", "!!!", "WyJhIl0"):
        yield "ListGroups", m.ListGroupsRequest(page_token=token), "page_token"
    yield "ListGroups", m.ListGroupsRequest(page_size=-1), "page_size"


def _counts() -> Iterator[Row]:
    for count in (1_001, 10_000):
        yield "PutGroup", put_group(agent_ids=["bob"] * count), "group.agent_ids"
    yield "SendMessage", send(group_ids=["crew"] * 21), "group_ids"
    many = [send(group_ids=[f"crew {at}" for at in range(k, k + 20)]) for k in range(0, 101, 20)]
    yield "BatchSendMessages", m.BatchSendMessagesRequest(requests=many), "requests"
