"""Rights, cell by cell over the wire: what the table says is what the servers do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.access.rights import RIGHTS, Reach
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.tasks.states import LEASE_VERBS
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1 import types_pb2
from security.cells import (
    LEFT_OUT,
    NO_MESSAGE,
    NOT_YOURS,
    OK,
    OWNERS,
    ROLE_REFUSED,
    SERVERS,
    Cell,
    Outcome,
    World,
    cells,
    outcome,
    telling,
)
from security.cells_scenes import STAGES
from support.guarded import Guarded
from support.pair import Pair
from support.refusals import error_info, failure
from support.tables import COMPLETED, IN_PROGRESS, request
from wire.reflected import methods

REQUIRED: Outcome = ("UNAUTHENTICATED", "CREDENTIAL_REQUIRED")
LEASE_LOST: Outcome = ("ABORTED", "LEASE_LOST")
TOKEN_REQUIRED: Outcome = ("FAILED_PRECONDITION", "LEASE_TOKEN_REQUIRED")

on_sqlite = pytest.mark.parametrize("shared_url", ["sqlite"], indirect=True)


def rpc_of(cells: Sequence[Cell]) -> str:
    """What the cells of one RPC are called among tests."""
    return f"{cells[0].server}-{cells[0].rpc}"


def by_rpc(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells in a list for each RPC at each server."""
    return [[*group] for _, group in groupby(cells, key=lambda cell: (cell.server, cell.path))]


async def test_every_rpc_has_a_row_and_every_row_an_rpc(shared: Guarded) -> None:
    served: set[str] = set()
    for server, services in SERVERS.items():
        found = await methods(getattr(shared.pair, f"{server}_channel"))
        assert {path.split("/")[1] for path, _ in found} == set(services)
        served.update(path for path, _ in found)
    assert served == set(RIGHTS)
    assert {path.rpartition("/")[2] for path in served} == set(STAGES)


async def check(shared: Guarded, cell: Cell) -> None:
    """The server does what the cell says: what is refused changes nothing, what is allowed acts."""
    world = await World.make(shared)
    caller = await world.in_role(cell.role)
    scene = await STAGES[cell.rpc](world, OWNERS[cell.whose])
    before = await world.everything(all_teams=cell.of_admins)
    found, answer = await outcome(world.call(cell.server, cell.path, scene.request, caller))
    after = await world.everything(all_teams=cell.of_admins)
    if cell.answer == LEFT_OUT:
        assert found == OK, cell
        assert scene.shows not in str(answer), cell
    else:
        assert found == cell.answer, cell
        assert (scene.shows in str(answer)) or found != OK, cell
    assert (after != before) == (scene.acts and found == OK), cell


async def check_refused(shared: Guarded, refused: Sequence[Cell]) -> None:
    """The server refuses them all for their roles, one after the other, and nothing changes."""
    world = await World.make(shared)
    callers = {cell.role: await world.in_role(cell.role) for cell in refused}
    scenes = {cell.whose: await STAGES[cell.rpc](world, OWNERS[cell.whose]) for cell in refused[:2]}
    before = await world.everything(all_teams=True)
    for cell in refused:
        request, caller = scenes[cell.whose].request, callers[cell.role]
        found, _ = await outcome(world.call(cell.server, cell.path, request, caller))
        assert found == ROLE_REFUSED, cell
    assert await world.everything(all_teams=True) == before


async def check_all(shared: Guarded, asked: Sequence[Cell]) -> None:
    """All cells of one RPC: each of those that reach the store in a team of its own."""
    refused = [cell for cell in asked if cell.answer == ROLE_REFUSED]
    if refused:
        await check_refused(shared, refused)
    reaching = [check(shared, cell) for cell in asked if cell.answer != ROLE_REFUSED]
    if asked[0].of_admins:  # They see what the others do.
        for each in reaching:
            await each
    else:
        await asyncio.gather(*reaching)


@on_sqlite
@pytest.mark.parametrize("asked", by_rpc(cells()), ids=rpc_of)
async def test_the_cells_of_an_rpc_hold_over_the_wire(
    shared: Guarded, asked: Sequence[Cell]
) -> None:
    await check_all(shared, asked)


@pytest.mark.parametrize("shared_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("asked", by_rpc(telling()), ids=rpc_of)
async def test_what_a_store_has_a_say_in_holds_on_postgresql_too(
    shared: Guarded, asked: Sequence[Cell]
) -> None:
    await check_all(shared, asked)


@on_sqlite
@pytest.mark.parametrize("server", SERVERS)
async def test_without_a_token_no_rpc_answers(shared: Guarded, server: str) -> None:
    world = await World.make(shared)
    calls: dict[str, Message] = {}
    for path in (each for each in RIGHTS if each.split("/")[1] in SERVERS[server]):
        scene = await STAGES[path.rpartition("/")[2]](world, "alice")
        calls[path] = scene.request
    before = await world.everything(all_teams=True)
    for path, asked in calls.items():
        found, _ = await outcome(world.call(server, path, asked, ()))
        assert found == REQUIRED, path
    assert await world.everything(all_teams=True) == before


async def test_where_no_token_is_asked_for_nobody_is_an_admin(pair: Pair) -> None:
    for channel in (pair.messaging_channel, pair.tasks_channel):
        paths = [path for path, _ in await methods(channel) if ".AdminService/" in path]
        assert len(paths) == 8
        for path in (each for each in paths if RIGHTS[each].operator is Reach.NONE):
            call: Any = channel.unary_unary(path, bytes, bytes)
            error = await failure(call(b""))
            assert (error.code().name, error_info(error).reason) == ROLE_REFUSED
            assert "--credentials" in str(error.details())


@pytest.mark.parametrize("verb", sorted(LEASE_VERBS))
async def test_the_token_of_a_lease_gives_a_stranger_nothing(
    shared: Guarded, verb: TaskVerb
) -> None:
    world = await World.make(shared)
    alice, bob = world.agents["alice"], world.agents["bob"]
    task_id, other_id = [await world.task("carol", "bob") for _ in range(2)]
    token, other_token = await bob.held(task_id), await bob.held(other_id)
    before = await world.everything()
    for sent, answer in ((token, NOT_YOURS), (other_token, LEASE_LOST), ("", TOKEN_REQUIRED)):
        found, _ = await outcome(alice.do(verb.words, task_id, lease_token=sent))
        assert found == answer
    assert await world.everything() == before
    assert (await outcome(bob.do(verb.words, task_id, lease_token=token)))[0] == OK


async def test_of_many_completions_anothers_alone_is_refused(shared: Guarded) -> None:
    world = await World.make(shared)
    mine, others, made = [
        await world.task(creator, assignee, "IN_PROGRESS")
        for creator, assignee in (("carol", "alice"), ("carol", "bob"), ("alice", "bob"))
    ]
    asked = [request("complete", task_id) for task_id in (mine, others, made)]
    answer = await world.agents["alice"].call(t.BatchCompleteTasksRequest(requests=asked))
    assert [each.refusal.reason for each in answer.outcomes] == ["", "NOT_YOURS", ""]
    refusal = answer.outcomes[1].refusal
    assert refusal.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    states = [(await world.boss.get(task_id)).state for task_id in (mine, others, made)]
    assert states == [COMPLETED, IN_PROGRESS, COMPLETED]


async def test_a_task_without_a_creator_is_no_agents_own(shared: Guarded) -> None:
    world = await World.make(shared)
    await world.boss.create(task_id="work", title="work of nobody")
    found, _ = await outcome(world.agents["alice"].do("cancel", "work"))
    assert found == NOT_YOURS


async def test_a_deleted_task_of_anothers_is_still_not_yours_to_delete(shared: Guarded) -> None:
    world = await World.make(shared)
    task_id = await world.task("bob")
    await world.agents["bob"].do("delete", task_id)
    found, _ = await outcome(world.agents["alice"].do("delete", task_id))
    assert found == NOT_YOURS


async def test_an_agent_may_write_to_anybody_and_complete_what_it_created(shared: Guarded) -> None:
    world = await World.make(shared)
    assert await world.send("alice", "bob", "hello")
    task_id = await world.task("alice", "bob", "IN_PROGRESS")
    await world.agents["alice"].do("complete", task_id)


@pytest.mark.parametrize("agent_id", ["bob", "nobody"])
async def test_whether_another_agent_is_there_its_inbox_does_not_tell(
    shared: Guarded, agent_id: str
) -> None:
    world = await World.make(shared)
    alice = world.agents["alice"]
    calls: list[Any] = [
        alice.backlog(agent_id=agent_id),
        alice.call(m.ReceiveMessagesRequest(agent_id=agent_id)),
        alice.acknowledge(agent_id=agent_id, through_sequence=9),
        alice.list_messages(recipient_id=agent_id),
    ]
    for call in calls:
        found, error = await outcome(call)
        assert found == NOT_YOURS
        assert error.details().startswith(f"the inbox of '{agent_id}' does not belong to 'alice'")


async def test_anothers_message_is_answered_as_one_that_never_was(shared: Guarded) -> None:
    world = await World.make(shared)
    alice = world.agents["alice"]
    secret = await world.send("bob", "carol", "a secret")
    told: set[str] = set()
    for message_id in (secret, "m999"):
        calls: list[Any] = [
            alice.read(message_id),
            alice.send("bob", in_reply_to=message_id, thread_id="x"),
        ]
        for call in calls:
            found, error = await outcome(call)
            assert found == NO_MESSAGE
            told.add(error.details().replace(message_id, "ID"))
    assert len(told) == 2


async def test_a_recipient_cannot_withdraw_what_it_got_and_an_operator_can(
    shared: Guarded,
) -> None:
    world = await World.make(shared)
    request = m.WithdrawMessageRequest(message_id=await world.send("bob", "carol", "a secret"))
    assert (await outcome(world.agents["carol"].call(request)))[0] == NOT_YOURS
    assert (await world.boss.call(request)).withdrawn_count == 1


def seen(record: m.MessageRecord) -> list[tuple[str, int]]:
    """What a record tells of recipients."""
    return [(receipt.recipient_id, receipt.state) for receipt in record.receipts]


async def test_a_recipient_sees_its_own_receipt_alone_and_the_sender_all(shared: Guarded) -> None:
    world = await World.make(shared)
    sent = await world.agents["alice"].send("bob", "carol")
    await world.agents["carol"].acknowledge(through_sequence=1)
    bob = ("bob", types_pb2.DELIVERY_STATE_UNACKNOWLEDGED)
    carol = ("carol", types_pb2.DELIVERY_STATE_ACKNOWLEDGED)
    for caller, receipts in (
        (world.agents["alice"], [bob, carol]),
        (world.agents["bob"], [bob]),
        (world.agents["carol"], [carol]),
        (world.boss, [bob, carol]),
    ):
        assert seen(await caller.read(sent.message_id)) == receipts
        listed = await caller.list_messages()
        assert [seen(record) for record in listed.records] == [receipts]


async def test_a_filter_by_state_tells_a_recipient_of_its_own_deliveries_alone(
    shared: Guarded,
) -> None:
    world = await World.make(shared)
    await world.agents["alice"].send("bob", "carol")
    await world.agents["carol"].acknowledge(through_sequence=1)
    found = {
        (name, state): len((await caller.list_messages(states=[state])).records)
        for name, caller in (*world.agents.items(), ("boss", world.boss))
        for state in (
            types_pb2.DELIVERY_STATE_UNACKNOWLEDGED,
            types_pb2.DELIVERY_STATE_ACKNOWLEDGED,
        )
    }
    hidden = {
        ("bob", types_pb2.DELIVERY_STATE_ACKNOWLEDGED): 0,
        ("carol", types_pb2.DELIVERY_STATE_UNACKNOWLEDGED): 0,
    }
    assert found == {**dict.fromkeys(found, 1), **hidden}


async def test_an_agent_marks_nobody_as_a_person_and_an_operator_does(shared: Guarded) -> None:
    world = await World.make(shared)
    alice = world.agents["alice"]
    person, model = m.AGENT_KIND_PERSON, m.AGENT_KIND_MODEL
    mask = FieldMask(paths=["kind"])

    def update(agent_id: str, kind: m.AgentKind.ValueType) -> m.UpdateAgentRequest:
        return m.UpdateAgentRequest(agent=m.Agent(agent_id=agent_id, kind=kind), update_mask=mask)

    for call in (alice.register(kind=person), alice.call(update("alice", person))):
        assert (await outcome(call))[0] == ROLE_REFUSED
    assert (await outcome(alice.call(update("alice", model))))[0] == OK
    assert (await outcome(world.boss.call(update("alice", person))))[0] == OK
    # What it is already it may say again, and it may take it back.
    for kind in (person, model):
        assert (await outcome(alice.call(update("alice", kind))))[0] == OK


async def test_the_token_of_a_removed_agent_stays_good_and_its_next_write_registers_it(
    shared: Guarded,
) -> None:
    world = await World.make(shared)
    alice, bob = world.agents["alice"], world.agents["bob"]
    await bob.send("alice", body="kept")
    await world.boss.call(m.RemoveAgentRequest(agent_id="alice"))
    unknown: Outcome = ("NOT_FOUND", "AGENT_NOT_FOUND")
    assert (await outcome(alice.backlog()))[0] == unknown
    assert (await outcome(alice.claim()))[0] == OK
    await alice.send("bob", body="back")
    assert [each.message.body for each in await alice.backlog()] == ["kept"]
