"""Wake-ups: a commit of one store rings at the others, and a lost ring costs time only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dovetail.server.access.caller import Caller
from dovetail.server.messaging.inboxes import Acknowledgement, Inboxes
from dovetail.server.store import changed_names
from dovetail.server.store.changed_names import Changes, Counters
from dovetail.server.store.engines.doorbell import Doorbell
from dovetail.server.store.engines.wakeups import Bell
from dovetail.server.store.rings import EVENTS
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, inboxes, queues
from dovetail.server.store.tables.deliveries import room
from dovetail.server.store.tables.inboxes import PageRequest
from dovetail.server.store.transaction import Snapshot, Transaction
from store.opened import TEAM, held, opened, queued, to_bob
from support.callers import sequences
from support.pair import Pair, running_pair
from support.teams import Team

PATIENCE = 30.0


@contextmanager
def watching(store: Store) -> Generator[Bell]:
    """A bell for bob's inbox."""
    with store.bells.watch(TEAM, ["bob"]) as bell:
        yield bell


async def settled(bell: Bell) -> None:
    """Wait for the first comparison of a new watcher, so that only changes ring from now on."""
    assert await bell.wait(PATIENCE)
    bell.clear()


async def deliver(store: Store) -> None:
    """Change bob's inbox."""
    await Inboxes(store).send(Caller(team_id=TEAM, agent_id="alice"), to_bob("ring"))


async def with_bob(store: Store) -> None:
    await store.write(TEAM, lambda t: agents.register(t, "bob"))


async def test_a_commit_rings_in_its_own_store(store: Store) -> None:
    await with_bob(store)
    with watching(store) as bell:
        await settled(bell)
        await deliver(store)
        assert await bell.wait(PATIENCE)


async def test_a_commit_hands_over_what_it_adds_to_an_inbox(store: Store) -> None:
    await with_bob(store)
    with watching(store) as bell:
        await settled(bell)
        waiting = asyncio.create_task(bell.wait(PATIENCE))
        await asyncio.sleep(0)  # one turn of the loop: it waits
        await asyncio.gather(deliver(store), deliver(store))
        assert await waiting
        handed = bell.clear()
        asked = PageRequest(
            agent_id="bob",
            after=0,
            include_acknowledged=False,
            filter=None,
            most=10,
            most_bytes=1_000_000,
        )
        page = await store.read(TEAM, lambda s: inboxes.page(s, asked))
        assert list(handed) == page.deliveries[: len(handed)] != []


async def test_what_is_handed_over_is_dropped_if_something_else_changed(store: Store) -> None:
    await with_bob(store)
    with watching(store) as bell:
        await settled(bell)
        waiting = asyncio.create_task(bell.wait(PATIENCE))
        await asyncio.sleep(0)
        async with held(store):
            sending = await queued(deliver(store))
        await asyncio.gather(*sending)
        store.bells.ring([(TEAM, "bob")])
        assert await waiting
        assert not bell.clear()


async def test_a_watcher_that_does_not_wait_is_handed_nothing(store: Store) -> None:
    await with_bob(store)
    with watching(store) as bell:
        await settled(bell)
        await deliver(store)
        assert await bell.wait(PATIENCE)
        assert not bell.clear()


async def test_an_acknowledgement_rings_those_alone_that_wait_for_room(store: Store) -> None:
    await with_bob(store)
    await deliver(store)
    with watching(store) as bell, store.bells.watch(TEAM, [room("bob")]) as other:
        await settled(bell)
        await settled(other)
        everything = Acknowledgement(agent_id="bob", sequences=[], through_sequence=1)
        await Inboxes(store).acknowledge(Caller(team_id=TEAM, agent_id="bob"), everything)
        assert await other.wait(PATIENCE)
        assert not await bell.wait(0)


async def test_a_commit_of_another_store_rings(two_stores: tuple[Store, Store]) -> None:
    one, other = two_stores
    await with_bob(one)
    with watching(one) as bell:
        await settled(bell)
        await deliver(other)
        assert await bell.wait(PATIENCE)


async def test_losing_every_doorbell_still_wakes(sqlite_url: str, tmp_path: Path) -> None:
    async with opened(sqlite_url) as one, opened(sqlite_url) as other:
        await with_bob(one)
        with watching(one) as bell:
            await settled(bell)
            for doorbell in (tmp_path / "store.db-bells").iterdir():
                doorbell.unlink()
            await deliver(other)
            assert await bell.wait(PATIENCE)


async def test_a_watcher_that_comes_while_the_store_looks_misses_no_change(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads before a change that the look sees, and the ring of that change is lost."""
    async with opened(sqlite_url) as one, opened(sqlite_url) as other:
        await with_bob(one)
        read, late = one.read, list[Bell]()

        async def delayed(team_id: str, query: Callable[[Snapshot], Any]) -> Any:
            if not team_id and not late:
                late.append(watched.enter_context(one.bells.watch(TEAM, [queues.name("carol")])))
                await other.write(TEAM, change_a_task)
            return await read(team_id, query)

        with ExitStack() as watched, watching(one) as bell:
            await settled(bell)
            for doorbell in (tmp_path / "store.db-bells").iterdir():
                doorbell.unlink()
            monkeypatch.setattr(one, "read", delayed)
            await deliver(other)
            assert await bell.wait(PATIENCE)
            assert await late[0].wait(PATIENCE)


def change_a_task(transaction: Transaction) -> None:
    """What a look sees of a change of a task: a larger counter of events."""
    transaction.team.next_event()
    agents.touch(transaction, "carol")


def listeners(connection: psycopg.Connection[Any]) -> set[int]:
    """The backends of this database that LISTEN."""
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'LISTEN%'"
    )
    return {pid for (pid,) in found}


async def test_losing_the_listening_connections_still_wakes(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        await with_bob(one)
        with watching(one) as bell, psycopg.connect(postgres_url, autocommit=True) as operator:
            await settled(bell)
            lost: set[int] = set()
            while len(lost) < 2:
                lost |= listeners(operator)
            for pid in lost:
                operator.execute("SELECT pg_terminate_backend(%s)", (pid,))
            await deliver(other)
            assert await bell.wait(PATIENCE)
            while len(listeners(operator) - lost) < 2:
                pass
            bell.clear()
            await deliver(other)
            assert await bell.wait(PATIENCE)


async def test_a_strange_notification_does_no_harm(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        await with_bob(one)
        with watching(one) as bell, psycopg.connect(postgres_url, autocommit=True) as stranger:
            await settled(bell)
            for payload in ("", "hello", "[]", "{}", '["x", [1]]', '["x", "y"]'):
                stranger.execute("SELECT pg_notify('dovetail', %s)", (payload,))
            await deliver(other)
            assert await bell.wait(PATIENCE)
            assert one._listener.is_alive()


async def test_an_open_stream_hears_of_another_server_without_doorbells(
    sqlite_pair: Pair, tmp_path: Path
) -> None:
    async with running_pair(sqlite_pair.store_url) as second:
        bob = await Team(sqlite_pair).bob_with(1)
        async with bob.inbox() as inbox:
            await inbox.backlog()
            for doorbell in (tmp_path / "store.db-bells").iterdir():
                doorbell.unlink()
            await deliver(second.messaging_store)
            assert sequences(await inbox.take(1)) == [2]


@pytest.fixture
def doorbells(tmp_path: Path) -> Iterator[tuple[Doorbell, Doorbell]]:
    """The doorbells of two processes."""
    pair = Doorbell(tmp_path / "store.db"), Doorbell(tmp_path / "store.db")
    yield pair
    for doorbell in pair:
        doorbell.close()


def test_a_ring_carries_the_names_of_inboxes(doorbells: tuple[Doorbell, Doorbell]) -> None:
    one, other = doorbells
    one.ring_others([("team", "bob"), ("team", "лиса 🦊")])
    assert other.wait(PATIENCE) == [[("team", "bob"), ("team", "лиса 🦊")]]
    assert one.wait(0) == []


def test_more_names_than_fit_are_all_inboxes(doorbells: tuple[Doorbell, Doorbell]) -> None:
    one, other = doorbells
    one.ring_others([("team", f"agent-{number}") for number in range(1_000)])
    assert other.wait(PATIENCE) == [None]


def test_rings_that_did_not_fit_make_the_next_one_mean_all(
    doorbells: tuple[Doorbell, Doorbell],
) -> None:
    one, other = doorbells
    for number in range(1_000):
        one.ring_others([("team", f"agent-{number}")])
    heard = other.wait(PATIENCE)
    assert 0 < len(heard) < 1_000
    one.ring_others([("team", "bob")])
    assert other.wait(PATIENCE) == [None]
    one.ring_others([("team", "bob")])
    assert other.wait(PATIENCE) == [[("team", "bob")]]


@pytest.mark.parametrize("datagram", [b"", b"*", b"{", b"[1]", b"[[1,2,3]]", b"\xff", b"7"])
def test_a_strange_ring_means_all(
    doorbells: tuple[Doorbell, Doorbell], tmp_path: Path, datagram: bytes
) -> None:
    one, _ = doorbells
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(datagram, str(one._path))
    assert one.wait(PATIENCE) == [None]


def test_the_doorbell_of_a_dead_process_is_taken_down(tmp_path: Path) -> None:
    living = Doorbell(tmp_path / "store.db")
    dead = tmp_path / "store.db-bells" / "dead"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as process:
        process.bind(str(dead))
    assert dead.exists()
    living.ring_others([("team", "bob")])
    assert not dead.exists()
    living.close()


def test_a_store_with_a_long_path_has_doorbells_too(tmp_path: Path) -> None:
    store = tmp_path.joinpath(*["a-long-folder-name"] * 8, "store.db")
    store.parent.mkdir(parents=True)
    one, other = Doorbell(store), Doorbell(store)
    one.ring_others([("team", "bob")])
    assert other.wait(PATIENCE) == [[("team", "bob")]]
    one.close()
    other.close()


async def test_a_look_names_what_changed_and_nothing_else(store: Store) -> None:
    team = "crew"
    names = [f"a{number}" for number in range(20)]
    watched = [(team, each) for each in (*names, queues.name("a1"), EVENTS)]

    async def since(seen: dict[str, Counters]) -> Changes:
        return await store.read(team, lambda s: changed_names.since(s, seen, watched))

    def register(transaction: Transaction) -> None:
        for each in names:
            agents.register(transaction, each)

    assert (await since({})).counters == {}
    await store.write(team, register)
    first = await since({})
    assert first.names == set(watched), "of what was not seen before all may have changed"
    caller, inboxes = Caller(team_id=team, agent_id="a0"), Inboxes(store)
    assert (await since(first.counters)).names == set()
    for recipient_id in ("a3", "a7"):
        await inboxes.send(caller, replace(to_bob("x"), recipient_ids=(recipient_id,)))
    second = await since(first.counters)
    assert second.names == {(team, "a3"), (team, "a7")}
    await inboxes.acknowledge(
        Caller(team_id=team, agent_id="a3"),
        Acknowledgement(agent_id="a3", sequences=(1,), through_sequence=0),
    )
    assert (await since(second.counters)).names == set(), (
        "an inbox that only shrank has nothing new"
    )
    await store.write(team, change_a_task)
    third = await since(second.counters)
    assert third.names == {(team, queues.name("a1")), (team, EVENTS)}


async def test_of_very_many_messages_all_that_is_watched_may_have_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_names, "MESSAGES_MAX", 3)
    await with_bob(store)
    watched = [(TEAM, "bob"), (TEAM, "eve")]
    first = await store.read(TEAM, lambda s: changed_names.since(s, {}, watched))
    for _ in range(4):
        await deliver(store)
    second = await store.read(TEAM, lambda s: changed_names.since(s, first.counters, watched))
    assert second.names == set(watched)
