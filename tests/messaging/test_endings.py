"""Endings: how deliveries end that are not acknowledged, and who learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.store.tables import delivery_states, endings
from dovetail.server.store.tables.delivery_states import DeliveryAct, DeliveryState
from dovetail.server.store.transaction import Transaction
from dovetail.types.v1 import types_pb2
from support.callers import Caller, sequences
from support.mail import EXPIRED, REJECTED, WITHDRAWN, at, notices, receipts, reject, states
from support.refusals import faults, refusal
from support.teams import Team
from support.waiting import until

OPEN = ("UNACKNOWLEDGED", "SENT", "SEEN")
ENDS = ("ACKNOWLEDGED", "REJECTED", "EXPIRED", "WITHDRAWN")
# Where each act leads from each state. A dash: it is refused.
TABLE = """
    act          UNACKNOWLEDGED SENT         SEEN         ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
    hand-out     SENT           SENT         SEEN         ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
    see          SEEN           SEEN         SEEN         ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
    acknowledge  ACKNOWLEDGED   ACKNOWLEDGED ACKNOWLEDGED ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
    reject       REJECTED       REJECTED     REJECTED     -            REJECTED EXPIRED WITHDRAWN
    withdraw     WITHDRAWN      WITHDRAWN    WITHDRAWN    ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
    expire       EXPIRED        EXPIRED      EXPIRED      ACKNOWLEDGED REJECTED EXPIRED WITHDRAWN
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
LEADS = {
    (row[0], state): cell for row in ROWS for state, cell in zip(HEAD[1:], row[1:], strict=True)
}


def test_the_table_of_the_server_is_the_one_that_is_typed_here() -> None:
    for (act, name), leads in LEADS.items():
        found = delivery_states.next_state(DeliveryAct(act.replace("-", " ")), DeliveryState[name])
        assert (found.name if found else "-") == leads, (act, name)


async def test_each_act_leads_from_each_state_where_the_table_says(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    cells = sorted(LEADS, key=lambda cell: cell[1] != "SENT")
    first, *_ = [at for at, (_, state) in enumerate(cells) if state != "SENT"]
    places = dict(zip(cells, range(1, len(cells) + 1), strict=True))
    messages = {}
    for number, (_, state) in enumerate(cells):
        if number == first:
            await bob.call(pb.ReceiveMessagesRequest())
            await until(lambda: are_sent(alice, first))
        fields = {"expire_time": at(0.05 if state == "EXPIRED" else 3_600)}
        messages[number + 1] = (await alice.send("bob", **fields)).message_id

    def in_state(name: str) -> list[int]:
        return [place for (_, state), place in places.items() if state == name]

    def before(act: str) -> list[int]:
        return [place for (each, _), place in places.items() if each == act]

    await bob.call(pb.MarkMessagesSeenRequest(sequences=in_state("SEEN")))
    await bob.acknowledge(*in_state("ACKNOWLEDGED"))
    await reject(bob, *in_state("REJECTED"))
    for place in in_state("WITHDRAWN"):
        await alice.call(pb.WithdrawMessageRequest(message_id=messages[place]))
    await until(lambda: are_in(alice, EXPIRED, in_state("EXPIRED")))
    found = await states(alice)
    names = types_pb2.DeliveryState.DESCRIPTOR.values_by_number
    assert [names[each].name[15:] for each in found] == [state for _, state in cells]

    refused = [place for place in before("reject") if LEADS[cells[place - 1]] == "-"]
    for place in before("reject"):
        if place in refused:
            assert (await refusal(reject(bob, place)))[1] == "DELIVERY_ACKNOWLEDGED"
        else:
            await reject(bob, place)
    await bob.call(pb.MarkMessagesSeenRequest(sequences=before("see")))
    await bob.acknowledge(*before("acknowledge"))
    for place in before("withdraw"):
        await alice.call(pb.WithdrawMessageRequest(message_id=messages[place]))
    await expire(team, before("expire"))
    await bob.call(pb.ReceiveMessagesRequest())
    await until(lambda: are_sent(alice, places["hand-out", "UNACKNOWLEDGED"]))
    for cell, receipt in zip(cells, await receipts(alice), strict=True):
        leads = cell[1] if LEADS[cell] == "-" else LEADS[cell]
        assert types_pb2.DeliveryState.Name(receipt.state)[15:] == leads, cell
        assert bool(receipt.reason) == (leads == "REJECTED"), cell
    left = sum(LEADS[cell] in OPEN for cell in cells)
    assert (await bob.look()).unacknowledged_count == left
    assert len(await bob.backlog()) == left


async def are_sent(caller: Caller, through: int) -> bool:
    """Whether nothing that may become SENT is still UNACKNOWLEDGED, through a sequence."""
    found = (await receipts(caller))[:through]
    return all(each.state != types_pb2.DELIVERY_STATE_UNACKNOWLEDGED for each in found)


async def are_in(caller: Caller, state: int, places: Iterable[int]) -> bool:
    """Whether these of an inbox are in a state."""
    found = await states(caller)
    return all(found[place - 1] == state for place in places)


async def expire(team: Team, places: list[int]) -> None:
    """Let these of bob's inbox expire, as if it were their time."""

    def unit(transaction: Transaction) -> None:
        records = endings.of_inbox(transaction, "bob", places)
        endings.end(transaction, records, endings.Ending(act=DeliveryAct.EXPIRE))

    await team.pair.messaging_store.write(team.team_id, unit)


async def test_the_sender_of_what_is_rejected_is_told_in_the_thread_of_it(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    task = await alice.made()
    sent = await alice.send("bob", "eve", subject="Read this", task_id=task.task_id)
    await eve.send("bob", subject="x" * 512)
    answer = await reject(bob, 2, 1, 2, reason="I cannot open files.")
    assert (answer.rejected_count, answer.unacknowledged_count) == (2, 0)
    (told,) = await notices(alice)
    assert told.mail_notice == pb.MailNotice(
        event=pb.MAIL_EVENT_REJECTED,
        message_id=sent.message_id,
        recipient_ids=["bob"],
        recipient_count=1,
        reason="I cannot open files.",
    )
    assert (told.kind, told.sender_id, told.HasField("notice")) == (
        pb.MESSAGE_KIND_NOTICE,
        "bob",
        False,
    )
    assert (told.thread_id, told.task_id) == (sent.thread_id, task.task_id)
    assert told.subject == f"Message {sent.message_id} was rejected by bob: Read this"
    assert told.body == "I cannot open files."
    (also,) = await notices(eve)
    assert len(also.subject) == 512
    assert await states(alice) == [REJECTED, REJECTED]
    (receipt, _) = await receipts(alice)
    assert receipt.reason == "I cannot open files."
    assert receipt.state_time == told.create_time


async def test_rejecting_again_changes_nothing_and_tells_nobody(team: Team) -> None:
    bob = await team.bob_with(1)
    alice = team.caller("alice")
    await reject(bob, 1, reason="first")
    before = await receipts(alice)
    again = await reject(bob, 1, reason="second")
    assert (again.rejected_count, again.unacknowledged_count) == (0, 0)
    assert await receipts(alice) == before
    assert len(await notices(alice)) == 1


async def test_nobody_is_told_of_a_rejected_notice_nor_of_ones_own_mail(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.create(assignee_id="bob")
    await bob.send("bob")
    await reject(bob, 1, 2)
    assert await states(bob) == [REJECTED, REJECTED]
    assert (await alice.look()).last_sequence == 0
    assert (await bob.look()).last_sequence == 2


async def test_what_was_acknowledged_is_not_rejected_nor_anything_beside_it(team: Team) -> None:
    bob = await team.bob_with(14)
    await bob.acknowledge(through_sequence=12)
    code, reason, metadata = await refusal(reject(bob, *range(1, 15)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DELIVERY_ACKNOWLEDGED")
    assert metadata == {"sequences": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"}
    assert REJECTED not in await states(bob)
    assert await notices(team.caller("alice")) == []


async def test_wrong_rejections_are_refused_by_their_fields(team: Team) -> None:
    bob = await team.bob_with(1)
    assert await faults(reject(bob, reason="")) == {"sequences", "reason"}
    assert await faults(reject(bob, *[1] * 101)) == {"sequences"}
    assert await faults(reject(bob, 1, reason="x" * 1_001)) == {"reason"}
    assert await faults(reject(bob, 0, 1, -1, reason="\0")) == {
        "sequences[0]",
        "sequences[2]",
        "reason",
    }
    assert (await refusal(reject(bob, 2)))[1] == "CURSOR_IN_FUTURE"
    assert (await refusal(reject(team.caller("bobby"), 1)))[1] == "AGENT_NOT_FOUND"
    assert (await refusal(reject(team.caller(), 1)))[1] == "CALLER_AGENT_REQUIRED"
    await reject(bob, *[1] * 100, reason="x" * 1_000)


async def test_what_is_withdrawn_is_counted_and_what_was_too_late(team: Team) -> None:
    alice, *others = await team.known("alice", *(f"r{number:02}" for number in range(12)))
    ids = [each.agent_id for each in others]
    sent = await alice.send(*ids)
    await others[0].acknowledge(1)
    await reject(others[1], 1)
    await others[2].call(pb.MarkMessagesSeenRequest(sequences=[1]))
    request = pb.WithdrawMessageRequest(message_id=sent.message_id)
    answer = await alice.call(request)
    assert (answer.withdrawn_count, answer.late_count) == (10, 2)
    assert [each.recipient_id for each in answer.receipts] == ids[:10]
    assert [each.state for each in answer.receipts[2:]] == [WITHDRAWN] * 8
    assert answer.receipts[2].see_time.seconds
    again = await alice.call(request)
    assert (again.withdrawn_count, again.late_count) == (0, 2)
    assert list(again.receipts) == list(answer.receipts)
    page = await alice.call(pb.ListReceiptsRequest(message_id=sent.message_id))
    assert [each.state for each in page.receipts[2:]] == [WITHDRAWN] * 10
    for each in others:
        assert (await each.look()).unacknowledged_count == 0
        assert (await each.read(sent.message_id)).message.body == ""


async def test_what_has_ended_is_not_handed_out_and_keeps_its_sequence(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sent = [await alice.send("bob", subject=str(number)) for number in range(5)]
    await alice.call(pb.WithdrawMessageRequest(message_id=sent[0].message_id))
    await reject(bob, 3)
    await bob.acknowledge(4)
    await alice.call(pb.WithdrawMessageRequest(message_id=sent[4].message_id))
    assert sequences(await bob.backlog()) == [2]
    assert sequences(await bob.backlog(after_sequence=2)) == []
    assert sequences(await bob.received()) == [2, 4]
    found = await bob.call(pb.ReceiveMessagesRequest())
    assert sequences(found.deliveries) == [2]
    assert found.unacknowledged_count == 1
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
        assert responses[-1].through_sequence == 5
        await alice.send("bob")
        assert sequences(await inbox.take(1)) == [6]


async def test_a_stream_at_its_limit_gets_room_by_every_end(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sent = [
        await alice.send("bob", expire_time=at(0.6)),
        *[await alice.send("bob") for _ in range(5)],
    ]
    async with bob.inbox(max_outstanding=2) as inbox:
        assert sequences(await inbox.take(2)) == [1, 2]
        assert sequences(await inbox.take(1)) == [3]  # 1 has expired
        await reject(bob, 3)
        assert sequences(await inbox.take(1)) == [4]
        await alice.call(pb.WithdrawMessageRequest(message_id=sent[1].message_id))
        assert sequences(await inbox.take(1)) == [5]
        await bob.acknowledge(4)
        assert sequences(await inbox.take(1)) == [6]


async def test_only_what_one_sent_can_be_withdrawn_and_no_notice(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.create(assignee_id="bob")
    (record,) = (await bob.list_messages(recipient_id="bob")).records
    notice_id = record.message.message_id
    request = pb.WithdrawMessageRequest(message_id=notice_id)
    code, reason, metadata = await refusal(alice.call(request))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NOTICE_NOT_WITHDRAWABLE")
    assert metadata == {"message_id": notice_id}
    for wrong in ("m99", "99", "x"):
        request = pb.WithdrawMessageRequest(message_id=wrong)
        assert (await refusal(alice.call(request)))[1] == "MESSAGE_NOT_FOUND"
    assert await faults(alice.call(pb.WithdrawMessageRequest())) == {"message_id"}


async def test_a_thousand_recipients_lose_a_message_at_once(team: Team) -> None:
    (alice,) = await team.known("alice")
    ids = [f"r{number}" for number in range(1_000)]
    registered = (alice.register(agent_id=each) for each in ids)
    await asyncio.gather(*registered)
    sent = await alice.send(*ids)
    answer = await alice.call(pb.WithdrawMessageRequest(message_id=sent.message_id))
    assert (answer.withdrawn_count, answer.late_count) == (1_000, 0)
    assert all(each.unacknowledged_count == 0 for each in await team.agents())


async def test_states_choose_messages_by_how_they_ended(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sent = [await alice.send("bob", subject=str(number)) for number in range(1, 5)]
    await alice.send("bob", subject="5", expire_time=at(0.05))
    await reject(bob, 1)
    await alice.call(pb.WithdrawMessageRequest(message_id=sent[1].message_id))
    await bob.acknowledge(3)

    async def found(*names: str) -> list[str]:
        wanted = [types_pb2.DeliveryState.Value(f"DELIVERY_STATE_{name}") for name in names]
        page = await bob.list_messages(states=wanted, recipient_id="bob")
        return [record.message.subject for record in page.records]

    async def has_expired() -> bool:
        return await found("EXPIRED") == ["5"]

    await until(has_expired)
    assert await found("REJECTED") == ["1"]
    assert await found("WITHDRAWN") == ["2"]
    assert await found("ACKNOWLEDGED") == ["3"]
    assert await found("UNACKNOWLEDGED") == ["4"]
    assert await found("UNACKNOWLEDGED", "REJECTED") == ["1", "4"]
    assert await found("UNACKNOWLEDGED", *ENDS) == ["1", "2", "3", "4", "5"]


async def test_long_reasons_leave_pages_below_what_clients_take(team: Team) -> None:
    alice, *others = await team.known("alice", *(f"r{number}" for number in range(10)))
    wide = "\U00020000" * 1_000
    batch = [pb.SendMessageRequest(recipient_ids=[each.agent_id for each in others])] * 40
    await alice.call(pb.BatchSendMessagesRequest(requests=batch))
    await asyncio.gather(*(reject(each, *range(1, 41), reason=wide) for each in others))
    numbers, token = list[str](), ""
    while True:
        page = await alice.list_messages(
            page_size=1_000, page_token=token, filter={"kinds": [pb.MESSAGE_KIND_MESSAGE]}
        )
        assert page.ByteSize() < 4 * 1024 * 1024
        assert all(each.reason == wide for record in page.records for each in record.receipts)
        numbers += [record.message.message_id for record in page.records]
        token = page.next_page_token
        if not token:
            break
    assert numbers == [f"m{number}" for number in range(1, 41)]


async def test_counters_agree_with_what_a_scan_counts(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.create(assignee_id="bob")
    sent = [await alice.send("bob") for _ in range(4)]
    await bob.acknowledge(2)
    await reject(bob, 3, 1)
    await alice.call(pb.WithdrawMessageRequest(message_id=sent[2].message_id))
    (row,) = (await alice.report()).assignees
    assert row.unacknowledged_messages == (await bob.look()).unacknowledged_count == 1
    # Only what was acknowledged tells how long acknowledging takes.
    delivery = next(each for each in await receipts(alice) if each.sequence == 2)
    record = (await alice.read(delivery.message_id)).message
    took = delivery.state_time.ToMicroseconds() - record.create_time.ToMicroseconds()
    assert row.average_acknowledge_time.ToMicroseconds() == took


pytestmark = pytest.mark.timeout(120)
