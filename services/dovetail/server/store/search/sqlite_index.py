"""The index in SQLite: an FTS5 table without content, whose row ids are space and number.

FTS5 gives the documents of a word in the order of their row ids, also backwards, and skips to where
another word goes on. But for the beginning of a word it would first merge all documents of all
words that begin so. So the words of each space are noted too, and a beginning is searched as the
words that it may be; of too many it leads nowhere, and whoever reads the documents compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dovetail.server.store.search.index import Search, Space, Span, WordIndex
from dovetail.server.store.search.plans import Document, Plan, every
from dovetail.server.store.search.queries import Key
from dovetail.server.store.search.statements import plain_statement
from dovetail.server.store.statements import RowStatement
from dovetail.server.store.transaction import Snapshot, Transaction

NUMBER_BITS = 40
"""Of a row id, for the number; 23 are left for the space."""

ENDINGS_MAX = 64
"""Words that a beginning may stand for; each is looked up in some 50 µs."""

_LAST = "\U0010ffff"

_WRITE = RowStatement(
    "INSERT OR REPLACE INTO search_documents (rowid, words) VALUES (?, ?)", "", (), ()
)
_FORGET = RowStatement("DELETE FROM search_documents WHERE rowid = ?", "", (), ())
_LEARN = RowStatement(
    "INSERT OR IGNORE INTO search_vocabulary (space, word) VALUES (?, ?)", "", (), ()
)
_NEWEST = plain_statement(
    "SELECT rowid FROM search_documents WHERE search_documents MATCH {query}"
    " AND rowid >= {low} AND rowid < {high} ORDER BY rowid DESC LIMIT {most}"
)
_ENDINGS = plain_statement(
    "SELECT word FROM search_vocabulary"
    " WHERE space = {space} AND word >= {first} AND word < {last} LIMIT {most}"
)


class SqliteIndex(WordIndex):
    """The index in SQLite."""

    keeps_vocabulary = True

    def write(self, transaction: Transaction, space: Space, documents: Sequence[Document]) -> None:
        """Index documents."""
        prefix = str(space.number)
        glue = " " + prefix
        rows = [(_row(space, each.number), prefix + glue.join(each.tokens)) for each in documents]
        transaction.write_rows(_WRITE, rows)

    def learn(self, transaction: Transaction, space: Space, words: Iterable[str]) -> None:
        """Note words."""
        # In order, so that neighbours are written into a page together.
        transaction.write_rows(_LEARN, [(space.number, word) for word in sorted(words)])

    def forget(self, transaction: Transaction, space: Space, numbers: Sequence[int]) -> None:
        """Remove documents."""
        transaction.write_rows(_FORGET, [(_row(space, number),) for number in numbers])

    def search(self, snapshot: Snapshot, space: Space, plan: Plan) -> Search | None:
        """A search for documents, unless no word begins as one of the plan must."""
        groups: list[tuple[str, ...]] = []
        for group in plan.groups:
            if not any(is_open for _, is_open in group):
                groups.append(tuple(token for token, _ in group))
                continue
            found = [*_endings(snapshot, space, group)]
            if not found:
                return None
            if len(found) <= ENDINGS_MAX:
                groups.append(tuple(found))
        led = groups or [tuple(token for token, _ in every(Plan(groups=())).groups[0])]
        return _SqliteSearch(snapshot, space, _expression(space, led))


class _SqliteSearch(Search):
    """One search."""

    first_span = 2**15
    growth = 4

    def __init__(self, snapshot: Snapshot, space: Space, query: str) -> None:
        self._snapshot = snapshot
        self._space = space
        self._query = query

    def newest(self, span: Span, most: int) -> list[int]:
        """The numbers of the documents in a span, the newest first."""
        low, high = (_row(self._space, number) for number in span)
        rows = self._snapshot.rows(_NEWEST, query=self._query, low=low, high=high, most=most)
        base = _row(self._space, 0)
        return [row - base for (row,) in rows]


def _row(space: Space, number: int) -> int:
    return space.number << NUMBER_BITS | number


def _endings(snapshot: Snapshot, space: Space, group: Sequence[Key]) -> Iterator[str]:
    """The words that a group of beginnings may stand for, and at most a few more than allowed."""
    for token, is_open in group:
        if not is_open:
            yield token
            continue
        kind, first = token[0], token[1:]
        values = {"space": space.number, "first": first, "last": first + _LAST}
        for (word,) in snapshot.rows(_ENDINGS, **values, most=ENDINGS_MAX + 1):
            yield kind + word


def _expression(space: Space, groups: Iterable[Sequence[str]]) -> str:
    """A query of FTS5. No word holds a quotation mark."""
    alternatives = (
        " OR ".join(f'"{space.number}{token}"' for token in tokens) for tokens in groups
    )
    return " AND ".join(f"({each})" for each in alternatives)
