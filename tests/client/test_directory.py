"""An agent's calls to the directory: groups, changes and removals, for asyncio and without."""

from __future__ import annotations

import pytest

from client.conftest import Connect
from dovetail.client import (
    AbortedError,
    Agent,
    AgentKind,
    FailedPreconditionError,
    Inbox,
    MailEvent,
    NotFoundError,
    draft_message,
)


async def test_groups_are_made_found_and_sent_to(alice: Agent, bob: Agent):
    made = await alice.put_group("crew", ["bob", "alice"], display_name="Crew", labels={"k": "v"})
    assert (made.agent_ids, made.agent_count, made.creator_id) == (("alice", "bob"), 2, "alice")
    assert await alice.group("crew") == made
    await alice.put_group("other")
    assert [each.group_id async for each in alice.groups(page_size=1)] == ["crew", "other"]
    assert [each.group_id async for each in alice.groups("bob")] == ["crew"]
    assert [each.agent_ids async for each in alice.groups(labels={"k": "v"})] == [()]
    sent = await alice.send(body="hello", groups=["crew"])
    assert [each.recipient_id for each in sent.receipts] == ["bob"]
    await alice.send_many([draft_message(body="many", groups=["crew"])])
    found = await bob.receive()
    assert [(each.body, each.group_ids) for each in found] == [
        ("hello", ("crew",)),
        ("many", ("crew",)),
    ]
    with pytest.raises(AbortedError):
        await alice.put_group("crew", etag="v1")
    with pytest.raises(NotFoundError):
        await alice.send(body="x", groups=["crews"])
    assert await alice.delete_group("crew", etag=made.etag)
    assert not await alice.delete_group("crew")


async def test_an_agent_is_changed_and_removed(alice: Agent, bob: Agent, connected: Connect):
    changed = await bob.update_agent(kind="person", labels={"a": "1"})
    assert (changed.kind, dict(changed.labels)) == (AgentKind.PERSON, {"a": "1"})
    named = await alice.update_agent("bob", display_name="Bob", etag=changed.etag)
    assert (named.display_name, named.kind) == ("Bob", "person")
    async with bob.inbox() as inbox:
        await alice.send("bob", "hello")
        assert (await anext(inbox)).body == "hello"
        assert (await alice.agent("bob")).open_streams == 1
        task = await alice.tasks.create("x", assignee_id="bob")
        with pytest.raises(FailedPreconditionError, match="1 open task"):
            await alice.remove_agent("bob")
        await alice.tasks.cancel(task.task_id, notify="none")
        async with connected("carol") as carol:
            removal = await carol.remove_agent("bob")
        assert removal.agent.remove_time is not None
        assert (removal.agent.unacknowledged_count, removal.told_sender_count) == (1, 1)
        with pytest.raises(NotFoundError, match="it was removed"):
            await read_on(inbox)
    (told,) = await alice.receive()
    assert told.mail_notice
    assert told.mail_notice.event == MailEvent.RECIPIENT_REMOVED
    assert told.mail_notice.message_count == 1
    assert [each.agent_id async for each in alice.agents()] == ["alice", "carol"]
    everybody = [each.agent_id async for each in alice.agents(include_removed=True)]
    assert everybody == ["alice", "bob", "carol"]
    again = await bob.register(kind="model")
    assert (again.last_sequence, again.kind) == (2, AgentKind.MODEL)


async def read_on(inbox: Inbox) -> None:
    async for _ in inbox:
        pass


async def test_reading_registers_nobody(connected: Connect):
    async with connected("dora") as dora:
        for read in (dora.receive(), anext(dora.inbox())):
            with pytest.raises(NotFoundError):
                await read
        await dora.register()
        assert await dora.receive() == []
