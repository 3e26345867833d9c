"""Groups as sets: what units see and what is stored is as if each step was written at once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peewee import PeeweeException

from dovetail.server.store import group as groups
from dovetail.server.store.database import typed
from dovetail.server.store.engines.base import Engine
from dovetail.server.store.group import WriteGroup
from dovetail.server.store.tables import agents, deliveries, endings, messages, tasks
from dovetail.server.store.tables.agents import AGENTS
from dovetail.server.store.tables.deliveries import ACKNOWLEDGED_MAX
from dovetail.server.store.tables.delivery_states import DeliveryAct
from dovetail.server.store.tables.endings import Ending
from dovetail.server.store.tables.messages import Content, MessageKind, NewMessage
from dovetail.server.store.tables.tasks import TASKS
from dovetail.server.store.transaction import Transaction
from store.opened import TEAM, migrated

NAMES = ("ann", "bob", "eve")
SEEN_BY_DATABASE = (
    "SELECT agent_id, last_sequence, unacknowledged_count, acknowledged_count FROM agents"
    " ORDER BY agent_id",
    "SELECT agent_id, sequence, message_number, acknowledge_time IS NULL, ending FROM deliveries"
    " ORDER BY agent_id, sequence",
    "SELECT number, recipients FROM messages ORDER BY number",
)


class _UndoneError(Exception):
    """Ends a group that is not to be committed."""


@contextmanager
def undone(engine: Engine) -> Generator[WriteGroup]:
    """A group that is rolled back at the end of the block."""
    with suppress(_UndoneError), engine.write() as group:
        yield group
        raise _UndoneError


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Generator[Engine]:
    """A store with three agents."""
    with migrated(shared_url) as engine:
        with engine.write() as group:
            for name in NAMES:
                agents.register(group.unit(TEAM), name)
            group.flush()
        yield engine


def send(
    transaction: Transaction,
    recipient_ids: tuple[str, ...],
    body: str = "hi",
    expire_time: int | None = None,
) -> int:
    """Send a message as SendMessage does. Returns its number."""
    new = NewMessage(
        sender_id="ann",
        recipient_ids=recipient_ids,
        kind=MessageKind.MESSAGE,
        content=Content(body=body),
        expire_time=expire_time,
    )
    return messages.append(transaction, new, agents.require(transaction, recipient_ids)).number


Step = tuple[str, tuple[str, ...], int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("send", "acknowledge", "see agents", "see rows", "need"),
                *("send passing", "reject", "withdraw", "expire"),
            )
        ),
        st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
        st.integers(1, 9),
    ),
    max_size=12,
)


def take(transaction: Transaction, step: Step) -> Any:
    """What a unit is answered at one step."""
    what, names, number = step
    if what == "send":
        return send(transaction, names)
    if what == "send passing":
        return send(transaction, names, expire_time=1)
    if what in ENDING:
        return end(transaction, what, names[0], number)
    if what == "acknowledge":
        return deliveries.acknowledge(transaction, names[0], (1, number), ACKNOWLEDGED_MAX)
    if what == "see agents":
        found = [agents.get(transaction, name) for name in names]
        return [(each.last_sequence, each.unacknowledged_count) for each in found]
    if what == "see rows":
        return deliveries.unacknowledged(transaction, names[0], range(1, number))
    transaction.need([*agents.need(names), *deliveries.need(names[0], [(1, number)])])
    return None


ENDING = {
    "reject": DeliveryAct.REJECT,
    "withdraw": DeliveryAct.WITHDRAW,
    "expire": DeliveryAct.EXPIRE,
}


def end(transaction: Transaction, what: str, agent_id: str, number: int) -> list[str]:
    """Who lost a delivery, in order."""
    found = {
        "reject": lambda: endings.of_inbox(transaction, agent_id, range(1, number)),
        "withdraw": lambda: endings.of_message(transaction, number),
        "expire": lambda: endings.due(transaction),
    }
    records = [each for each in found[what]() if each.acknowledge_time is None]
    return sorted(
        each.agent_id for each in endings.end(transaction, records, Ending(act=ENDING[what]))
    )


def play(engine: Engine, steps: list[Step], at_once: bool) -> tuple[list[Any], list[Any]]:
    """The answers, and the rows at the end; `at_once`: nothing is held from step to step."""
    answers: list[Any] = []
    rows: list[Any] = []
    with undone(engine) as group:
        for step in steps:
            answers.append(take(group.unit(TEAM), step))
            if at_once:
                forget(group)
        forget(group)
        rows += [typed(engine.database).execute_sql(sql).fetchall() for sql in SEEN_BY_DATABASE]
    return answers, rows


def forget(group: WriteGroup) -> None:
    """Write all that was put, and hold nothing any more."""
    group._flush(group._dirty)
    for table in list(group._held):
        group._forget(table)


@given(steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_a_group_is_answered_as_if_each_step_was_written_at_once(
    engine: Engine, steps: list[Step]
) -> None:
    assert play(engine, steps, at_once=False) == play(engine, steps, at_once=True)


def test_more_than_a_call_acknowledges_is_acknowledged_by_the_next_of_the_group(
    engine: Engine,
) -> None:
    """A range that ends at its limit is not the whole: the second unit must look again."""
    with undone(engine) as group:
        transaction = group.unit(TEAM)
        for _ in range(ACKNOWLEDGED_MAX + 5):
            send(transaction, ("bob",))
        forget(group)
        transaction.need(deliveries.need("bob", [(1, 2_000)]))
        taken = [deliveries.acknowledge(transaction, "bob", (1, 2_000), 2_000) for _ in range(3)]
        assert [each.acknowledged for each in taken] == [ACKNOWLEDGED_MAX, 5, 0]
        assert agents.get(transaction, "bob").unacknowledged_count == 0


def test_what_did_not_change_is_not_written(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with undone(engine) as group:
        agent = group.find(AGENTS.by_key, (TEAM, "bob"))
        assert agent is not None
        group.put(AGENTS, TEAM, agent)
        written: list[Any] = []
        monkeypatch.setattr(group._driver, "write", lambda *change: written.append(change))
        group._flush(group._dirty)
        assert written == []


def test_a_group_locks_each_team_before_it_reads_of_it(engine: Engine) -> None:
    """Administration acts in a team that is not its own: what it finds there must not be old."""
    with undone(engine) as group:
        group.team("")
        agents.touch(group.unit("").in_team(TEAM), "bob")
        assert TEAM in group._teams


def test_a_group_holds_a_bounded_size(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "HELD_BYTES_MAX", 1_000)
    with undone(engine) as group:
        transaction = group.unit(TEAM)
        numbers = [send(transaction, ("bob",), "x" * 400) for _ in range(20)]
        forget(group)
        for number in numbers:
            assert messages.find(transaction, number)
            assert group._held_size < 2_000
        assert deliveries.acknowledge(transaction, "bob", (1, 20), 20).acknowledged == 20


def test_of_large_rows_few_are_fetched_before_they_are_asked_for(engine: Engine) -> None:
    with undone(engine) as group:
        transaction = group.unit(TEAM)
        transaction.need(tasks.need(f"t{number}") for number in range(1_000))
        assert len(group._held[TASKS]) == groups.LARGE_ROWS_MAX


def test_a_connection_goes_on_after_a_team_was_blocked(postgres_url: str) -> None:
    """What a failed pipeline skipped must not count as prepared."""
    needs = agents.need(NAMES)
    with migrated(postgres_url) as engine:
        engine.close_connection()  # That of the migration waits for locks without end.
        with engine.probe():
            pass
        with engine.write() as group:
            group.prefetch(TEAM, needs)
            agents.touch(group.unit(TEAM), "ann")
            group.flush()
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT * FROM teams FOR UPDATE")
            for _ in range(7):  # psycopg prepares what it sent five times
                with pytest.raises(PeeweeException), engine.write() as group:
                    group.prefetch(TEAM, needs)
            other.rollback()
        for _ in range(3):
            with engine.write() as group:
                group.prefetch(TEAM, needs)
                agents.touch(group.unit(TEAM), "bob")
                group.flush()
