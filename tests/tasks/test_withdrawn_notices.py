"""A cancelled task takes back what it asks of agents that have not read it yet."""

from __future__ import annotations

import pytest

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.tables.endings import NOTICES_LOOKED_AT
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.tasks.notices import ASKING_VERBS
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.mail import UNACKNOWLEDGED, WITHDRAWN, reject
from support.tables import WITHDRAWN_BY_CANCEL
from support.teams import Team

Told = list[tuple[str, str]]


async def told(caller: Caller) -> Told:
    """The notices in a caller's inbox: the verb, and what became of each."""
    page = await caller.list_messages(recipient_id=caller.agent_id, page_size=1_000)
    found: Told = []
    for record in page.records:
        for receipt in record.receipts:
            if receipt.recipient_id == caller.agent_id:
                verb = types_pb2.TaskVerb.Name(record.message.notice.verb)[10:]
                state = types_pb2.DeliveryState.Name(receipt.state)[15:]
                found.append((verb, state))
    return found


def test_the_notices_that_are_withdrawn_are_those_that_are_typed_by_hand() -> None:
    assert {verb.name for verb in ASKING_VERBS} == {*WITHDRAWN_BY_CANCEL}
    assert TaskVerb.CANCEL not in ASKING_VERBS


async def test_what_asks_for_work_is_withdrawn_and_what_tells_of_it_stays(team: Team) -> None:
    ann, bob, cat = await team.known("ann", "bob", "cat")
    task = await ann.made(assignee_id="bob", priority=1)
    other = await ann.made(assignee_id="bob")
    await ann.do("update", task.task_id)
    await bob.do("start", task.task_id)
    await bob.do("request-input", task.task_id, agent_id="cat")
    await ann.do("assign", task.task_id, assignee_id="cat", force=True)
    await cat.send("bob", task_id=task.task_id)
    await bob.acknowledge(1)
    await ann.do("cancel", task.task_id, reason="no longer needed")
    assert await told(bob) == [
        ("ASSIGN", "ACKNOWLEDGED"),
        ("ASSIGN", "UNACKNOWLEDGED"),
        ("UPDATE", "WITHDRAWN"),
        ("UNASSIGN", "UNACKNOWLEDGED"),
        ("UNSPECIFIED", "UNACKNOWLEDGED"),
    ]
    assert await told(cat) == [
        ("REQUEST_INPUT", "WITHDRAWN"),
        ("ASSIGN", "WITHDRAWN"),
        ("CANCEL", "UNACKNOWLEDGED"),
    ]
    assert [each.message.notice.verb for each in await cat.backlog()] == [
        types_pb2.TASK_VERB_CANCEL
    ]
    assert (await bob.look()).unacknowledged_count == 3
    assert (await cat.look()).unacknowledged_count == 1
    await ann.do("cancel", other.task_id, notify=work.NOTIFY_NONE)
    assert (await told(bob))[1] == ("ASSIGN", "WITHDRAWN")
    await ann.do("reopen", task.task_id)
    assert (await told(cat))[-1] == ("REOPEN", "UNACKNOWLEDGED")


async def test_the_parts_of_a_task_withdraw_theirs_too_and_a_repeat_nothing(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    whole = await ann.made(assignee_id="bob")
    parts = [await ann.made(assignee_id="bob", parent_task_id=whole.task_id) for _ in range(3)]
    await reject(bob, 2)
    request = work.CancelTaskRequest(task_id=whole.task_id, cascade=True, request_id="once")
    await ann.call(request)
    withdrawn = ("ASSIGN", "WITHDRAWN")
    first = [withdrawn, ("ASSIGN", "REJECTED"), withdrawn, withdrawn]
    assert await told(bob) == first + [("CANCEL", "UNACKNOWLEDGED")] * 4
    await ann.do("reopen", parts[0].task_id)
    await ann.call(request)
    assert (await told(bob))[-1] == ("REOPEN", "UNACKNOWLEDGED")


@pytest.mark.parametrize("more", [0, 1])
async def test_only_the_newest_messages_about_a_task_are_looked_at(team: Team, more: int) -> None:
    ann, bob = await team.known("ann", "bob")
    task = await ann.made(assignee_id="bob")
    batch = [talk.SendMessageRequest(recipient_ids=["ann"], task_id=task.task_id)]
    count = NOTICES_LOOKED_AT - 1 + more
    await ann.call(talk.BatchSendMessagesRequest(requests=batch * count))
    await ann.do("cancel", task.task_id)
    (first, _) = await told(bob)
    left = UNACKNOWLEDGED if more else WITHDRAWN
    assert first == ("ASSIGN", types_pb2.DeliveryState.Name(left)[15:])
