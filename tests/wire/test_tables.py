"""Tables of the code against the contract: statuses of errors, names and numbers of enums."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import IntEnum
from types import ModuleType
from typing import Any

import pytest

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server import streams
from dovetail.server.edge import paging
from dovetail.server.edge.statuses import STATUS_CODES
from dovetail.server.errors import DovetailError
from dovetail.server.store.search.index import DocumentKind
from dovetail.server.store.tables import (
    agents,
    attempts,
    credentials,
    deliveries,
    delivery_states,
    events,
    message_bytes,
    message_search,
    task_pages,
    task_search,
    tasks,
)
from dovetail.server.tasks import attachments, requests
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1 import types_pb2

MODULES: tuple[ModuleType, ...] = (
    agents,
    attempts,
    credentials,
    deliveries,
    delivery_states,
    events,
    message_bytes,
    message_search,
    task_search,
    tasks,
    requests,
    attachments,
    paging,
    streams,
)

ENUMS: list[tuple[type[IntEnum], Any]] = [
    (credentials.Role, a.Role),
    (agents.AgentKind, m.AgentKind),
    (message_bytes.Importance, m.Importance),
    (message_bytes.MessageKind, m.MessageKind),
    (message_bytes.MailEvent, m.MailEvent),
    (events.TaskVerb, types_pb2.TaskVerb),
    (delivery_states.DeliveryState, types_pb2.DeliveryState),
    (message_search.MessageField, m.MessageField),
    (task_search.TaskField, t.TaskField),
    (attachments.AttachmentPlace, t.AttachmentPlace),
    (tasks.TaskState, t.TaskState),
    (task_pages.TaskOrder, t.TaskOrder),
    (attempts.AttemptEnd, t.AttemptEnd),
    (requests.Notify, t.Notify),
    (paging.Order, types_pb2.Order),
    (streams.StartPosition, m.StartPosition),
    (streams.StartPosition, t.StartPosition),
    (streams.Mark, m.StreamMark),
    (streams.Mark, t.StreamMark),
]


def kinds_of(error: type[DovetailError]) -> Iterator[type[DovetailError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def snake(name: str) -> str:
    return (
        "".join(f"_{letter}" if letter.isupper() else letter for letter in name).upper().strip("_")
    )


def test_every_error_has_a_status_of_its_own() -> None:
    assert set(STATUS_CODES) == set(kinds_of(DovetailError))
    assert len(set(STATUS_CODES.values())) == len(STATUS_CODES)


@pytest.mark.parametrize("error", STATUS_CODES)
def test_an_error_is_named_for_its_status(error: type[DovetailError]) -> None:
    assert snake(error.__name__.removesuffix("Error")) == STATUS_CODES[error].name


@pytest.mark.parametrize(
    ("ours", "contract"), ENUMS, ids=[each.DESCRIPTOR.full_name for _, each in ENUMS]
)
def test_an_enum_has_the_names_and_numbers_of_the_contract(
    ours: type[IntEnum], contract: Any
) -> None:
    prefix = snake(contract.DESCRIPTOR.name)
    expected = {name.removeprefix(f"{prefix}_"): number for name, number in contract.items()}
    assert expected.pop("UNSPECIFIED") == 0
    assert {member.name: member.value for member in ours if member.value} == expected


def test_no_enum_is_left_out_here() -> None:
    found = {
        kind
        for module in MODULES
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, IntEnum) and kind is not IntEnum
    }
    # What is searched has no enum of the contract: it is said by which RPC is called.
    assert found - {DocumentKind} == {ours for ours, _ in ENUMS}


def test_every_enum_of_the_contract_is_compared() -> None:
    named = {
        enum.full_name
        for file in (m.DESCRIPTOR, t.DESCRIPTOR, a.DESCRIPTOR)
        for enum in file.enum_types_by_name.values()
    }
    compared = {contract.DESCRIPTOR.full_name for _, contract in ENUMS}
    assert named - compared == {"dovetail.tasks.v1.ReportBasis"}
