"""An agent's talk: the directory, sending, looking back."""

from __future__ import annotations

import pytest

from client.conftest import Connect
from dovetail.client import Agent, DeliveryState, InvalidArgumentError, NotFoundError, draft_message


async def test_an_agent_registers_itself_and_others(alice: Agent):
    carol = await alice.register("carol", display_name="Carol", labels={"role": "writer"})
    assert (carol.agent_id, carol.display_name) == ("carol", "Carol")
    assert (await alice.register()).agent_id == "alice"
    assert (await alice.agent()).agent_id == "alice"
    assert dict((await alice.agent("carol")).labels) == {"role": "writer"}
    writers = [agent.agent_id async for agent in alice.agents(labels={"role": "writer"})]
    assert writers == ["carol"]


async def test_ids_beyond_ascii_and_teams_reach_the_server(connected: Connect):
    async with connected("Zoë (→ 北京)", team_id="équipe") as zoe, connected("Zoë") as other:
        await zoe.register()
        assert [agent.agent_id async for agent in zoe.agents()] == ["Zoë (→ 北京)"]
        assert [agent.agent_id async for agent in other.agents()] == []


async def test_a_listing_goes_through_all_pages(alice: Agent):
    for number in range(5):
        await alice.register(f"agent {number}")
        await alice.send("alice", f"message {number}")
        await alice.tasks.create(f"task {number}")
    assert len([agent async for agent in alice.agents(page_size=2)]) == 6
    records = [record async for record in alice.messages(page_size=2)]
    assert [record.message.body for record in records] == [f"message {n}" for n in range(5)]
    titles = [task.title async for task in alice.tasks.list(page_size=2)]
    assert titles == [f"task {n}" for n in range(5)]


async def test_many_messages_are_sent_together(alice: Agent, bob: Agent):
    drafts = [
        draft_message("bob", "one", subject="first", data={"n": 1}, thread_id="plans"),
        draft_message(["bob", "alice"], "two", importance="high", labels={"a": "b"}),
    ]
    sent = await alice.send_many(drafts, request_id="r")
    assert await alice.send_many(drafts, request_id="r") == sent
    one, two = await bob.receive()
    assert (one.body, one.subject, one.data, one.thread_id) == ("one", "first", {"n": 1}, "plans")
    assert (two.body, two.message_id) == ("two", sent[1].message_id)
    with pytest.raises(NotFoundError):
        await alice.send_many([draft_message("bob"), draft_message("nobody")])
    assert len(await bob.receive()) == 2


async def test_a_message_arrives_with_all_that_was_said(alice: Agent, bob: Agent):
    task = await alice.tasks.create("x")
    first = await alice.send("alice", "first")
    sent = await alice.send(
        ["bob", "alice"],
        "body",
        subject="subject",
        data={"a": [1.5, None, {"b": True}]},
        importance="high",
        in_reply_to=first.message_id,
        task_id=task.task_id,
        labels={"k": "v"},
    )
    assert [(place.recipient_id, place.sequence) for place in sent.receipts] == [
        ("bob", 1),
        ("alice", 2),
    ]
    async with bob.inbox() as inbox:
        message = await anext(inbox)
    assert (message.sequence, message.message_id) == (1, sent.message_id)
    assert (message.sender_id, message.recipient_ids) == ("alice", ("bob", "alice"))
    assert (message.subject, message.body) == ("subject", "body")
    assert message.data == {"a": [1.5, None, {"b": True}]}
    assert message.importance == "high"
    assert (message.thread_id, message.in_reply_to) == (first.thread_id, first.message_id)
    assert (message.task_id, message.labels) == (task.task_id, {"k": "v"})
    assert (message.kind, message.notice) == ("message", None)
    assert message.create_time.utcoffset() is not None
    assert not message.acknowledged
    assert message.delivery.message.message_id == sent.message_id


async def test_a_message_is_found_with_what_became_of_it(alice: Agent, bob: Agent):
    sent = await alice.send("bob", "x")
    await bob.acknowledge([1])
    record = await alice.message(sent.message_id)
    assert record.receipts[0].state == DeliveryState.ACKNOWLEDGED
    acknowledged = alice.messages(
        recipient_id="bob",
        states=["acknowledged"],
        order="newest_first",
    )
    assert [found.message.message_id async for found in acknowledged] == [sent.message_id]
    unread = alice.messages(recipient_id="bob", states=["unacknowledged"])
    assert [found async for found in unread] == []


async def test_a_message_is_marked_as_seen_and_says_so_to_its_sender(alice: Agent, bob: Agent):
    sent = await alice.send("bob", "x")
    sequence = sent.receipts[0].sequence
    assert await bob.mark_seen([sequence]) == 1
    assert await bob.mark_seen([sequence]) == 0
    (receipt,) = (await alice.message(sent.message_id)).receipts
    assert receipt.state == DeliveryState.SEEN
    assert receipt.see_time == receipt.state_time
    assert receipt.see_time >= sent.create_time
    seen = alice.messages(recipient_id="bob", states="seen")
    assert [found.message.message_id async for found in seen] == [sent.message_id]


async def test_messages_are_found_by_their_words(alice: Agent, bob: Agent):
    await bob.register()
    sent = await alice.send("bob", "the red ship", subject="One")
    await alice.send("bob", "a blue ship", data={"note": "red"})
    hits = [hit async for hit in bob.search("RED ship*", sender="alice", page_size=1)]
    assert [hit.record.message.subject for hit in hits] == ["", "One"]
    last, first = hits
    assert first.record == await bob.message(sent.message_id)
    (place,) = first.places
    excerpt = place.excerpt
    assert (place.field, excerpt.text, excerpt.start) == ("body", "the red ship", 0)
    assert [excerpt.text[each.start : each.end] for each in excerpt.matches] == ["red", "ship"]
    assert [place.field for place in last.places] == ["body", "data"]
    with pytest.raises(InvalidArgumentError, match="query"):
        await anext(bob.search(""))


async def test_the_same_request_id_sends_once(alice: Agent):
    one = await alice.send("alice", "x", request_id="r")
    two = await alice.send("alice", "x", request_id="r")
    assert one == two
    with pytest.raises(InvalidArgumentError):
        await alice.send("alice", "another", request_id="r")


async def test_without_a_request_id_each_send_is_a_message(alice: Agent):
    one = await alice.send("alice", "x")
    two = await alice.send("alice", "x")
    assert one.message_id != two.message_id


async def test_a_reply_acknowledges_in_the_same_call(alice: Agent, bob: Agent):
    await bob.register()
    for text in ("one", "two", "three"):
        await alice.send("bob", text)
    first, second, _ = await bob.receive()
    await first.reply("done", acknowledge=[first.sequence])
    assert [each.body for each in await bob.receive()] == ["two", "three"]
    await bob.send("alice", "both", acknowledge=[second.sequence, 3])
    assert await bob.receive() == []
    assert [each.body for each in await alice.receive()] == ["done", "both"]
