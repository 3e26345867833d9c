"""What becomes of messages, as their senders and recipients see it in Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dovetail.client import (
    AbortedError,
    Agent,
    DeliveryState,
    MailEvent,
    NotFoundError,
    OutOfRangeError,
    Receipt,
    ReceivedMessage,
)
from support.waiting import until


async def notices(agent: Agent, count: int = 1) -> list[ReceivedMessage]:
    """So many unacknowledged messages of an inbox, as soon as they are there."""

    async def are_there() -> list[ReceivedMessage] | None:
        found = await agent.receive()
        return list(found) if len(found) >= count else None

    return await until(are_there)


async def receipt(agent: Agent, message_id: str) -> Receipt:
    """The one receipt of a message."""
    (found,) = [each async for each in agent.receipts(message_id)]
    return found


async def test_a_rejection_is_told_with_its_reason(alice: Agent, bob: Agent) -> None:
    sent = await alice.send("bob", "Can you do this?")
    await alice.send("bob", "And this?")
    done = await bob.reject([1], "not mine")
    assert (done.rejected_count, done.unacknowledged_count) == (1, 1)
    found = await receipt(alice, sent.message_id)
    assert (found.state, found.reason) == (DeliveryState.REJECTED, "not mine")
    (told,) = await notices(alice)
    assert told.mail_notice
    assert told.mail_notice.event is MailEvent.REJECTED
    assert (told.mail_notice.message_id, told.mail_notice.reason) == (sent.message_id, "not mine")
    assert told.mail_notice.recipient_ids == ("bob",)
    assert (await bob.reject([1], "not mine")).rejected_count == 0


async def test_what_is_withdrawn_is_not_delivered_any_more(alice: Agent, bob: Agent) -> None:
    read, unread = [await alice.send("bob", body) for body in ("read", "unread")]
    await bob.acknowledge([1])
    late, done = [await alice.withdraw(each.message_id) for each in (read, unread)]
    assert (late.withdrawn_count, late.late_count) == (0, 1)
    assert (done.withdrawn_count, done.late_count) == (1, 0)
    assert [each.state for each in done.receipts] == [DeliveryState.WITHDRAWN]
    assert list(await bob.receive()) == []
    with pytest.raises(NotFoundError):
        await alice.withdraw("m99")


async def test_a_message_expires_by_a_time_or_after_a_length(alice: Agent, bob: Agent) -> None:
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    by_time = await alice.send("bob", "by a time", expire=soon)
    by_length = await alice.send("bob", "after a length", expire=timedelta(milliseconds=300))
    kept = await alice.send("bob", "kept", expire=timedelta(hours=1))

    async def have_expired() -> bool:
        states = [(await receipt(alice, each.message_id)).state for each in (by_time, by_length)]
        return states == [DeliveryState.EXPIRED] * 2

    await until(have_expired)
    assert [each.message_id for each in await bob.receive()] == [kept.message_id]


async def test_the_sender_is_told_who_is_not_done_by_the_deadline(alice: Agent, bob: Agent) -> None:
    await bob.register("carol")
    sent = await alice.send(["bob", "carol"], "Urgent", ack_deadline=timedelta(seconds=1))
    await bob.acknowledge([1])
    (told,) = await notices(alice)
    assert told.mail_notice
    assert told.mail_notice.event is MailEvent.UNACKNOWLEDGED
    assert told.mail_notice.message_id == sent.message_id
    assert (told.mail_notice.recipient_ids, told.mail_notice.recipient_count) == (("carol",), 1)


async def test_a_message_about_a_task_that_has_changed_is_not_sent(
    alice: Agent, bob: Agent
) -> None:
    task = await alice.tasks.create("Work", assignee_id="alice")
    await alice.send("bob", "As it is", task_id=task.task_id, task_etag=task.etag)
    await alice.tasks.cancel(task.task_id)
    with pytest.raises(AbortedError) as caught:
        await alice.send("bob", "As it was", task_id=task.task_id, task_etag=task.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert [each.body for each in await bob.receive()] == ["As it is"]


async def test_what_led_to_a_message_is_counted_with_it(alice: Agent, bob: Agent) -> None:
    await alice.send("bob", "one")
    await bob.send("alice", "two", cause=1)
    (two,) = await alice.receive()
    assert two.hop_count == 1
    with pytest.raises(OutOfRangeError, match="sequence 9"):
        await bob.send("alice", "three", cause=9)
