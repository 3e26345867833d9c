"""The index of words: what is found is what is there, however it was indexed and by whom."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peewee import SQL

from dovetail.server import indexing
from dovetail.server.errors import Reason, UnavailableError
from dovetail.server.indexing import Indexer
from dovetail.server.store.pages import Page
from dovetail.server.store.search import index, postgres_index, sqlite_index
from dovetail.server.store.search.index import DocumentKind, Space, Span
from dovetail.server.store.search.places import Finder
from dovetail.server.store.search.plans import plan
from dovetail.server.store.search.queries import read_query
from dovetail.server.store.search.statements import plain_statement
from dovetail.server.store.search.words import cut, document_words, units
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, message_search, messages, search, search_pages
from dovetail.server.store.tables.message_bytes import Content, MessageKind, NewMessage
from dovetail.server.store.tables.message_search import MESSAGES, MessageSearch
from dovetail.server.store.tables.messages import Message, MessageFilter
from dovetail.server.store.tables.search import PROGRESS
from dovetail.server.store.tables.search_pages import Hit
from dovetail.server.store.transaction import Statement, Transaction
from store.opened import TEAM, opened
from support.waiting import until

SPACED = ["red", "reed", "ship", "ships", "tier", "two", "caf\u00e9"]
WORDS = [*SPACED, "\u6771", "\u6771\u4eac", "\u4eac\u90fd"]
ASKED = [*WORDS, "re*", "s*", '"red ship"', '"tier two"', "\u4eac*", "no*"]


async def write(store: Store, *bodies: str, team_id: str = TEAM) -> None:
    """Send messages to bob: from ann, every third from eve."""

    def unit(transaction: Transaction) -> None:
        for agent_id in ("ann", "bob", "eve"):
            agents.touch(transaction, agent_id)
        last = dict(agents.last_sequences(transaction, ["bob"]))
        for number, body in enumerate(bodies):
            new = NewMessage(
                sender_id="ann" if number % 3 else "eve",
                recipient_ids=["bob"],
                kind=MessageKind.MESSAGE,
                content=Content(body=body, labels={"third": str(number % 3)}),
            )
            sent = messages.append(transaction, new, last)
            last["bob"] = sent.receipts[0].sequence

    await store.write(team_id, unit)


async def look(store: Store, query: str, **asked: Any) -> Page[Hit[Message]]:
    """A page of what is found in what is indexed."""
    values: dict[str, Any] = {
        "query": read_query(query),
        "party_id": "",
        "recipient_id": "",
        "filter": MessageFilter(),
        "before": None,
        "most": 50,
        "most_bytes": 1_000_000,
        **asked,
    }
    return await store.scan(TEAM, lambda s: message_search.page(s, MessageSearch(**values)))


async def numbers(store: Store, query: str, **asked: Any) -> list[int]:
    """The numbers of all that is found, page by page."""
    found: list[int] = []
    before = None
    while True:
        page = await look(store, query, before=before, **asked)
        found += [hit.number for hit in page.items]
        before = page.after
        if before is None:
            return found


async def through(store: Store) -> int:
    """How far the messages are indexed."""
    progress = await store.read(TEAM, lambda s: s.find(PROGRESS.by_key, 1))
    return progress.through if progress else 0


words = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(WORDS)
texts = st.lists(words, max_size=12).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(texts, st.data())
def test_what_a_finder_finds_is_what_the_index_leads_to(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    piece = text[start : start + data.draw(st.integers(0, 30))]
    said = data.draw(st.sampled_from(["{}", '"{}"', "{}*", '"{}"*'])).format(piece)
    query = read_query(said)
    indexed = document_words([text])
    assert all(len(word.encode()) <= 64 and word == cut(word) for word in indexed)
    for place in Finder(query).places([(1, text)]) if query.terms else ():
        assert place.text == text[place.start : place.start + len(place.text)]
        assert 0 < len(place.text) <= 240
        ends = [0, *(end for each in place.matches for end in each)]
        assert ends == sorted(ends)
        assert ends[-1] <= len(place.text)
        for term in query.terms:
            for word, is_open in term.keys:
                assert any(
                    each.startswith(word) if is_open else each == word for each in indexed
                ), (term, indexed)


@settings(max_examples=200, deadline=None)
@given(texts)
def test_a_text_is_found_by_each_of_its_words_and_by_itself(text: str) -> None:
    for unit in units(text):
        assert Finder(read_query(text[unit.start : unit.end])).places([(1, text)]), unit
    whole = text.replace('"', " ")
    query = read_query(f'"{whole}"')
    assert bool(query.terms) == bool([*units(whole)])
    if query.terms:
        (place,) = Finder(query).places([(7, whole)])
        assert (place.field, place.characters) == (7, len(whole))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, spans, bites and pages so small that a few messages take many of them."""
    monkeypatch.setattr(postgres_index, "BLOCK_BITS", 4)
    monkeypatch.setattr(postgres_index, "GLANCE_NUMBERS", 5)
    for kind in (sqlite_index._SqliteSearch, postgres_index._PostgresSearch):
        monkeypatch.setattr(kind, "first_span", 5)
        monkeypatch.setattr(kind, "growth", 3)
    monkeypatch.setattr(sqlite_index, "ENDINGS_MAX", 2)
    monkeypatch.setattr(index, "SPAN_MAX", 60)
    monkeypatch.setattr(index, "CANDIDATES_AT_ONCE_MAX", 8)
    monkeypatch.setattr(search, "DOCUMENTS_MAX", 17)
    monkeypatch.setattr(search, "BITE_TOKENS_MAX", 100)
    monkeypatch.setattr(search_pages, "CANDIDATES_MAX", 12)
    monkeypatch.setattr(search_pages, "TEXT_BYTES_MAX", 2_000)
    monkeypatch.setattr(search_pages, "PART_BYTES_MAX", 500)


async def test_every_search_finds_what_a_look_at_each_message_finds(
    small: None, two_stores: tuple[Store, Store]
) -> None:
    chance = random.Random(7)
    bodies = [" ".join(chance.choices(WORDS, k=chance.randint(1, 6))) for _ in range(250)]
    store, other = two_stores
    await write(store, *bodies[:150])
    await write(store, "red ship", "tier", team_id="another")
    # Two servers index side by side, and each message once.
    await asyncio.gather(*(Indexer(each, MESSAGES).catch_up(TEAM) for each in two_stores))
    assert await through(store) == 150
    await write(store, *bodies[150:])
    await Indexer(other, MESSAGES).catch_up(TEAM)
    for _ in range(60):
        query = " ".join(chance.choices(ASKED, k=chance.randint(1, 2)))
        finder = Finder(read_query(query))
        third = chance.choice([None, 0, 1, 2])
        filter = MessageFilter(labels={} if third is None else {"third": str(third)})
        party = chance.choice(["", "", "eve", "ann", "bob", "nobody"])
        expected = [
            number
            for number in range(250, 0, -1)
            if finder.places([(1, bodies[number - 1])])
            and third in (None, _order(number) % 3)
            and party in ("", "bob", "ann" if _order(number) % 3 else "eve")
        ]
        asked = {"filter": filter, "party_id": party, "most": chance.choice([1, 3, 50])}
        assert await numbers(store, query, **asked) == expected, (query, asked)


def _order(number: int) -> int:
    """Where a message stood among those that were written together."""
    return (number - 1) % 150


async def test_what_is_removed_is_not_found(store: Store) -> None:
    await write(store, *(f"word number{n}" for n in range(1, 9)))
    indexer = Indexer(store, MESSAGES)
    await indexer.catch_up(TEAM)
    await store.write(TEAM, lambda t: search.forget_messages(t, [2, 5, 77]))
    assert await numbers(store, "word") == [8, 7, 6, 4, 3, 1]

    def remove(transaction: Transaction) -> None:
        for table in ("handouts", "deliveries", "messages"):
            column = "number" if table == "messages" else "message_number"
            where = f"{column} = 7" if table != "handouts" else "1 = 1"
            transaction.write(Statement(SQL(f"DELETE FROM {table} WHERE {where}")))

    await store.write(TEAM, remove)
    assert await numbers(store, "word", most=2) == [8, 6, 4, 3, 1]
    # What is removed before it was indexed is no hole in which the indexer stays.
    await write(store, "word more", "word more")
    await store.write(TEAM, lambda t: search.forget_messages(t, [9]))
    await store.write(TEAM, lambda t: search.forget_tasks(t, [1]))
    await indexer.catch_up(TEAM)
    assert await numbers(store, "more") == [10, 9]


async def test_of_a_very_long_message_the_first_words_are_indexed(store: Store) -> None:
    tail = "\u0436" * 40
    long = "first " + " ".join(f"{n:05}{tail.upper()}" for n in range(11_000)) + " last"
    await write(store, long, "last but short", "first")
    await Indexer(store, MESSAGES).catch_up(TEAM)
    assert await numbers(store, "first") == [3, 1]
    assert await numbers(store, "last") == [2]
    assert await numbers(store, f"00007{tail}") == [1]
    assert await numbers(store, f"00007{tail[:30]}") == []


async def test_a_search_waits_for_the_index_only_so_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, *["word"] * 450)
    indexer = Indexer(store, MESSAGES)
    with monkeypatch.context() as patch:
        patch.setattr(indexing, "CATCH_UP_SECONDS", -1)
        with pytest.raises(UnavailableError) as refused:
            await indexer.catch_up(TEAM)
    error = refused.value
    assert (error.reason, error.metadata) == (Reason.SEARCH_NOT_READY, {"left": "450"})
    assert error.retry_after
    assert await through(store) == 0
    # A caller that leaves leaves the bite to the others.
    leaving = asyncio.create_task(indexer.catch_up(TEAM))
    staying = asyncio.create_task(indexer.catch_up(TEAM))
    await until(lambda: bool(indexer._bites))
    leaving.cancel()
    await staying
    assert leaving.cancelled()
    assert await through(store) == 450


async def test_quiet_times_bring_the_index_up_to_date(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexer = Indexer(store, MESSAGES, period=0.01)
    looks = _counted(monkeypatch, indexer, "_round")

    async def more_looks() -> None:
        before = len(looks)
        await until(lambda: len(looks) > before + 2)

    with monkeypatch.context() as patch:
        patch.setattr(indexing, "BUSY_PER_SECOND", -1)
        indexer.start()
        await more_looks()
        await write(store, *["word"] * 300)
        await more_looks()
        assert await through(store) == 0  # Others write much, it seems.
        patch.setattr(indexing, "BUSY_LAG", 200)
        await until(lambda: _is_through(store, 200))
    await until(lambda: _is_through(store, 300))
    await more_looks()
    await write(store, *["word"] * 99)
    await more_looks()
    assert await through(store) == 300  # So little is left to a search.
    await write(store, "word")
    await until(lambda: _is_through(store, 400))
    indexer.close()


async def _is_through(store: Store, number: int) -> bool:
    return await through(store) >= number


def _counted(monkeypatch: pytest.MonkeyPatch, indexer: Indexer, name: str) -> list[None]:
    """A list that grows with each call of a method."""
    calls: list[None] = []
    method = getattr(indexer, name)

    async def counted() -> None:
        calls.append(None)
        await method()

    monkeypatch.setattr(indexer, name, counted)
    return calls


async def test_postgres_asks_its_index_whatever_it_knows_of_the_words(postgres_url: str) -> None:
    fill = plain_statement(
        "INSERT INTO search_documents SELECT {team_id}, 1, i,"
        " array_to_tsvector(ARRAY['1b' || i / 65536 || 'wrare' || i, '1b' || i / 65536 || 'wall'])"
        " FROM generate_series(1, 70000) AS i"
    )

    def plans(transaction: Transaction) -> dict[str, str]:
        transaction.write(fill)
        transaction.write(plain_statement("ANALYZE search_documents"))
        looking = postgres_index.PostgresIndex().search(
            transaction, Space(DocumentKind.MESSAGE, 1), plan(read_query("all rare5"), [])
        )
        assert looking
        explained: dict[str, str] = {}
        rows = transaction.rows

        def explain(statement: Statement, **values: object) -> list[Any]:
            every = {"team_id": TEAM, **values}
            sql, bound = statement.bind(transaction._database, every)
            explained["plan"] = str(transaction._fetch(f"EXPLAIN {sql}", bound))
            return rows(statement, **values)

        transaction.rows = explain  # type: ignore[method-assign]
        found = looking.newest(Span(69_600, 70_001), 5)
        glance = explained["plan"]
        found += looking.newest(Span(1, 70_001), 5)
        return {"glance": glance, "blocks": explained["plan"], "found": str(found)}

    async with opened(postgres_url) as store:
        told = await store.write(TEAM, plans)
    assert told["found"] == "[5]"
    assert "search_documents_pkey" in told["glance"]
    assert "search_documents_words" in told["blocks"]
    assert "search_documents_pkey" not in told["blocks"]
