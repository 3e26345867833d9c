"""Times of messages: when they expire, and by when their senders want them acknowledged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server import clock
from dovetail.server.messaging import mail_monitor
from dovetail.server.messaging.mail_monitor import MailMonitor
from dovetail.server.store.engines.wakeups import Bells
from dovetail.server.store.rings import Delivery, WakeKey
from dovetail.server.store.tables import endings
from dovetail.server.store.tables.deadlines import DEADLINES_MAX
from dovetail.server.store.transaction import Transaction
from support.callers import Caller, seconds, sequences
from support.mail import (
    ACKNOWLEDGED,
    EXPIRED,
    OPEN,
    UNACKNOWLEDGED,
    at,
    notices,
    receipts,
    reject,
    states,
)
from support.pair import Pair, running_pair
from support.refusals import bad_fields, failure, faults
from support.teams import Team
from support.waiting import until


@dataclass
class Passing:
    """The time of the servers, which passes when a test says so, and a team of theirs."""

    pair: Pair
    seconds: float = 0

    @property
    def team(self) -> Team:
        """The team."""
        return Team(self.pair, "t")

    async def run(self, unit: Callable[[Transaction], bool]) -> int:
        """Run a unit of the monitor until nothing is left; return how often it ran."""
        runs = 1
        while await self.pair.messaging_store.write("t", unit):
            runs += 1
        return runs


@pytest.fixture
async def passing(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Passing]:
    """Servers without a monitor of mail: its units run when a test says so."""
    monkeypatch.setattr(MailMonitor, "start", lambda _: None)
    async with running_pair(store_url) as pair:
        passing, now = Passing(pair), clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + round(passing.seconds * 1_000_000))
        yield passing


async def test_nothing_shows_what_has_expired_even_before_a_monitor_comes(
    passing: Passing,
) -> None:
    alice, bob = await passing.team.known("alice", "bob")
    await alice.send("bob", subject="lasting")
    expire_time = at(60)
    sent = await alice.send("bob", expire_time=expire_time, request_id="once")
    assert sequences(await bob.backlog()) == [1, 2]
    assert (await bob.backlog())[1].message.expire_time == expire_time
    await alice.send("bob", expire_time=at(3_600))
    passing.seconds = 61
    assert sequences(await bob.backlog()) == [1, 3]
    assert sequences(await bob.received()) == [1, 3]
    found = await bob.call(pb.ReceiveMessagesRequest(filter=pb.MessageFilter()))
    assert sequences(found.deliveries) == [1, 3]
    (before, after, _) = await receipts(alice)
    assert (after.state, after.state_time) == (EXPIRED, expire_time)
    # Only the counter lags: the monitor takes it off.
    assert (await bob.look()).unacknowledged_count == 3
    # A repeat is no new message, and returns what the first call sent.
    again = await alice.send("bob", expire_time=expire_time, request_id="once")
    assert again.message_id == sent.message_id
    marked = await bob.call(pb.MarkMessagesSeenRequest(sequences=[2]))
    assert marked.seen_count == 0
    done = await bob.acknowledge(2, 3)
    assert (done.acknowledged_count, done.unacknowledged_count) == (1, 1)
    later = (await receipts(alice))[1]  # That it was handed out is noted a moment later.
    assert (later.state, later.state_time) == (EXPIRED, expire_time)
    assert (await states(alice))[2] == ACKNOWLEDGED
    assert before.state in OPEN


async def test_what_has_expired_is_ended_by_whoever_comes_upon_it(passing: Passing) -> None:
    alice, bob = await passing.team.known("alice", "bob")
    sent = [await alice.send("bob", "alice", expire_time=at(60)) for _ in range(3)]
    passing.seconds = 61
    rejected = await reject(bob, 1)
    assert (rejected.rejected_count, rejected.unacknowledged_count) == (0, 2)
    assert await notices(alice) == []
    answer = await alice.call(pb.WithdrawMessageRequest(message_id=sent[1].message_id))
    assert (answer.withdrawn_count, answer.late_count) == (0, 2)
    assert (await bob.look()).unacknowledged_count == 1
    assert await passing.run(mail_monitor.expire_some) == 1
    assert [each.unacknowledged_count for each in await passing.team.agents()] == [0, 0]
    assert await states(alice) == [EXPIRED] * 3


async def test_very_many_expire_in_bites_and_are_acknowledged_around(passing: Passing) -> None:
    alice, bob = await passing.team.known("alice", "bob")

    async def send(count: int) -> None:
        expire_time = at(passing.seconds + 60)
        each = pb.SendMessageRequest(recipient_ids=["bob"], expire_time=expire_time)
        await alice.call(pb.BatchSendMessagesRequest(requests=[each] * count))

    await send(1_000)
    await send(1_000)
    await alice.send("bob")
    passing.seconds = 61
    # 2,000 that have expired do not keep it from what comes after them.
    done = await bob.acknowledge(through_sequence=2_001)
    assert (done.acknowledged_count, done.unacknowledged_count) == (1, 0)
    await send(1_000)
    passing.seconds = 122
    assert await passing.run(mail_monitor.expire_some) == 1_000 // endings.EXPIRED_MAX + 1
    assert (await bob.look()).unacknowledged_count == 0


async def test_a_monitor_counts_off_what_has_expired_and_wakes_nobody_for_it(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", expire_time=at(0.2))
    await alice.send("bob")

    async def is_counted_off() -> bool:
        return (await bob.look()).unacknowledged_count == 1

    await until(is_counted_off)
    assert await states(alice) == [EXPIRED, UNACKNOWLEDGED]


async def test_a_live_stream_sends_nothing_that_has_expired_on_its_way(
    passing: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await passing.team.known("alice", "bob")
    async with bob.inbox() as inbox:
        await inbox.backlog()
        hand_over = pair_bells(passing).hand_over

        def later(rings: Mapping[WakeKey, Sequence[Delivery] | None], cause_time: float) -> None:
            """The commit hands it over when its time has passed."""
            passing.seconds = 61
            hand_over(rings, cause_time)

        monkeypatch.setattr(pair_bells(passing), "hand_over", later)
        await alice.send("bob", expire_time=at(60))
        await alice.send("bob")
        assert sequences(await inbox.take(1)) == [2]


def pair_bells(passing: Passing) -> Bells:
    return passing.pair.messaging_store.bells


async def test_times_that_make_no_sense_are_refused_by_their_fields(team: Team) -> None:
    (alice,) = await team.known("alice")
    error = await failure(alice.send("alice", expire_time=at(-1)))
    assert bad_fields(error).keys() == {"expire_time"}
    assert "s ago by the server's clock" in bad_fields(error)["expire_time"]
    assert await faults(alice.send("alice", ack_deadline=seconds(0))) == {"ack_deadline"}
    assert await faults(alice.send("alice", ack_deadline=seconds(-1))) == {"ack_deadline"}
    too_long = seconds(366 * 86_400)
    assert await faults(alice.send("alice", ack_deadline=too_long)) == {"ack_deadline"}
    batch = pb.BatchSendMessagesRequest(
        requests=[
            pb.SendMessageRequest(recipient_ids=["alice"]),
            pb.SendMessageRequest(recipient_ids=["alice"], expire_time=at(-1)),
        ]
    )
    assert await faults(alice.call(batch)) == {"requests[1].expire_time"}
    assert (await alice.look()).last_sequence == 0


async def told(caller: Caller, count: int = 1) -> list[pb.Message]:
    """Wait for so many notices about mail."""

    async def found() -> list[pb.Message]:
        known = await notices(caller)
        return known if len(known) >= count else []

    return await until(found)


async def test_a_sender_is_told_once_who_is_not_done_with_a_message(team: Team) -> None:
    names = [f"r{number:02}" for number in range(13)]
    alice, done, *others = await team.known("alice", *names)
    sent = await alice.send(*reversed(names), subject="Now", ack_deadline=seconds(0.3))
    await done.acknowledge(1)
    await reject(others[0], 1)
    await others[1].call(pb.MarkMessagesSeenRequest(sequences=[1]))
    first, second = await told(alice, 2)
    assert first.mail_notice.event == pb.MAIL_EVENT_REJECTED
    late = [*reversed(names[2:])]
    assert second.mail_notice == pb.MailNotice(
        event=pb.MAIL_EVENT_UNACKNOWLEDGED,
        message_id=sent.message_id,
        recipient_ids=late[:10],
        recipient_count=11,
    )
    assert (second.sender_id, second.thread_id) == ("", sent.thread_id)
    assert second.subject == (
        f"Message {sent.message_id} is not acknowledged by {', '.join(late[:3])} and 8 more: Now"
    )
    assert second.body.endswith(f"{', '.join(late[:10])} and 1 more.")
    assert await states(alice, "r12") == [UNACKNOWLEDGED]


async def test_nobody_is_told_of_what_has_ended_before_its_deadline(passing: Passing) -> None:
    alice, bob = await passing.team.known("alice", "bob")
    deadline = seconds(60)
    sent = [await alice.send("bob", ack_deadline=deadline) for _ in range(3)]
    await alice.send("bob", ack_deadline=deadline, expire_time=at(30))
    await bob.acknowledge(1)
    await alice.call(pb.WithdrawMessageRequest(message_id=sent[1].message_id))
    await reject(bob, 3)
    passing.seconds = 61
    assert await passing.run(mail_monitor.tell_some) == 1
    (rejected,) = await notices(alice)
    assert rejected.mail_notice.event == pb.MAIL_EVENT_REJECTED


async def test_many_deadlines_are_told_in_bites_by_whichever_monitor_comes_first(
    passing: Passing,
) -> None:
    alice, _ = await passing.team.known("alice", "bob")
    request = pb.SendMessageRequest(recipient_ids=["bob"], ack_deadline=seconds(60))
    count = DEADLINES_MAX + 1
    await alice.call(pb.BatchSendMessagesRequest(requests=[request] * count))
    passing.seconds = 61
    first, other = passing.pair.messaging_store, passing.pair.tasks_store
    assert await first.write("t", mail_monitor.tell_some)
    assert not await other.write("t", mail_monitor.tell_some)
    assert not await other.write("t", mail_monitor.tell_some)
    found = [each.mail_notice.message_id for each in await notices(alice)]
    assert found == [f"m{number}" for number in range(1, count + 1)]
