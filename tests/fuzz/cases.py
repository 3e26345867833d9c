"""The calls of the fuzzer: what is asked, by whom, in which way."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from dovetail.admin.v1 import admin_pb2
from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.edge.intake import REQUEST_BYTES_MAX
from dovetail.tasks.v1 import tasks_pb2
from fuzz.grower import Soil, grow
from fuzz.pool import KnownTask, Page, Pool
from fuzz.values import AGENTS, ODD_TEXTS
from support.pair import Metadata
from wire.bad_admin_fields import administration
from wire.bad_fields import TABLES
from wire.filled import PLACES, filled

SERVED = {
    "messaging": (messaging_pb2, admin_pb2),
    "tasks": (tasks_pb2, admin_pb2),
}
"""The services of each server."""

ADMIN = "AdminService"
SELDOM = ("DeleteTask", "RevokeCredential", "CancelTask", "CreateTeam")
OFTEN = (
    "SendMessage",
    "CreateTask",
    "ClaimTask",
    "StartTask",
    "RequestTaskInput",
    "ProvideTaskInput",
)
"""What makes that of which other calls speak."""

ODDNESS = (0.0, 0.0, 0.0, 0.02, 0.1, 0.5)
"""Shares of odd values: most requests reach far, some are wild."""

RECENT = 200
CROWD = 300
"""Tasks that wait for one: more than are told in one commit."""

SHOWN_BYTES = 200
MOMENTS = (0.0, 0.001, 0.005, 0.02, 0.1)
SIZES = (
    *(REQUEST_BYTES_MAX - 1, REQUEST_BYTES_MAX, REQUEST_BYTES_MAX + 1),
    REQUEST_BYTES_MAX + 3 * 1024 * 1024,
)


@dataclass(frozen=True, kw_only=True)
class Persona:
    """Who calls: the metadata that says so, and what the servers make of it."""

    metadata: Metadata
    team_id: str
    agent_id: str = ""
    is_admin: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call. `leaves_after` and `timeout` are seconds, after which its caller gives up."""

    server: str
    method: MethodDescriptor
    payload: bytes
    persona: Persona
    metadata: Metadata
    timeout: float | None = None
    leaves_after: float | None = None
    compressed: bool = False

    @property
    def path(self) -> str:
        """Where it is called."""
        return _path(self.method)

    @property
    def waits(self) -> bool:
        """Whether the server may take its time, as the request has it."""
        names = self.method.input_type.fields_by_name
        return self.method.server_streaming or "max_wait" in names

    def line(self, shown_bytes: int = SHOWN_BYTES) -> str:
        """All that somebody needs to make this call again."""
        payload = self.payload[:shown_bytes].hex()
        more = "…" if len(self.payload) > shown_bytes else ""
        return (
            f"{self.path} timeout={self.timeout} compressed={self.compressed}"
            f" leaves_after={self.leaves_after} metadata={str(self.metadata)[:SHOWN_BYTES]}"
            f" payload[{len(self.payload)}]={payload}{more}"
        )


class Maker:
    """Makes calls by chance, from what was learnt; `personas` may grow as tokens are made."""

    def __init__(self, random: Random, pool: Pool, personas: Sequence[Persona]) -> None:
        self._random = random
        self._pool = pool
        self._personas = personas
        self._secret = re.compile(b"|".join(_as_field(each) for each in pool.protected))
        self._recent: deque[Case] = deque(maxlen=RECENT)
        self._preferred: list[tuple[str, MethodDescriptor]] = []
        self._methods = [
            (server, method)
            for server, modules in SERVED.items()
            for module in modules
            for service in module.DESCRIPTOR.services_by_name.values()
            for method in service.methods
            for _ in range(_weight(method))
        ]
        self._rows = [row for table in (*TABLES.values(), administration) for row in table()]

    def case(self) -> Case:
        """The next call."""
        roll = self._random.random()
        if roll < 0.04 and self._recent:
            return self._random.choice(self._recent)
        server, method = self._method()
        persona = self._persona(method)
        page = self._page(method) if roll < 0.3 else None
        if page:
            payload = page.request.SerializeToString()
        elif roll < 0.06:
            method, payload = self._bad(method)
        elif roll < 0.063:
            method, payload = self._full(method)
        elif roll < 0.065:
            server, method, payload = self._crowd(persona)
        else:
            task = self._pool.draw_task(self._random, persona.team_id)
            persona = self._holder(method, persona, task)
            payload = self._grown(method, persona, task)
        case = Case(
            server=server,
            method=method,
            payload=self._bent(method, payload),
            persona=persona,
            metadata=persona.metadata,
        )
        case = self._in_a_way(case)
        self._recent.append(case)
        return case

    def prefer(self, paths: Collection[str]) -> None:
        """Choose these methods for half of all calls."""
        self._preferred = [each for each in self._methods if _path(each[1]) in paths]

    def _method(self) -> tuple[str, MethodDescriptor]:
        if self._preferred and self._random.random() < 0.5:
            return self._random.choice(self._preferred)
        return self._random.choice(self._methods)

    def _persona(self, method: MethodDescriptor) -> Persona:
        """Somebody; mostly one whose role may call this."""
        asks_admin = _service(method) == ADMIN
        fitting = [each for each in self._personas if each.is_admin == asks_admin]
        anybody = not fitting or self._random.random() < 0.03
        return self._random.choice(self._personas if anybody else fitting)

    def _holder(
        self, method: MethodDescriptor, persona: Persona, task: KnownTask | None
    ) -> Persona:
        """The assignee of a task where only that one gets far."""
        if not task or "task_id" not in method.input_type.fields_by_name:
            return persona
        holders = [
            each
            for each in self._personas
            if (each.team_id, each.agent_id) == (persona.team_id, task.assignee_id)
        ]
        return self._random.choice(holders) if holders and self._random.random() < 0.7 else persona

    def _page(self, method: MethodDescriptor) -> Page | None:
        """Where a listing of this method goes on."""
        name = f"/{_service(method, full=True)}/{method.name}"
        pages = [page for page in self._pool.pages if page.path == name]
        return self._random.choice(pages) if pages else None

    def _bad(self, method: MethodDescriptor) -> tuple[MethodDescriptor, bytes]:
        """A request of the table of bad fields."""
        name, request, _ = self._random.choice(self._rows)
        service: Any = method.containing_service
        found = service.methods_by_name.get(name)
        return (found, request.SerializeToString()) if found else (method, b"")

    def _full(self, method: MethodDescriptor) -> tuple[MethodDescriptor, bytes]:
        """A request in which one list or map is as full as can be."""
        service: Any = method.containing_service
        places = [each for each in PLACES if each[0].startswith(f"/{service.full_name}/")]
        if not places:
            return method, b""
        path, place = self._random.choice(places)
        return service.methods_by_name[path.rpartition("/")[2]], filled(place)

    def _crowd(self, persona: Persona) -> tuple[str, MethodDescriptor, bytes]:
        """Very many tasks that wait for one: its end is told in more than one step."""
        task = self._pool.draw_task(self._random, persona.team_id)
        waiting = tasks_pb2.CreateTaskRequest(
            title="waits", depends_on=[task.task_id] if task else [], assignee_id=AGENTS[0]
        )
        request = tasks_pb2.BatchCreateTasksRequest(requests=[waiting] * CROWD)
        service = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"]
        return "tasks", service.methods_by_name["BatchCreateTasks"], request.SerializeToString()

    def _grown(self, method: MethodDescriptor, persona: Persona, task: KnownTask | None) -> bytes:
        soil = Soil(
            rng=self._random,
            pool=self._pool,
            team_id=persona.team_id,
            agent_id=persona.agent_id,
            task=task if self._random.random() < 0.9 else None,
            oddness=self._random.choice(ODDNESS),
        )
        request = grow(soil, method.input_type)
        if "page_token" in method.input_type.fields_by_name and not soil.odd():
            request.page_token = ""
        return request.SerializeToString()

    def _bent(self, method: MethodDescriptor, payload: bytes) -> bytes:
        """The payload, now and then changed somewhere, or made large; never with a secret."""
        roll = self._random.random()
        if roll < 0.06:
            payload = mutated(self._random, payload)
        elif roll < 0.063:
            payload = _large(self._random, method, payload)
        return b"" if self._secret.search(payload) else payload

    def _in_a_way(self, case: Case) -> Case:
        """The case with a deadline, a caller who leaves, compressed, or by somebody odd."""
        random, roll = self._random, self._random.random()
        if roll < 0.03:
            return replace(case, timeout=random.choice(MOMENTS))
        if roll < 0.07:
            return replace(case, leaves_after=random.choice(MOMENTS))
        if roll < 0.08:
            return replace(case, compressed=True)
        if roll < 0.12:
            return replace(case, metadata=self._odd_metadata(case.metadata))
        return case

    def _odd_metadata(self, own: Metadata) -> Metadata:
        random = self._random
        odd = random.choice(ODD_TEXTS)[:2_000].encode()
        other = random.choice(self._personas).metadata
        return random.choice(
            (
                (),
                (*own, *other),
                (("authorization", "Bearer dovetail_nobody"),),
                (("authorization", f"Bearer dovetail_{'x' * 43}"),),
                (("authorization", "Basic YTpi"),),
                (*own, ("authorization", "Bearer ")),
                (("dovetail-agent-bin", odd), ("dovetail-team-bin", odd)),
                (*own, ("dovetail-agent-bin", b"\xff\xfe")),
                (*own, ("dovetail-team", "another")),
                (*own, ("x-request-id", "!" * random.choice((64, 65, 2_000)))),
                (*own, ("grpc-previous-rpc-attempts", "3")),
                (*own, *((f"key-{number}", "x" * 90) for number in range(30))),
                (*own, ("long", "x" * random.choice((4_000, 8_100, 12_000, 20_000)))),
            )
        )


def _as_field(text: str) -> bytes:
    """How a text stands in a message, for a search."""
    return re.escape(bytes((len(text),)) + text.encode())


def _weight(method: MethodDescriptor) -> int:
    """How often a method is called. What ends something is called seldom, or nothing lives."""
    if method.name in SELDOM or _service(method) == ADMIN:
        return 1
    return 8 if method.name in OFTEN else 4


def _path(method: MethodDescriptor) -> str:
    return f"/{_service(method, full=True)}/{method.name}"


def _service(method: MethodDescriptor, full: bool = False) -> str:
    service: Any = method.containing_service
    return service.full_name if full else service.name


def _large(random: Random, method: MethodDescriptor, payload: bytes) -> bytes:
    """A request as large as is read, or larger, of one field that the contract does not know."""
    padding = random.choice(SIZES) - len(payload)
    return payload + b"\xfa\xff\xff\x7f" + _varint(padding - 8) + b"x" * (padding - 8)


def _varint(number: int) -> bytes:
    return bytes((number >> shift & 127) | (128 if shift < 21 else 0) for shift in (0, 7, 14, 21))


def mutated(random: Random, payload: bytes) -> bytes:
    """Bytes that were a message, somewhere changed."""
    at = random.randint(0, len(payload))
    return random.choice(
        (
            lambda: payload[:at],
            lambda: payload[at:],
            lambda: payload[:at] + random.randbytes(random.randint(1, 8)) + payload[at:],
            lambda: payload[:at] + payload[at:][:8] * random.choice((2, 1_000)) + payload[at:],
            lambda: payload[:at] + bytes((random.randint(0, 255),)) + payload[at + 1 :],
            lambda: payload + payload,
            lambda: b"\xff" * 10 + payload,
            lambda: payload.replace(b"\x0a", b"\x12"),
        )
    )()


def continued(request_class: type[Any], payload: bytes, token: str) -> Any:
    """A request for the page after the one that these bytes asked for."""
    request = request_class.FromString(payload)
    request.page_token = token
    return request


def request_class(method: MethodDescriptor) -> Any:
    """The class of a method's requests."""
    return GetMessageClass(method.input_type)


def response_class(method: MethodDescriptor) -> Any:
    """The class of a method's answers."""
    return GetMessageClass(method.output_type)
