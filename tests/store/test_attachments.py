"""Attachments in the store: written with their message or task, found and deleted by their keys."""

from __future__ import annotations

from dataclasses import replace

from dovetail.server.access.caller import Caller
from dovetail.server.messaging.inboxes import Inboxes, OutgoingMessage
from dovetail.server.store.database import typed
from dovetail.server.store.doctor import Level, check_store
from dovetail.server.store.engines.base import Engine
from dovetail.server.store.schema import MessageAttachmentRow, TaskAttachmentRow
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, attachments, messages, tasks
from dovetail.server.store.tables.attachments import INPUT, Attachment
from dovetail.server.store.tables.message_bytes import Content, MessageKind, NewMessage
from dovetail.server.store.transaction import Snapshot, Transaction
from store.explaining import Explaining
from store.opened import TEAM, migrated, opened, pending_task, to_bob

FILE = Attachment(name="a.bin", media_type="a/b", size=3, sha256=b"0" * 32, data=b"\0\xff\n")
LINK = Attachment(name="b", media_type="a/b", size=2**62, sha256=b"", url="https://x/y")
FILES = (FILE, LINK)
MANY = 1_100
"""More than one statement can name."""


def with_files(outgoing: OutgoingMessage) -> OutgoingMessage:
    return replace(outgoing, content=Content(body="x", attachments=FILES))


def counts(snapshot: Snapshot) -> tuple[int, int]:
    """How many attachments of messages and of tasks a team has."""
    found = [
        len(snapshot.select(row.select(row.name).where(row.team_id == snapshot.team_id)))
        for row in (MessageAttachmentRow, TaskAttachmentRow)
    ]
    return found[0], found[1]


def write_tasks(transaction: Transaction, count: int) -> list[str]:
    """Tasks with an input, and what an attempt brought."""
    made = [pending_task(transaction.team.next_task()) for _ in range(count)]
    for each in made:
        tasks.insert(transaction, replace(each, input_attachments_json=attachments.encode(FILES)))
        attachments.add_to_task(transaction, each.task_id, INPUT, FILES)
        attachments.add_to_task(transaction, each.task_id, 7, [FILE])
    return [each.task_id for each in made]


async def test_they_are_found_whole_and_deleted_by_lists_of_any_length(store: Store) -> None:
    for team_id in (TEAM, "other"):
        await store.write(team_id, lambda t: agents.touch(t, "bob"))
        bob = Caller(team_id=team_id, agent_id="bob")
        batch = [with_files(to_bob("x"))] * (MANY if team_id == TEAM else 1)
        sent = await Inboxes(store).send_all(bob, batch)
        assert [each.number for each in sent] == list(range(1, len(batch) + 1))
        count = 600 if team_id == TEAM else 1
        ids = await store.write(team_id, lambda t, count=count: write_tasks(t, count))
    assert ids == ["t1"]

    def find(snapshot: Snapshot) -> list[Attachment | None]:
        return [
            attachments.find_of_message(snapshot, 1, "a.bin"),
            attachments.find_of_message(snapshot, MANY, "b"),
            attachments.find_of_task(snapshot, "t1", INPUT, "b"),
            attachments.find_of_task(snapshot, "t600", 7, "a.bin"),
            attachments.find_of_task(snapshot, "t600", 7, "b"),
            attachments.find_of_message(snapshot, MANY + 1, "b"),
        ]

    assert await store.read(TEAM, find) == [FILE, LINK, LINK, FILE, None, None]
    task = await store.read(TEAM, lambda s: tasks.find(s, "t1"))
    assert task is not None
    told = attachments.decode(task.input_attachments_json)
    assert told == (replace(FILE, data=None), LINK)

    def delete(transaction: Transaction) -> None:
        attachments.delete_of_messages(transaction, range(2, MANY + 1))
        attachments.delete_of_tasks(transaction, [f"t{number}" for number in range(2, 601)])
        attachments.delete_of_messages(transaction, [])

    assert await store.read(TEAM, counts) == (2 * MANY, 3 * 600)
    await store.write(TEAM, delete)
    assert await store.read(TEAM, counts) == (2, 3)
    assert await store.read("other", counts) == (2, 3)


def statements(engine: Engine, content: Content) -> list[str]:
    """The SQL of a group that sends a message."""
    found: list[str] = []

    class Noting(Explaining):
        """Notes each set that is written."""

    with engine.span("BEGIN IMMEDIATE", "ROLLBACK"):
        group = Noting(engine)
        plans, write = group._driver, group._driver.write

        def note(changes, is_last):  # type: ignore[no-untyped-def]
            found.extend(statement.for_one for statement, _ in changes)
            write(changes, is_last)

        plans.write = note  # type: ignore[method-assign]
        unit = group.unit(TEAM)
        agents.register(unit, "bob")
        new = NewMessage(
            sender_id="bob", recipient_ids=("bob",), kind=MessageKind.MESSAGE, content=content
        )
        messages.append(unit, new, {"bob": 0})
        group.flush()
    return found


def test_a_message_without_attachments_writes_no_statement_more(sqlite_url: str) -> None:
    with migrated(sqlite_url) as engine:
        without = statements(engine, Content(body="x"))
        with_them = statements(engine, Content(body="x", attachments=FILES))
    assert not any("attachments" in sql for sql in without)
    extra = [sql for sql in with_them if sql not in without]
    assert [sql.split("(")[0] for sql in extra] == ['INSERT INTO "message_attachments" ']


async def test_doctor_finds_bytes_that_are_not_what_is_said_of_them(store_url: str) -> None:
    async with opened(store_url) as store:
        await store.write(TEAM, lambda t: agents.touch(t, "bob"))
        bob = Caller(team_id=TEAM, agent_id="bob")
        await Inboxes(store).send_all(bob, [with_files(to_bob("x"))])
        await store.write(TEAM, lambda t: write_tasks(t, 1))

    def found() -> tuple[Level, str]:
        (finding,) = [each for each in check_store(store_url) if each.check == "attachments"]
        return finding.level, finding.text

    assert found() == (Level.OK, "agree with the rows")
    for sql, place in (
        ("UPDATE message_attachments SET size = 4 WHERE name = 'a.bin'", "default:m1"),
        ("UPDATE message_attachments SET size = 3 WHERE name = 'a.bin'", ""),
        ("DELETE FROM task_attachments WHERE start_event = 0", "default:t1"),
        ("UPDATE tasks SET input_attachments = ''", ""),
        ("UPDATE task_attachments SET data = NULL", "default:t1"),
    ):
        with migrated(store_url) as engine:
            typed(engine.database).execute_sql(sql)
        level, text = found()
        assert (level is Level.FAIL) == bool(place), (sql, text)
        assert place in text
