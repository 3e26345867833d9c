"""Groups: units that wait together are one commit, and none disturbs another."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dovetail.server.errors import (
    InternalError,
    NotFoundError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents
from dovetail.server.store.tables.agents import AGENTS, AgentRecord
from dovetail.server.store.transaction import Transaction
from dovetail.server.store.units import current_permit
from store.opened import TEAM, held, known_agents, opened, queued


class Registering:
    """A unit that registers an agent, and can go wrong before or after that."""

    def __init__(
        self,
        agent_id: str,
        before: Exception | None = None,
        after: Exception | None = None,
    ) -> None:
        self.transactions: list[Transaction] = []
        self._agent_id = agent_id
        self._before = before
        self._after = after

    def __call__(self, transaction: Transaction) -> str:
        self.transactions.append(transaction)
        if self._before:
            raise self._before
        agents.register(transaction, self._agent_id)
        if self._after:
            raise self._after
        return self._agent_id


class Adding(Registering):
    """One that does not look whether the agent is there."""

    def __call__(self, transaction: Transaction) -> str:
        transaction.add(AGENTS, AgentRecord(self._agent_id, "", "{}", 1, 1, 0, 0))
        return self._agent_id


def not_found() -> NotFoundError:
    return NotFoundError(Reason.AGENT_NOT_FOUND, "none")


async def results(store: Store, *units: Registering) -> list[object]:
    """What came of units that waited together."""
    async with held(store):
        tasks = await queued(*(store.write(TEAM, unit) for unit in units))
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_units_that_wait_together_are_one_transaction(store: Store) -> None:
    units = [Registering(f"agent-{number}") for number in range(10)]
    assert await results(store, *units) == [f"agent-{number}" for number in range(10)]
    transactions = [transaction for unit in units for transaction in unit.transactions]
    assert len(transactions) == 10
    assert len({id(transaction._group) for transaction in transactions}) == 1


async def test_a_unit_sees_what_those_before_it_in_the_group_wrote(store: Store) -> None:
    first = Registering("bob")
    async with held(store):
        tasks = await queued(
            store.write(TEAM, first),
            store.write(TEAM, lambda t: agents.get(t, "bob").agent_id),
        )
    assert await asyncio.gather(*tasks) == ["bob", "bob"]


async def test_a_refusal_leaves_the_rest_of_the_group_as_it_is(store: Store) -> None:
    refusal = not_found()
    units = [Registering("a"), Registering("b", before=refusal), Registering("c")]
    assert await results(store, *units) == ["a", refusal, "c"]
    assert [len(unit.transactions) for unit in units] == [1, 1, 1]
    assert await known_agents(store) == ["a", "c"]


@pytest.mark.parametrize("text", ["none", "no task 'the database or disk is full'"])
async def test_a_refusal_after_a_write_is_rolled_back_alone(store: Store, text: str) -> None:
    """Whatever a caller had it say: only what the database itself says tells of its state."""
    refusal = NotFoundError(Reason.AGENT_NOT_FOUND, text)
    units = [Registering("a"), Registering("b", after=refusal), Registering("c")]
    assert await results(store, *units) == ["a", refusal, "c"]
    assert await known_agents(store) == ["a", "c"]


async def test_an_unknown_error_after_a_write_is_rolled_back_alone(store: Store) -> None:
    units = [Registering("a"), Registering("b", after=RuntimeError("bug")), Registering("c")]
    first, error, last = await results(store, *units)
    assert (first, last) == ("a", "c")
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, RuntimeError)
    assert "bug" not in error.message
    assert await known_agents(store) == ["a", "c"]


async def test_a_violated_constraint_is_rolled_back_alone(store: Store) -> None:
    await store.write(TEAM, Registering("taken"))
    first, error, last = await results(store, Registering("a"), Adding("taken"), Registering("c"))
    assert (first, last) == ("a", "c")
    assert isinstance(error, InternalError)
    assert await known_agents(store) == ["a", "c", "taken"]


async def test_several_bad_units_of_a_group_each_get_their_own_error(store: Store) -> None:
    refusal = not_found()
    units = [
        Registering("a", after=RuntimeError()),
        Registering("b"),
        Registering("c", after=refusal),
        Registering("d", before=refusal),
    ]
    error, second, third, fourth = await results(store, *units)
    assert isinstance(error, InternalError)
    assert (second, third, fourth) == ("b", refusal, refusal)
    assert await known_agents(store) == ["b"]


async def test_a_unit_alone_that_refuses_after_a_write_leaves_nothing(store: Store) -> None:
    with pytest.raises(NotFoundError):
        await store.write(TEAM, Registering("a", after=not_found()))
    assert await known_agents(store) == []


async def test_a_unit_whose_caller_left_before_its_turn_is_never_run(store: Store) -> None:
    units = [Registering("a"), Registering("left"), Registering("c")]
    async with held(store):
        tasks = await queued(*(store.write(TEAM, unit) for unit in units))
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
    assert [await tasks[0], await tasks[2]] == ["a", "c"]
    assert units[1].transactions == []
    assert await known_agents(store) == ["a", "c"]


async def test_a_unit_whose_caller_left_amid_it_is_still_whole(store: Store) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        started.set()
        assert go.wait(60)
        agents.register(transaction, "slow")

    task = asyncio.create_task(store.write(TEAM, slow))
    await asyncio.to_thread(started.wait)
    task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.write(TEAM, Registering("next"))
    assert await known_agents(store) == ["next", "slow"]


async def test_a_write_is_seen_by_the_next_read_of_every_store(
    two_stores: tuple[Store, Store],
) -> None:
    one, other = two_stores
    for number in range(20):
        await one.write(TEAM, Registering(f"agent-{number:02}"))
        assert len(await known_agents(other)) == number + 1


async def test_a_read_sees_one_state_however_long_it_takes(
    two_stores: tuple[Store, Store],
) -> None:
    one, other = two_stores
    started, go = threading.Event(), threading.Event()

    def twice(snapshot: object) -> list[int]:
        counts: list[int] = []
        for _ in range(2):
            found = agents.last_sequences(snapshot, ["late"])  # type: ignore[arg-type]
            counts.append(len(found))
            started.set()
            assert go.wait(60)
        return counts

    reading = asyncio.create_task(one.scan(TEAM, twice))
    await asyncio.to_thread(started.wait)
    await other.write(TEAM, Registering("late"))
    go.set()
    assert await reading == [0, 0]


async def test_closing_finishes_what_waits_and_refuses_what_comes(store_url: str) -> None:
    async with opened(store_url) as store, held(store):
        tasks = await queued(store.write(TEAM, Registering("last")))
    assert await tasks[0] == "last"
    with pytest.raises(UnavailableError) as caught:
        await store.write(TEAM, Registering("late"))
    assert caught.value.reason is Reason.SERVER_STOPPING


async def test_on_postgresql_teams_commit_side_by_side(postgres_url: str) -> None:
    async with opened(postgres_url) as store, held(store, "blue"):
        await store.write("red", lambda t: agents.register(t, "bob"))
        assert await known_agents(store, "red") == ["bob"]


async def test_a_write_is_refused_when_its_leave_has_ended_by_its_turn(store: Store) -> None:
    ended = False

    def permit() -> None:
        if ended:
            raise UnauthenticatedError(Reason.CREDENTIAL_ENDED, "ended meanwhile")

    async def late() -> None:
        current_permit.set(permit)
        await store.write(TEAM, lambda t: agents.register(t, "late"))

    async with held(store):
        (refused, kept) = await queued(
            late(), store.write(TEAM, lambda t: agents.register(t, "kept"))
        )
        ended = True
    with pytest.raises(UnauthenticatedError, match="ended meanwhile"):
        await refused
    await kept
    assert await known_agents(store) == ["kept"]
