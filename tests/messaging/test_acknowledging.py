"""Acknowledging: being done with deliveries, in any way that the contract knows."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from support.callers import sequences
from support.refusals import error_info, failure, refusal
from support.teams import Team


async def test_a_single_delivery(team: Team) -> None:
    bob = await team.bob_with(3)
    answer = await bob.acknowledge(2)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (1, 2)
    assert sequences(await bob.backlog()) == [1, 3]


async def test_a_list_of_deliveries_in_any_order_with_repetitions(team: Team) -> None:
    bob = await team.bob_with(6)
    answer = await bob.acknowledge(5, 1, 2, 5, 1)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (3, 3)
    assert sequences(await bob.backlog()) == [3, 4, 6]


async def test_all_through_a_sequence(team: Team) -> None:
    bob = await team.bob_with(5)
    answer = await bob.acknowledge(through_sequence=3)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (3, 2)
    assert sequences(await bob.backlog()) == [4, 5]


async def test_both_at_once_count_each_delivery_once(team: Team) -> None:
    bob = await team.bob_with(6)
    answer = await bob.acknowledge(sequences=[2, 5], through_sequence=3)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (4, 2)
    assert sequences(await bob.backlog()) == [4, 6]


async def test_acknowledging_again_changes_nothing(team: Team) -> None:
    bob = await team.bob_with(3)
    await bob.acknowledge(1, 2)
    before = (await bob.list_messages(recipient_id="bob")).records
    again = await bob.acknowledge(sequences=[1], through_sequence=2)
    assert (again.acknowledged_count, again.unacknowledged_count) == (0, 1)
    assert (await bob.list_messages(recipient_id="bob")).records == before


async def test_a_partly_new_acknowledgement_counts_what_is_new(team: Team) -> None:
    bob = await team.bob_with(5)
    await bob.acknowledge(2, 4)
    answer = await bob.acknowledge(through_sequence=5)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (3, 0)


@pytest.mark.parametrize("count", [1_000, 2_500])
async def test_very_many_are_acknowledged_by_one_call(team: Team, count: int) -> None:
    alice, bob = await team.known("alice", "bob")
    for _ in range(count // 500):
        await asyncio.gather(*(alice.send("bob") for _ in range(500)))
    await bob.acknowledge(7)
    answer = await bob.acknowledge(through_sequence=count)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (count - 1, 0)
    assert (await bob.look()).unacknowledged_count == 0
    assert await bob.backlog() == []


async def test_a_thousand_scattered_sequences_and_all_through_one(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for _ in range(5):
        await asyncio.gather(*(alice.send("bob") for _ in range(500)))
    even = list(range(502, 2_501, 2))
    answer = await bob.acknowledge(sequences=even, through_sequence=500)
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (1_500, 1_000)


@pytest.mark.parametrize(
    "wanted", [{"sequences": [1, 4]}, {"through_sequence": 4}, {"sequences": [1, 2**63 - 1]}]
)
async def test_what_was_not_reached_is_refused_and_nothing_acknowledged(
    team: Team, wanted: dict[str, object]
) -> None:
    bob = await team.bob_with(3)
    error = await failure(bob.acknowledge(**wanted))
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    info = error_info(error)
    assert (info.reason, info.metadata["last"]) == ("CURSOR_IN_FUTURE", "3")
    assert sequences(await bob.backlog()) == [1, 2, 3]


async def test_acknowledging_in_an_empty_inbox_is_refused(team: Team) -> None:
    (bob,) = await team.known("bob")
    error = await failure(bob.acknowledge(through_sequence=1))
    assert error_info(error).reason == "CURSOR_IN_FUTURE"


async def test_an_unknown_agent_has_nothing_to_acknowledge(team: Team) -> None:
    await team.known("bob")
    for agent in (team.caller("bobby"), team.caller()):
        error = await failure(agent.acknowledge(agent_id="bobby", through_sequence=1))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error_info(error).reason == "AGENT_NOT_FOUND"


async def test_an_operator_may_acknowledge_for_another(team: Team) -> None:
    bob = await team.bob_with(2)
    answer = await team.caller().acknowledge(agent_id="bob", sequences=[1])
    assert answer.acknowledged_count == 1
    assert sequences(await bob.backlog()) == [2]


async def test_at_once_from_many_sides_each_delivery_is_counted_once(team: Team) -> None:
    bob = await team.bob_with(20)
    answers = await asyncio.gather(
        *(bob.acknowledge(sequences=[number]) for number in range(1, 21)),
        *(bob.acknowledge(through_sequence=number) for number in range(1, 21)),
    )
    assert sum(answer.acknowledged_count for answer in answers) == 20
    assert (await bob.look()).unacknowledged_count == 0


async def test_a_reply_acknowledges_what_it_replies_to_in_the_same_commit(team: Team) -> None:
    bob = await team.bob_with(4)
    asked = (await bob.backlog())[1]
    reply = {"in_reply_to": asked.message.message_id, "acknowledge_sequences": [2, 4, 2]}
    first = await bob.send("bob", body="yes", request_id="r", **reply)
    assert sequences(await bob.backlog()) == [1, 3, 5]
    again = await bob.send("bob", body="yes", request_id="r", **reply)
    assert again.message_id == first.message_id
    assert sequences(await bob.backlog()) == [1, 3, 5]
    other = {**reply, "acknowledge_sequences": [1]}
    _, reason, _ = await refusal(bob.send("bob", body="yes", request_id="r", **other))
    assert reason == "REQUEST_ID_REUSED"
    await team.known("carol")
    await bob.send("carol", acknowledge_sequences=[1])
    assert sequences(await bob.backlog()) == [3, 5]


async def test_a_message_that_is_refused_acknowledges_nothing(team: Team) -> None:
    bob = await team.bob_with(2)
    for recipient, named in (("bob", [1, 99]), ("nobody", [1])):
        code, _, _ = await refusal(bob.send(recipient, acknowledge_sequences=named))
        expected = {"bob": grpc.StatusCode.OUT_OF_RANGE, "nobody": grpc.StatusCode.NOT_FOUND}
        assert code == expected[recipient]
    assert sequences(await bob.backlog()) == [1, 2]
    code, reason, _ = await refusal(team.caller("stranger").send("bob", acknowledge_sequences=[1]))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
