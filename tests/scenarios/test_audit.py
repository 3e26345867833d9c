"""The audit that the other scenarios lean on: it finds damage where there is some."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cysqlite
import pytest

from support.audit import faults
from support.pair import running_pair
from support.teams import Team

DAMAGE = {
    "DELETE FROM deliveries WHERE sequence = 1": "the sequences of an inbox",
    "UPDATE agents SET unacknowledged_count = 7": "an inbox's counters",
    "DELETE FROM messages WHERE number = 1": "a delivery without its message",
    "UPDATE task_events SET message_number = NULL": "a notice without its event",
    "UPDATE messages SET number = 9 WHERE number = 2": "the messages of a team",
    "UPDATE teams SET last_event = 4": "the events of a team",
    "UPDATE tasks SET number = 2": "the tasks of a team",
    "UPDATE tasks SET version = 5": "a task's version",
    "UPDATE tasks SET state = 4": "a task is not as its last event",
    "UPDATE task_events SET from_state = 2 WHERE number = 2": "an event does not begin",
    "DELETE FROM deliveries WHERE sequence = 2": "a message without all its deliveries",
    "DELETE FROM deliveries WHERE sequence = 3": "an event without its notices",
}


@pytest.mark.parametrize(("damage", "fault"), DAMAGE.items(), ids=DAMAGE.values())
async def test_the_audit_finds_what_is_half_written(
    sqlite_url: str, damage: str, fault: str
) -> None:
    await _two_messages_and_a_task(sqlite_url)
    assert faults(sqlite_url) == []
    _run(sqlite_url, damage)
    assert any(found.startswith(fault) for found in faults(sqlite_url))


async def _two_messages_and_a_task(store_url: str) -> None:
    async with running_pair(store_url) as pair:
        alice, bob = Team(pair).caller("alice"), Team(pair).caller("bob")
        await bob.register()
        for body in ("one", "two"):
            await alice.send("bob", body=body)
        await alice.create(task_id="work", assignee_id="bob")
        await bob.do("start", "work")


def _run(store_url: str, sql: str) -> None:
    """Damage the store, as nothing of ours could: without foreign keys."""
    path = Path(store_url.removeprefix("sqlite:///"))
    connection = cast(Any, cysqlite).Connection(str(path))
    connection.execute("PRAGMA foreign_keys = 0")
    connection.execute(sql)
    connection.close()
