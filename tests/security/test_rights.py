"""Rights, cell by cell over the wire: what the table says is what the servers do."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.rights import RIGHTS
from dovetail.server.store.records import TaskState
from dovetail.server.tasks.states import FORCED, PARTS, TRANSITIONS, Part, Verb
from dovetail.tasks.v1 import tasks_pb2 as t
from messaging.talk import refusal
from security.cells import (
    LEFT_OUT,
    NO_MESSAGE,
    NOT_YOURS,
    OK,
    OWNERS,
    ROLE_REFUSED,
    SERVERS,
    STAGES,
    Cell,
    Outcome,
    World,
    cells,
    outcome,
)
from support.guarded import Guarded
from support.pair import Pair, error_info
from tasks.work import request
from wire.reflected import methods

REQUIRED: Outcome = ("UNAUTHENTICATED", "CREDENTIAL_REQUIRED")


async def test_every_rpc_has_a_row_and_every_row_an_rpc(shared: Guarded) -> None:
    served: set[str] = set()
    for server, services in SERVERS.items():
        found = await methods(getattr(shared.pair, f"{server}_channel"))
        assert {path.split("/")[1] for path, _ in found} == set(services)
        served.update(path for path, _ in found)
    assert served == set(RIGHTS)
    assert {path.rpartition("/")[2] for path in served} == set(STAGES)


@pytest.mark.parametrize("cell", list(cells()), ids=str)
async def test_a_cell_of_the_table_holds_over_the_wire(shared: Guarded, cell: Cell) -> None:
    world = await World.make(shared)
    caller = await world.caller(cell.role)
    scene = await STAGES[cell.rpc](world, OWNERS[cell.whose])
    before = await world.everything()
    found, answer = await outcome(world.call(cell.server, cell.path, scene.request, caller))
    after = await world.everything()
    if cell.answer == LEFT_OUT:
        assert found == OK
        assert scene.shows not in str(answer)
    else:
        assert found == cell.answer
        assert (scene.shows in str(answer)) or found != OK
    assert (after != before) == (scene.acts and found == OK)


@pytest.mark.parametrize("server", SERVERS)
async def test_without_a_token_no_rpc_answers(shared: Guarded, server: str) -> None:
    world = await World.make(shared)
    for path in (each for each in RIGHTS if each.split("/")[1] in SERVERS[server]):
        scene = await STAGES[path.rpartition("/")[2]](world, "alice")
        before = await world.everything()
        found, _ = await outcome(world.call(server, path, scene.request, ()))
        assert found == REQUIRED, path
        assert await world.everything() == before


async def test_where_no_token_is_asked_for_nobody_is_an_admin(pair: Pair) -> None:
    for channel in (pair.messaging_channel, pair.tasks_channel):
        paths = [path for path, _ in await methods(channel) if ".AdminService/" in path]
        assert len(paths) == 6
        for path in paths:
            call: Any = channel.unary_unary(path, bytes, bytes)
            error = await refusal(call(b""))
            assert (error.code().name, error_info(error).reason) == ROLE_REFUSED
            assert "--credentials" in str(error.details())


STATES = [state.name for state in TaskState]
FIELDS: dict[Verb, dict[str, Any]] = {
    Verb.ASSIGN: {"assignee_id": "carol", "force": True},
    Verb.UNASSIGN: {"force": True},
}


def agent_with(part: Part | None) -> dict[str, str]:
    """Who creates a task and who is assigned to it, so that alice has this part alone."""
    return {
        "creator": "alice" if part is Part.CREATOR else "bob",
        "assignee": "alice" if part is Part.ASSIGNEE else "bob",
    }


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", PARTS)
async def test_a_task_is_an_agents_own_by_its_part_in_it(
    shared: Guarded, verb: Verb, state: str
) -> None:
    world = await World.make(shared)
    method, number = getattr(world.tasks, f"{verb.title()}Task"), TaskState[state]
    allowed = number in TRANSITIONS[verb] or number in FORCED.get(verb, {})
    for part in (*Part, None):
        task_id = await world.task(**agent_with(part), state=state)
        before = await world.everything()
        asked = request(verb.value, task_id, **FIELDS.get(verb, {}))
        found, _ = await outcome(method(asked, metadata=world.agents["alice"]))
        if part not in PARTS[verb][number]:
            assert found == NOT_YOURS, part
        else:
            assert found == (OK if allowed else ("FAILED_PRECONDITION", "TASK_STATE")), part
        assert (await world.everything() != before) == (found == OK)


@pytest.mark.parametrize(
    ("state", "part", "answer"),
    [
        ("PENDING", Part.CREATOR, OK),
        ("PENDING", Part.ASSIGNEE, NOT_YOURS),
        ("IN_PROGRESS", Part.CREATOR, NOT_YOURS),
        ("IN_PROGRESS", Part.ASSIGNEE, OK),
    ],
    ids=str,
)
async def test_a_task_is_given_up_by_its_creator_before_the_work_and_by_its_assignee_within(
    shared: Guarded, state: str, part: Part, answer: Outcome
) -> None:
    world = await World.make(shared)
    asked = request("fail", await world.task(**agent_with(part), state=state))
    found, _ = await outcome(world.tasks.FailTask(asked, metadata=world.agents["alice"]))
    assert found == answer


async def test_an_agent_cannot_start_what_is_assigned_to_another(shared: Guarded) -> None:
    world = await World.make(shared)
    asked = request("start", await world.task("alice", "bob"))
    found, _ = await outcome(world.tasks.StartTask(asked, metadata=world.agents["alice"]))
    assert found == ("FAILED_PRECONDITION", "ASSIGNED_TO_ANOTHER")


async def test_a_task_without_a_creator_is_no_agents_own(shared: Guarded) -> None:
    world = await World.make(shared)
    new = t.CreateTaskRequest(task_id="work", title="work of nobody")
    await world.tasks.CreateTask(new, metadata=world.boss)
    asked = request("cancel", "work")
    found, _ = await outcome(world.tasks.CancelTask(asked, metadata=world.agents["alice"]))
    assert found == NOT_YOURS


async def test_a_deleted_task_of_anothers_is_still_not_yours_to_delete(shared: Guarded) -> None:
    world = await World.make(shared)
    asked = request("delete", await world.task("bob"))
    await world.tasks.DeleteTask(asked, metadata=world.agents["bob"])
    found, _ = await outcome(world.tasks.DeleteTask(asked, metadata=world.agents["alice"]))
    assert found == NOT_YOURS


async def test_an_agent_may_write_to_anybody_and_complete_what_it_created(shared: Guarded) -> None:
    world = await World.make(shared)
    assert await world.send("alice", "bob", "hello")
    asked = request("complete", await world.task("alice", "bob", "IN_PROGRESS"))
    await world.tasks.CompleteTask(asked, metadata=world.agents["alice"])


@pytest.mark.parametrize("agent_id", ["bob", "nobody"])
async def test_whether_another_agent_is_there_its_inbox_does_not_tell(
    shared: Guarded, agent_id: str
) -> None:
    world = await World.make(shared)
    messaging, alice = world.guarded.pair.messaging, world.agents["alice"]
    calls: list[Any] = [
        messaging.SubscribeInbox(m.SubscribeInboxRequest(agent_id=agent_id), metadata=alice).read(),
        messaging.ReceiveMessages(m.ReceiveMessagesRequest(agent_id=agent_id), metadata=alice),
        messaging.AcknowledgeMessages(
            m.AcknowledgeMessagesRequest(agent_id=agent_id, through_sequence=9), metadata=alice
        ),
        messaging.ListMessages(m.ListMessagesRequest(recipient_id=agent_id), metadata=alice),
    ]
    for call in calls:
        found, error = await outcome(call)
        assert found == NOT_YOURS
        assert error.details().startswith(f"the inbox of '{agent_id}' does not belong to 'alice'")


async def test_anothers_message_is_answered_as_one_that_never_was(shared: Guarded) -> None:
    world = await World.make(shared)
    messaging, alice = world.guarded.pair.messaging, world.agents["alice"]
    secret = await world.send("bob", "carol", "a secret")
    told: set[str] = set()
    for message_id in (secret, "m999"):
        get, reply = (
            m.GetMessageRequest(message_id=message_id),
            m.SendMessageRequest(recipient_ids=["bob"], in_reply_to=message_id, thread_id="x"),
        )
        for call in (
            messaging.GetMessage(get, metadata=alice),
            messaging.SendMessage(reply, metadata=alice),
        ):
            found, error = await outcome(call)
            assert found == NO_MESSAGE
            told.add(error.details().replace(message_id, "ID"))
    assert len(told) == 2


def seen(record: m.MessageRecord) -> list[tuple[str, int]]:
    """What a record tells of recipients."""
    return [(receipt.recipient_id, receipt.state) for receipt in record.receipts]


async def test_a_recipient_sees_its_own_receipt_alone_and_the_sender_all(shared: Guarded) -> None:
    world = await World.make(shared)
    messaging = world.guarded.pair.messaging
    sent = await messaging.SendMessage(
        m.SendMessageRequest(recipient_ids=["bob", "carol"]), metadata=world.agents["alice"]
    )
    done = m.AcknowledgeMessagesRequest(through_sequence=1)
    await messaging.AcknowledgeMessages(done, metadata=world.agents["carol"])
    bob = ("bob", m.DELIVERY_STATE_UNACKNOWLEDGED)
    carol = ("carol", m.DELIVERY_STATE_ACKNOWLEDGED)
    for metadata, receipts in (
        (world.agents["alice"], [bob, carol]),
        (world.agents["bob"], [bob]),
        (world.agents["carol"], [carol]),
        (world.boss, [bob, carol]),
    ):
        get = m.GetMessageRequest(message_id=sent.message_id)
        assert seen((await messaging.GetMessage(get, metadata=metadata)).record) == receipts
        listed = await messaging.ListMessages(m.ListMessagesRequest(), metadata=metadata)
        assert [seen(record) for record in listed.records] == [receipts]


async def test_a_filter_by_state_tells_a_recipient_of_its_own_deliveries_alone(
    shared: Guarded,
) -> None:
    world = await World.make(shared)
    messaging = world.guarded.pair.messaging
    await messaging.SendMessage(
        m.SendMessageRequest(recipient_ids=["bob", "carol"]), metadata=world.agents["alice"]
    )
    done = m.AcknowledgeMessagesRequest(through_sequence=1)
    await messaging.AcknowledgeMessages(done, metadata=world.agents["carol"])
    found = {
        (name, state): len((await messaging.ListMessages(asked, metadata=metadata)).records)
        for name, metadata in (*world.agents.items(), ("boss", world.boss))
        for state in (m.DELIVERY_STATE_UNACKNOWLEDGED, m.DELIVERY_STATE_ACKNOWLEDGED)
        for asked in [m.ListMessagesRequest(states=[state])]
    }
    hidden = {
        ("bob", m.DELIVERY_STATE_ACKNOWLEDGED): 0,
        ("carol", m.DELIVERY_STATE_UNACKNOWLEDGED): 0,
    }
    assert found == {**dict.fromkeys(found, 1), **hidden}
