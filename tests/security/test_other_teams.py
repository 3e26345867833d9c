"""Other teams do not exist: whatever of theirs a call names, it is answered as what never was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.protobuf.symbol_database import Default

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.access.rights import RIGHTS
from dovetail.tasks.v1 import tasks_pb2 as t
from security.cells import OK, SERVERS, World, outcome
from security.cells_scenes import STAGES
from support.guarded import Guarded
from support.refusals import bad_fields, error_info
from support.tables import CANCELLED, COMPLETED
from wire.reflected import methods

BLUE = "azure"
"""All that the blue team has is called so, and nothing that the red team has."""

# Fields of requests that name something, and what they name.
KINDS = {
    "agent_id": "agent",
    "recipient_id": "agent",
    "recipient_ids": "agent",
    "agent_ids": "agent",
    "group_id": "group",
    "group_ids": "group",
    "sender_ids": "agent",
    "assignee_id": "agent",
    "assignee_ids": "agent",
    "creator_id": "agent",
    "creator_ids": "agent",
    "task_id": "task",
    "depends_on": "task",
    "parent_task_id": "task",
    "linked_task_id": "task",
    "actor_ids": "agent",
    "lease_token": "lease",
    "message_id": "message",
    "in_reply_to": "message",
    "thread_id": "thread",
    "request_id": "request",
    "page_token": "page",
    "credential_id": "credential",
    "team_id": "team",
}
# Fields that hold words: they name nothing.
WORDS = {
    *("display_name", "subject", "body", "title", "description", "reason", "cancel_reason"),
    *("summary", "message", "text", "note", "etag", "task_etag", "kind", "model", "amount"),
    *("currency", "query", "name", "media_type", "url", "option", "default_answer"),
}
NEVER = {
    "agent": "ochre agent",
    "task": "ochre task",
    "group": "ochre group",
    "lease": "ochre lease",
    "message": "m9999",
    "thread": "ochre thread",
    "request": "ochre request",
    "page": "WyI5IiwgIjAiXQ",
    "credential": "c999999",
    "team": "ochre team",
}
"""What never was, of each kind."""

# How a field is answered that must name what is there, at the end of its path.
MISSED = {
    "depends_on": "TASK_NOT_FOUND",
    "parent_task_id": "TASK_NOT_FOUND",
    "links.task_id": "TASK_NOT_FOUND",
    "lease_token": "LEASE_LOST",
}
# Fields of the same names that choose.
FREE = {"filter.parent_task_id", "filter.actor_ids"}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A field of a request, by which a red caller tries to reach blue."""

    path: str
    field: str

    @property
    def rpc(self) -> str:
        """The name of the RPC."""
        return self.path.rpartition("/")[2]

    @property
    def kind(self) -> str:
        """What the field names."""
        return KINDS[self.field.rpartition(".")[2]]

    @property
    def needs_new_team(self) -> bool:
        """Whether things of former calls stand in the way: names that are taken, other pages."""
        return self.kind == "page" or self.rpc in ("CreateTask", "BatchCreateTasks")

    @property
    def reason(self) -> str:
        """Why what is not there is refused; empty where it depends on the call."""
        missed = [
            reason for name, reason in MISSED.items() if f".{self.field}".endswith(f".{name}")
        ]
        return "" if self.field in FREE else "".join(missed)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """All fields of an RPC, at a server, by a role of the red team."""

    server: str
    path: str
    role: str

    @property
    def probes(self) -> list[Probe]:
        """One for each field that names something."""
        return [Probe(path=self.path, field=field) for field in names(request_of(self.path))]

    @property
    def reaches(self) -> bool:
        """Whether the store is asked, by one who reaches all that is in a team."""
        return self.role == "operator" and "Admin" not in self.path

    def __str__(self) -> str:
        """What it is called among tests."""
        return f"{self.server}-{self.path.rpartition('/')[2]}-{self.role}"


def request_of(path: str) -> Descriptor:
    """What a method is asked with."""
    _, service, rpc = path.split("/")
    pool = cast(Any, Default()).pool
    return pool.FindServiceByName(service).methods_by_name[rpc].input_type


def names(request: Descriptor) -> Iterator[str]:
    """The fields of a request that name something. A string that nobody knows is an error."""
    for field in request.fields:
        inner = field.message_type
        if inner is not None:
            if inner.full_name.startswith("dovetail.") and not inner.GetOptions().map_entry:
                yield from (f"{field.name}.{name}" for name in names(inner))
        elif field.type == FieldDescriptor.TYPE_STRING and field.name not in WORDS:
            assert field.name in KINDS, f"{field.full_name}: add it to KINDS or WORDS"
            yield field.name


def attempts() -> list[Attempt]:
    """Every RPC that has such a field, for those who belong to a team."""
    found = [
        Attempt(server=server, path=path, role=role)
        for server, services in SERVERS.items()
        for path in RIGHTS
        if path.split("/")[1] in services
        for role in ("agent", "operator")
    ]
    return [each for each in found if each.probes]


@dataclass(frozen=True, kw_only=True)
class Blue:
    """The other team, and what it has of each kind."""

    world: World
    things: dict[str, str]

    async def value(self, server: str, probe: Probe, request: Message) -> str:
        """Blue's thing for a field; a page token is one for the very same request."""
        if probe.kind != "page":
            return self.things[probe.kind]
        admin = self.world.guarded.admin
        metadata = admin if "Admin" in probe.path else self.world.boss.metadata
        page = await self.world.call(server, probe.path, request, metadata)
        assert page.next_page_token
        return page.next_page_token


@pytest.fixture(scope="module")
async def blue(shared: Guarded) -> Blue:
    """A team with agents, messages, tasks and credentials."""
    await shared.team(f"{BLUE} team")
    boss = await shared.caller("", f"{BLUE} team")
    made = await shared.made("agent", f"{BLUE} team", f"{BLUE} agent")
    alice, task_id = await shared.caller("alice", f"{BLUE} team"), f"{BLUE} task"
    world = World(guarded=shared, team_id=f"{BLUE} team", boss=boss, agents={"alice": alice})
    for number in range(30):
        await alice.send(
            "alice",
            f"{BLUE} agent",
            subject=BLUE,
            body=BLUE,
            thread_id=f"{BLUE} thread",
            request_id=f"{BLUE} request" if number == 0 else "",
        )
    for name in ("group", "other group"):
        group = m.Group(group_id=f"{BLUE} {name}", agent_ids=[f"{BLUE} agent"], display_name=BLUE)
        await alice.call(m.PutGroupRequest(group=group))
    await alice.made(title=BLUE, task_id=task_id, assignee_id=f"{BLUE} agent")
    await alice.made(title=BLUE, request_id=f"{BLUE} request", parent_task_id=task_id)
    await alice.made(title=BLUE, task_id=f"{BLUE} next", depends_on=[task_id])
    token = await alice.held((await alice.made(title=BLUE)).task_id)
    await alice.made(title=BLUE, task_id="t1")
    for verb in ("start", "release", "start", "release"):
        await alice.do(verb, "t1")
    things = {kind: f"{BLUE} {kind}" for kind in NEVER if kind != "page"}
    things |= {"message": "m30", "credential": made.credential.credential_id, "lease": token}
    return Blue(world=world, things=things)


async def asked(probe: Probe, red: World) -> Message:
    """A request about red's own things, which is answered well where the role allows it."""
    if probe.rpc == "SendMessage":
        return m.SendMessageRequest(recipient_ids=["bob"], body="hello")
    request: Any = (await STAGES[probe.rpc](red, "alice")).request
    if probe.kind == "page":
        request.page_size = 1
        if probe.rpc.startswith("Search"):
            request.query = BLUE
    updated = probe.field.removeprefix("task.").partition(".")[0]
    if probe.rpc == "UpdateTask" and updated in ("depends_on", "parent_task_id", "links"):
        request.update_mask.paths[:] = [updated]
    return request


def put(request: Message, field: str, value: str) -> Message:
    """The request with something else in a field."""
    changed = type(request)()
    changed.CopyFrom(request)
    *parents, name = field.split(".")
    target: Any = changed
    for parent in parents:
        target = getattr(target, parent)
        if isinstance(target, Sequence):
            target = target[0] if target else cast(Any, target).add(kind="relates_to")
    if isinstance(getattr(target, name), str):
        setattr(target, name, value)
    else:
        getattr(target, name)[:] = [value]
    return changed


def said(answer: Any, things: Sequence[str]) -> str:
    """All that an answer or an error says, without the named things, numbers, and new tokens."""
    if isinstance(answer, grpc.aio.AioRpcError):
        info = MessageToJson(error_info(answer), ensure_ascii=False)
        text = f"{answer.details()} {info} {bad_fields(answer)}"
    else:
        text = MessageToJson(answer, ensure_ascii=False)
        text = re.sub(r'"leaseToken": "[\w-]+"', '"leaseToken"', text)
    for thing in things:
        text = text.replace(thing, "THE THING")
    return re.sub(r"\d[\d.:TZ-]*", "0", text)


async def test_every_rpc_is_tried_with_every_field_that_names_something(shared: Guarded) -> None:
    served = {
        (path, field)
        for server in SERVERS
        for path, _ in await methods(getattr(shared.pair, f"{server}_channel"))
        for field in names(request_of(path))
    }
    tried = [probe for each in attempts() for probe in each.probes]
    assert served == {(probe.path, probe.field) for probe in tried}
    assert {probe.kind for probe in tried} == set(NEVER) == set(KINDS.values())


async def try_all(shared: Guarded, blue: Blue, attempt: Attempt, *, is_there: bool) -> Any:
    """What each field is answered that names a thing of blue, or what never was."""
    red = await World.make(shared)
    answers: dict[str, tuple[Any, str]] = {}
    things: list[str] = []
    for probe in attempt.probes:
        if probe.needs_new_team:
            red = await World.make(shared)
        request = await asked(probe, red)
        value = NEVER[probe.kind]
        if is_there:
            value = await blue.value(attempt.server, probe, request)
        things.append(value)
        caller = await red.in_role(attempt.role)
        call = red.call(attempt.server, probe.path, put(request, probe.field, value), caller)
        found, answer = await outcome(call)
        answers[probe.field] = found, said(answer, things)
        assert BLUE not in said(await red.boss.list_messages(), things)
    return answers


async def check(shared: Guarded, blue: Blue, attempt: Attempt) -> None:
    """Blue's things are answered as what never was, and nothing of them is told or changed."""
    before = await blue.world.everything()
    never = await try_all(shared, blue, attempt, is_there=False)
    theirs = await try_all(shared, blue, attempt, is_there=True)
    for probe in attempt.probes:
        found, text = theirs[probe.field]
        assert (found, text) == never[probe.field], probe
        assert BLUE not in text, probe
        assert probe.reason in text, probe
    assert await blue.world.everything() == before


@pytest.mark.parametrize("shared_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("attempt", attempts(), ids=str)
async def test_a_thing_of_another_team_is_answered_as_one_that_never_was(
    shared: Guarded, blue: Blue, attempt: Attempt
) -> None:
    await check(shared, blue, attempt)


@pytest.mark.parametrize("shared_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("attempt", [each for each in attempts() if each.reaches], ids=str)
async def test_on_postgresql_too_even_an_operator_reaches_nothing_of_another_team(
    shared: Guarded, blue: Blue, attempt: Attempt
) -> None:
    await check(shared, blue, attempt)


async def test_what_both_teams_name_alike_is_each_teams_own(shared: Guarded, blue: Blue) -> None:
    red = await World.make(shared)
    name = f"{BLUE} task"
    await red.agents["alice"].create(task_id=name, title="red work", request_id=f"{BLUE} request")
    assert (await red.boss.get(name)).title == "red work"
    await red.boss.do("delete", name)
    assert (await blue.world.boss.get(name)).title == BLUE


async def test_what_waits_for_a_task_or_is_part_of_it_is_of_its_own_team(
    shared: Guarded, blue: Blue
) -> None:
    before = await blue.world.everything()
    boss, name, waiting = (await World.make(shared)).boss, f"{BLUE} task", f"{BLUE} next"
    await boss.made(task_id=name)
    await boss.made(task_id=waiting, depends_on=[name])
    await boss.made(task_id="part", parent_task_id=name)
    await boss.do("cancel", name, cascade=True)
    assert (await boss.get("part")).state == CANCELLED
    await boss.do("reopen", name)
    await boss.bring(name, COMPLETED)
    assert (await boss.get(waiting)).waiting_for_count == 0
    assert await blue.world.everything() == before


@pytest.mark.parametrize("role", ["agent", "operator", "observer"])
async def test_who_says_to_be_of_another_team_learns_nothing(
    shared: Guarded, blue: Blue, role: str
) -> None:
    red = await World.make(shared)
    caller = await red.in_role(role)
    answers: set[tuple[Any, str]] = set()
    for team_id in (blue.world.team_id, NEVER["team"]):
        metadata = (*caller, ("dovetail-team", team_id))
        found, error = await outcome(
            shared.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=metadata)
        )
        answers.add((found, said(error, [team_id])))
    assert [found for found, _ in answers] == [("PERMISSION_DENIED", "CALLER_MISMATCH")]


async def test_lists_reports_and_streams_hold_what_is_of_the_own_team_alone(
    shared: Guarded, blue: Blue
) -> None:
    red = await World.make(shared)
    for path in (path for path in RIGHTS if "Admin" not in path):
        server = "messaging" if "Messaging" in path else "tasks"
        scene = await STAGES[path.rpartition("/")[2]](red, "alice")
        caller = await red.in_role("agent")
        found, answer = await outcome(red.call(server, path, scene.request, caller))
        assert found == OK, path
        assert BLUE not in str(answer), path
    assert blue.things
