"""The loop guard: agents that only answer each other are stopped, and honest talk is not."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.callers import Caller
from support.loops import OFF, SETTINGS, let_an_hour_pass, limit, suspected
from support.mail import notices
from support.pair import Pair, running_pair
from support.real_logs import FOLDER, PERSON, Log, read_all
from support.refusals import failure, faults, refusal
from support.teams import Team

SENDS_MAX = 20
LOGS = read_all()
CIRCLE = 9
Style = Callable[[str, int], dict[str, Any]]
STYLES: tuple[Style, ...] = (
    lambda message_id, sequence: {},
    lambda message_id, sequence: {"in_reply_to": message_id},
    lambda message_id, sequence: {"acknowledge_sequences": [sequence]},
    lambda message_id, sequence: {"cause_sequence": sequence},
)
"""How an agent says that it answers a message, which is at a sequence of its inbox."""

Answer = Callable[[Caller, pb.Message, int], dict[str, Any]]
"""The fields with which an agent answers a message, which is at a sequence of its inbox."""


@pytest.fixture(scope="module")
async def guarded(shared_url: str) -> AsyncGenerator[Pair]:
    """Servers with the limits that `dovetail up` sets."""
    async with running_pair(shared_url, **SETTINGS) as pair:
        yield pair


@pytest.fixture
def team(guarded: Pair) -> Team:
    """A new team on them."""
    return Team.new(guarded)


def to_the_next(agent: Caller, heard: pb.Message, _: int) -> dict[str, Any]:
    following = (int(agent.agent_id) + 1) % CIRCLE
    return {"recipient_ids": [str(following)], "in_reply_to": heard.message_id}


def anew_to_the_next(agent: Caller, heard: pb.Message, sequence: int) -> dict[str, Any]:
    following = (int(agent.agent_id) + 1) % CIRCLE
    return {"recipient_ids": [str(following)], "acknowledge_sequences": [sequence]}


def to_all(agent: Caller, heard: pb.Message, _: int) -> dict[str, Any]:
    others = [str(at) for at in range(CIRCLE) if str(at) != agent.agent_id]
    return {"recipient_ids": others, "in_reply_to": heard.message_id}


def to_all_in_the_thread(agent: Caller, heard: pb.Message, sequence: int) -> dict[str, Any]:
    others = [str(at) for at in range(CIRCLE) if str(at) != agent.agent_id]
    return {"recipient_ids": others, "thread_id": heard.thread_id}


@pytest.mark.parametrize(
    "answer",
    [to_the_next, anew_to_the_next, to_all, to_all_in_the_thread],
    ids=lambda answer: answer.__name__,
)
async def test_a_team_that_echoes_is_stopped_after_at_most_twenty_sends(
    team: Team, answer: Answer, report_figures: Callable[[str], None]
) -> None:
    boss, *agents = await team.known("boss", *map(str, range(17)))
    await boss.send("0", body="hello")
    first = await agents[0].backlog()
    heard = deque([(agents[0], first[0].message, 1)])
    sends, stopped = 1, []
    while heard:
        agent, message, sequence = heard.popleft()
        fields = answer(agent, message, sequence)
        request = pb.SendMessageRequest(body=f"{agent.agent_id} heard {message.body}", **fields)
        try:
            sent = await agent.call(request)
        except grpc.aio.AioRpcError:
            stopped.append(await suspected(agent.call(request)))
            continue
        sends += 1
        assert sends <= SENDS_MAX
        written = pb.Message(message_id=sent.message_id, thread_id=sent.thread_id)
        heard += [
            (agents[int(receipt.recipient_id)], written, receipt.sequence)
            for receipt in sent.receipts
        ]
    assert stopped
    assert {each["limit"] for each in stopped} <= {"depth_max", "thread_messages_per_hour_max"}
    assert all(len(each["chain"]) == 10 for each in stopped)
    told = [notice for agent in (boss, *agents) for notice in await notices(agent)]
    assert all(each["beginner_told"] == "true" for each in stopped)
    assert len(told) == len({each["thread_id"] for each in stopped})
    assert {each.thread_id for each in told} == {each["thread_id"] for each in stopped}
    report_figures(f"{answer.__name__}: {sends} sends, then {len(stopped)} refused")


async def test_two_agents_that_thank_each_other_are_stopped(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sent = await alice.send("bob", body="thanks")
    for sender, recipient in itertools.islice(itertools.cycle([(bob, alice), (alice, bob)]), 64):
        sent = await sender.send(recipient.agent_id, in_reply_to=sent.message_id)
    found = await suspected(bob.send("alice", in_reply_to=sent.message_id))
    assert (found["limit"], found["most"], found["count"]) == ("hops_max", "64", "65")


@pytest.mark.skipif(not LOGS, reason=f"no logs in {FOLDER}: set DOVETAIL_LOGS to their folder")
async def test_real_logs_are_not_stopped_however_their_agents_answer(
    guarded: Pair, report_figures: Callable[[str], None]
) -> None:
    played: list[Coroutine[Any, Any, int]] = []
    for style in STYLES:
        everybody = sorted(set().union(*(log.participants for log in LOGS)))
        callers = dict(zip(everybody, await Team.new(guarded).known(*everybody), strict=True))
        played += [_play(callers, log, style) for log in LOGS]
    longest = max(await asyncio.gather(*played))
    report_figures(f"{len(LOGS)} logs in {len(STYLES)} styles: none was stopped, {longest} hops")


async def _play(callers: dict[str, Caller], log: Log, style: Style) -> int:
    """Have the agents of a log say what they said; returns the most hops of a message.

    The person is not marked as one, and its question does not begin anew.
    """
    heard: dict[str, tuple[str, int, int]] = {}
    longest = 0
    for turn in [None, *log.turns]:
        speaker, addressee = (turn.speaker, turn.addressee) if turn else (PERSON, log.worker)
        fields: dict[str, Any] = {"thread_id": log.name}
        hops = 0
        if speaker in heard:
            message_id, sequence, hops = heard[speaker]
            if addressee != speaker:
                hops += 1
            fields |= style(message_id, sequence)
        body = turn.text[:100] if turn else log.question[:100]
        sent = await callers[speaker].send(addressee, body=body, **fields)
        heard[addressee] = (sent.message_id, sent.receipts[0].sequence, hops)
        longest = max(longest, hops)
    return longest


async def test_hops_count_what_led_to_a_message(team: Team) -> None:
    alice, bob, carl, rita = await team.known("alice", "bob", "carl", "rita")
    await rita.call(
        pb.UpdateAgentRequest(
            agent=pb.Agent(kind=pb.AGENT_KIND_PERSON), update_mask=FieldMask(paths=["kind"])
        )
    )

    async def hops(sent: pb.SendMessageResponse) -> int:
        return (await team.message(sent.message_id)).message.hop_count

    first = await alice.send("bob", "carl")
    reply = await bob.send("alice", "carl", in_reply_to=first.message_id)
    note = await alice.send("alice", in_reply_to=reply.message_id)
    by_note = await alice.send("carl", cause_sequence=2)
    assert [await hops(each) for each in (first, reply, note, by_note)] == [0, 1, 1, 2]
    # Of what it acknowledges the one with the most hops.
    acknowledging = await carl.send("bob", acknowledge_sequences=[1, 2, 3])
    assert await hops(acknowledging) == 3
    # What it acknowledged before says nothing, nor what is not in its inbox.
    assert await hops(await carl.send("bob", acknowledge_sequences=[3])) == 0
    assert await hops(await alice.send("bob", in_reply_to=first.message_id)) == 0
    # A named delivery counts before the one that is replied to.
    both = await carl.send("bob", in_reply_to=first.message_id, cause_sequence=3)
    assert await hops(both) == 3
    # A person begins anew, and what a person said is the first of a chain.
    asked = await carl.send("rita", cause_sequence=3)
    said = await rita.send("bob", in_reply_to=asked.message_id)
    answered = await bob.send("rita", in_reply_to=said.message_id)
    assert [await hops(each) for each in (asked, said, answered)] == [3, 0, 1]
    batch = await carl.call(
        pb.BatchSendMessagesRequest(
            requests=[
                pb.SendMessageRequest(recipient_ids=["bob"], cause_sequence=each) for each in (1, 3)
            ]
        )
    )
    assert [await hops(each) for each in batch.messages] == [1, 3]
    # After an hour it is no loop any more.
    await let_an_hour_pass(team)
    assert await hops(await carl.send("bob", in_reply_to=first.message_id)) == 0


async def test_a_cause_must_be_in_the_inbox(team: Team) -> None:
    (bob,) = await team.known("bob")
    code, reason, metadata = await refusal(bob.send("bob", cause_sequence=1))
    assert (code.name, reason, metadata["last"]) == (
        "OUT_OF_RANGE",
        "CURSOR_IN_FUTURE",
        "0",
    )
    error = await failure(bob.send("bob", cause_sequence=1))
    assert "cause_sequence 1 lies beyond the end of the inbox" in str(error.details())
    assert await faults(bob.send("bob", cause_sequence=-1)) == {"cause_sequence"}
    batch = pb.BatchSendMessagesRequest(
        requests=[pb.SendMessageRequest(recipient_ids=["bob"], cause_sequence=-1)]
    )
    assert await faults(bob.call(batch)) == {"requests[0].cause_sequence"}


async def test_a_refusal_writes_nothing_but_one_notice_an_hour_to_whoever_began(team: Team) -> None:
    alice, bob, carl = await team.known("alice", "bob", "carl")
    sent = await alice.send("bob", subject="a plan")
    await limit(team, **OFF | {"hops": 1})
    thread = {"thread_id": sent.thread_id}
    reply = await bob.send("carl", in_reply_to=sent.message_id)
    seen = (await alice.look()).last_sequence

    again = {"in_reply_to": reply.message_id, "request_id": "again", "acknowledge_sequences": [1]}
    found = await suspected(carl.send("bob", **again))
    assert found == {
        "limit": "hops_max",
        "most": "1",
        "count": "2",
        "thread_id": sent.thread_id,
        "chain": [
            (sent.message_id, "alice"),
            (reply.message_id, "bob"),
        ],
        "beginner_told": "true",
    }
    assert (await bob.look()).last_sequence == 1
    assert (await carl.look()).unacknowledged_count == 1
    (told,) = await notices(alice)
    assert (told.kind, told.sender_id, told.thread_id) == (
        pb.MESSAGE_KIND_NOTICE,
        "carl",
        sent.thread_id,
    )
    assert told.mail_notice.event == pb.MAIL_EVENT_LOOP_SUSPECTED
    assert told.mail_notice.message_id == reply.message_id
    assert list(told.mail_notice.recipient_ids) == ["carl", "alice", "bob"]
    assert "hop_count of 2" in told.mail_notice.reason
    assert told.hop_count == 0
    # Told once, whoever is refused in this hour, in the same thread; then again.
    for refused in (carl, carl):
        assert (await suspected(refused.send("bob", **again)))["beginner_told"] == "true"
    assert (await alice.look()).last_sequence == seen + 1
    await limit(team, hops=0)
    assert (await carl.send("bob", **again)).thread_id == sent.thread_id
    await limit(team, **OFF | {"thread_messages": 1})
    await carl.send("bob", **thread)
    await let_an_hour_pass(team)
    await carl.send("bob", **thread)
    await suspected(bob.send("carl", **thread))
    assert len(await notices(alice)) == 2


async def test_a_thread_has_so_many_messages_in_an_hour_without_a_person(team: Team) -> None:
    alice, bob, rita = await team.known("alice", "bob", "rita")
    person = pb.Agent(kind=pb.AGENT_KIND_PERSON)
    await rita.call(pb.UpdateAgentRequest(agent=person, update_mask=FieldMask(paths=["kind"])))
    sent = await alice.send("bob")
    await limit(team, **OFF | {"thread_messages": 3})
    thread = {"thread_id": sent.thread_id}
    await bob.send("alice", in_reply_to=sent.message_id)
    await alice.send("alice", **thread)  # A note to itself.
    await alice.send("bob", "rita", **thread)  # For each recipient.
    found = await suspected(bob.send("alice", **thread))
    assert (found["limit"], found["most"], found["count"]) == (
        "thread_messages_per_hour_max",
        "3",
        "4",
    )
    assert [sender_id for _, sender_id in found["chain"]] == ["alice", "bob", "alice", "alice"]
    # Neither notices nor other threads count, nor the sender's own refusals.
    await bob.call(pb.RejectMessageRequest(sequences=[1], reason="no"))
    await bob.send("alice")
    requests = [pb.SendMessageRequest(recipient_ids=["bob"], thread_id="other")] * 4
    found = await suspected(alice.call(pb.BatchSendMessagesRequest(requests=requests)))
    assert (found["count"], found["thread_id"], found["chain"]) == ("4", "other", [])
    assert found["beginner_told"] == "false"
    await alice.call(pb.BatchSendMessagesRequest(requests=requests[:3]))
    # A person is never refused, and begins the hour anew.
    await rita.send("bob", "alice", **thread)
    for _ in range(3):
        await bob.send("alice", **thread)
    await suspected(bob.send("alice", **thread))
    await rita.send("bob", "alice", **thread)
    await let_an_hour_pass(team)
    await bob.send("alice", **thread)


async def test_depth_grows_where_a_matter_is_passed_on_and_falls_with_an_answer(
    team: Team,
) -> None:
    lead, *workers = await team.known("lead", "ann", "ben", "cid")
    first = await lead.send("ann")
    await limit(team, **OFF | {"depth": 2})
    # Work that is given to one after the other stays flat.
    last = first
    for worker in workers * 2:
        given = await lead.send(worker.agent_id, in_reply_to=last.message_id)
        last = await worker.send("lead", in_reply_to=given.message_id)
    ann, ben, cid = workers
    passed = await ann.send("ben", in_reply_to=first.message_id)
    passed = await ben.send("cid", cause_sequence=passed.receipts[0].sequence)
    found = await suspected(cid.send("ann", acknowledge_sequences=[passed.receipts[0].sequence]))
    assert (found["limit"], found["count"]) == ("depth_max", "3")
    # An answer is no step deeper, nor what follows it up.
    answer = await cid.send("ben", in_reply_to=passed.message_id)
    await ben.send("ann", cause_sequence=answer.receipts[0].sequence)
    await suspected(cid.send("ben", "ann", in_reply_to=passed.message_id))


async def test_a_caller_who_began_the_thread_learns_it_from_the_error_alone(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sent = await alice.send("bob", thread_id="ours")
    await limit(team, **OFF | {"thread_messages": 2})
    await alice.send("bob", in_reply_to=sent.message_id)
    found = await suspected(alice.send("bob", thread_id="ours"))
    assert found["beginner_told"] == "false"
    assert await notices(alice) == []
    assert (await suspected(bob.send("alice", thread_id="ours")))["beginner_told"] == "true"
    assert len(await notices(alice)) == 1


async def test_where_nothing_is_limited_nothing_is_counted(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await limit(team, **OFF)
    sent = await alice.send("bob")
    for sender, recipient in [(bob, "alice"), (alice, "bob")] * 40:
        sent = await sender.send(recipient, in_reply_to=sent.message_id)
    assert (await team.message(sent.message_id)).message.hop_count == 80
