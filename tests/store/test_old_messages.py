"""Messages from before their bytes were stored are read as they were sent, in every way."""

from __future__ import annotations

from typing import Any, cast

import pytest
from google.protobuf.struct_pb2 import Struct
from playhouse.migrations import Runner

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store.engines.base import MIGRATIONS
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.transaction import MICROS
from dovetail.types.v1 import types_pb2
from support.pair import identity, running_pair

BOB = identity("bob", "red")
SENT = 1_795_660_952 * MICROS
MANY = ["bob", *(f"r{number}" for number in range(1, 12))]

# As a server wrote them when the last migration was 0005.
MESSAGES: tuple[tuple[Any, ...], ...] = (
    ("alice", '["bob"]', "Hi", "hello ✓\n", None, 2, 1, "m1", "", "", "", None, 210),
    (
        "alice",
        '["bob"]',
        "",
        "",
        '{"": "", "list": [1.0, "two", []], "object": {"deep": {}}, "whole": 3.0, "text": "é",'
        ' "none": null, "number": 1.5, "yes": true}',
        3,
        1,
        "m1",
        "m1",
        "",
        "\x1ea\x1f1\x1eb\x1f\x1e",
        None,
        366,
    ),
    (
        "alice",
        '["bob", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11"]',
        "",
        "to many",
        "{}",
        2,
        1,
        "m3",
        "",
        "",
        "",
        None,
        719,
    ),
    (
        "alice",
        '["bob"]',
        "Task t1 has its answer: Build",
        "a",
        '{"options": ["a", "b"]}',
        2,
        2,
        "t1",
        "",
        "t1",
        "",
        '{"verb": "PROVIDE_INPUT", "task_id": "t1", "event_number": 4, "actor_id": "alice",'
        ' "assignee_id": "bob", "former_assignee_id": ""}',
        254,
    ),
)
COLUMNS = (
    "sender_id, recipients, subject, body, data, importance, kind, thread_id, in_reply_to, task_id,"
    " labels, notice, size"
)


def struct(content: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(content)
    return made


def message(number: int, **fields: Any) -> m.Message:
    usual: dict[str, Any] = {
        "sender_id": "alice",
        "recipient_ids": ["bob"],
        "recipient_count": 1,
        "importance": m.IMPORTANCE_NORMAL,
        "kind": m.MESSAGE_KIND_MESSAGE,
    }
    sent = m.Message(message_id=f"m{number}", **{**usual, **fields})
    sent.create_time.FromMicroseconds(SENT + number)
    return sent


EXPECTED = [
    message(1, subject="Hi", body="hello ✓\n", thread_id="m1"),
    message(
        2,
        data=struct(
            {
                "": "",
                "list": [1, "two", []],
                "object": {"deep": {}},
                "whole": 3,
                "text": "é",
                "none": None,
                "number": 1.5,
                "yes": True,
            }
        ),
        importance=m.IMPORTANCE_HIGH,
        thread_id="m1",
        in_reply_to="m1",
        labels={"a": "1", "b": ""},
    ),
    message(
        3,
        recipient_ids=MANY[:10],
        recipient_count=12,
        body="to many",
        data=Struct(),
        thread_id="m3",
    ),
    message(
        4,
        subject="Task t1 has its answer: Build",
        body="a",
        data=struct({"options": ["a", "b"]}),
        thread_id="t1",
        task_id="t1",
        kind=m.MESSAGE_KIND_NOTICE,
        notice=m.Notice(
            verb=types_pb2.TASK_VERB_PROVIDE_INPUT,
            task_id="t1",
            event_number=4,
            actor_id="alice",
            assignee_id="bob",
        ),
    ),
]


@pytest.fixture
def old_url(store_url: str) -> str:
    """A store with messages to bob, as it was before the migration."""
    engine = open_engine(store_url)
    cast(Any, Runner(engine.database, str(MIGRATIONS))).up("0005_contract")
    run = cast(Any, engine.database).execute_sql
    with engine.database.atomic():
        run(f"INSERT INTO teams VALUES ('red', 4, 0, 0, {SENT + 4}, {SENT})")
        for agent_id, last in (("alice", 0), ("bob", 4)):
            run(
                f"INSERT INTO agents VALUES ('red', '{agent_id}', '', '', {SENT}, {SENT}, {last},"
                f" {last}, 0, 0)"
            )
        marks = ", ".join([engine.database.param] * 13)
        for number, row in enumerate(MESSAGES, start=1):
            run(
                f"INSERT INTO messages (team_id, number, create_time, {COLUMNS})"
                f" VALUES ('red', {number}, {SENT + number}, {marks})",
                row,
            )
            run(
                f"INSERT INTO deliveries VALUES ('red', 'bob', {number}, {number},"
                f" {SENT + number}, NULL)"
            )
    engine.close_connection()
    engine.close()
    return store_url


async def test_messages_of_an_earlier_release_are_read_as_they_were_sent(old_url: str) -> None:
    async with running_pair(old_url) as pair:
        ways = pair.messaging
        received = await ways.ReceiveMessages(m.ReceiveMessagesRequest(), metadata=BOB)
        assert [each.message for each in received.deliveries] == EXPECTED
        assert [each.receipt.sequence for each in received.deliveries] == [1, 2, 3, 4]
        stream = ways.SubscribeInbox(m.SubscribeInboxRequest(), metadata=BOB)
        streamed = cast(m.SubscribeInboxResponse, await stream.read())
        assert [each.message for each in streamed.deliveries] == EXPECTED
        listed = await ways.ListMessages(m.ListMessagesRequest(), metadata=BOB)
        assert [each.message for each in listed.records] == EXPECTED
        for each in EXPECTED:
            request = m.GetMessageRequest(message_id=each.message_id)
            found = await ways.GetMessage(request, metadata=BOB)
            assert found.record.message == each
        for query, expected in (("HELLO", "m1"), ("two", "m2"), ("task answer a b", "m4")):
            search = m.SearchMessagesRequest(query=query)
            (hit,) = (await ways.SearchMessages(search, metadata=BOB)).hits
            assert hit.record.message.message_id == expected


async def test_old_and_new_messages_stand_in_one_page(old_url: str) -> None:
    async with running_pair(old_url) as pair:
        reply = m.SendMessageRequest(recipient_ids=["bob"], in_reply_to="m2", body="new")
        await pair.messaging.SendMessage(reply, metadata=BOB)
        received = await pair.messaging.ReceiveMessages(m.ReceiveMessagesRequest(), metadata=BOB)
        *old, new = (each.message for each in received.deliveries)
        assert old == EXPECTED
        assert (new.message_id, new.body, new.thread_id) == ("m5", "new", "m1")
