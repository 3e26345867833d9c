"""The index in PostgreSQL: a tsvector for each document, and a GIN index over them.

GIN has no order: it gives all documents of a word, and they are sorted afterwards. So every word is
indexed with the block of numbers that its document is in, and a search goes from block to block: it
meets at most the documents of one at a time. The newest few documents are looked through by
themselves first, which is enough for a word that many have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dovetail.server.store.search.index import Search, Space, Span, WordIndex
from dovetail.server.store.search.plans import Document, Plan, every
from dovetail.server.store.search.queries import Key
from dovetail.server.store.search.statements import plain_statement
from dovetail.server.store.statements import RowStatement
from dovetail.server.store.transaction import Snapshot, Transaction

BLOCK_BITS = 16
"""Of a number; a block with a word in all of its documents is sorted in some 60 ms."""

GLANCE_NUMBERS = 512

_MADE = "array_to_tsvector(string_to_array({}, ' '))"
_INTO = "INSERT INTO search_documents (team_id, kind, number, words) "
_AGAIN = " ON CONFLICT (team_id, kind, number) DO UPDATE SET words = excluded.words"
_RECORDS = "json_to_recordset(?::json) AS r(team_id text, kind integer, number bigint, words text)"
_WRITE = RowStatement(
    f"{_INTO}VALUES (?, ?, ?, {_MADE.format('?')}){_AGAIN}",
    f"{_INTO}SELECT team_id, kind, number, {_MADE.format('words')} FROM {_RECORDS}{_AGAIN}",
    ("team_id", "kind", "number", "words"),
    (),
)
_FORGET = plain_statement(
    "DELETE FROM search_documents"
    " WHERE team_id = {team_id} AND kind = {kind} AND number = ANY({numbers}::bigint[])"
)
_GLANCE = plain_statement(
    "SELECT number FROM search_documents"
    " WHERE team_id = {team_id} AND kind = {kind} AND number >= {low} AND number < {high}"
    " AND words @@ ({query})::tsquery ORDER BY number DESC LIMIT {most}"
)
# OFFSET keeps the planner from walking through the team instead, for each block: it does not know
# how few documents of one a word has. Block after block is asked only until enough are found.
_NEWEST = plain_statement(
    "SELECT found.number FROM unnest({queries}::text[]) AS asked (query) CROSS JOIN LATERAL ("
    "SELECT led.number FROM (SELECT team_id, kind, number FROM search_documents"
    " WHERE words @@ asked.query::tsquery OFFSET 0) AS led"
    " WHERE led.team_id = {team_id} AND led.kind = {kind}"
    " AND led.number >= {low} AND led.number < {high} ORDER BY led.number DESC LIMIT {most}"
    ") AS found LIMIT {most}"
)


class PostgresIndex(WordIndex):
    """The index in PostgreSQL."""

    keeps_vocabulary = False

    def write(self, transaction: Transaction, space: Space, documents: Sequence[Document]) -> None:
        """Index documents."""
        rows = [
            (transaction.team_id, int(space.kind), each.number, _words(space, each))
            for each in documents
        ]
        transaction.write_rows(_WRITE, rows)

    def learn(self, transaction: Transaction, space: Space, words: Iterable[str]) -> None:
        """Do nothing: GIN finds words by how they begin."""
        del transaction, space, words

    def forget(self, transaction: Transaction, space: Space, numbers: Sequence[int]) -> None:
        """Remove documents."""
        transaction.write(_FORGET, kind=int(space.kind), numbers=list(numbers))

    def search(self, snapshot: Snapshot, space: Space, plan: Plan) -> Search | None:
        """A search for documents."""
        return _PostgresSearch(snapshot, space, every(plan).groups)


class _PostgresSearch(Search):
    """One search."""

    first_span = GLANCE_NUMBERS
    growth = 2 ** (BLOCK_BITS + 2) // GLANCE_NUMBERS

    def __init__(self, snapshot: Snapshot, space: Space, groups: Sequence[Sequence[Key]]) -> None:
        self._snapshot = snapshot
        self._space = space
        self._groups = groups

    def newest(self, span: Span, most: int) -> list[int]:
        """The numbers of the documents in a span, the newest first."""
        queries = [
            _query(_prefix(self._space, block), self._groups)
            for block in range((span.high - 1) >> BLOCK_BITS, (span.low >> BLOCK_BITS) - 1, -1)
        ]
        values = {"kind": int(self._space.kind), **span._asdict(), "most": most}
        if span.high - span.low <= GLANCE_NUMBERS:
            query = " | ".join(queries)
            rows = self._snapshot.rows(_GLANCE, query=query, **values)
        else:
            rows = self._snapshot.rows(_NEWEST, queries=queries, **values)
        return [number for (number,) in rows]


def _prefix(space: Space, block: int) -> str:
    return f"{space.number}b{block}"


def _words(space: Space, document: Document) -> str:
    prefix = _prefix(space, document.number >> BLOCK_BITS)
    return prefix + f" {prefix}".join(document.tokens)


def _query(prefix: str, groups: Iterable[Sequence[Key]]) -> str:
    """A query of PostgreSQL. No word holds a quotation mark or a backslash."""
    alternatives = (
        " | ".join(f"'{prefix}{token}'{':*' if is_open else ''}" for token, is_open in keys)
        for keys in groups
    )
    return "(" + " & ".join(f"({each})" for each in alternatives) + ")"
