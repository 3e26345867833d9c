"""What is indexed of each team, and how far: bites that are read first and then written.

The index lags behind the tables, and nothing that writes a message or task knows of it. Each kind
of document has a number that grows with what there is to index, of messages their own, of tasks
that of their events; all up to `through` is indexed. Taking texts apart needs no transaction, so a
bite is read and made outside, and written on condition that nobody else has indexed it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import JOIN, Field, Node, Ordering

from dovetail.server.store.queries import ModelSelect, fn
from dovetail.server.store.schema import SearchProgressRow, TeamRow
from dovetail.server.store.search.index import DocumentKind, Search, Space, WordIndex
from dovetail.server.store.search.plans import Document, Plan
from dovetail.server.store.search.postgres_index import PostgresIndex
from dovetail.server.store.search.sqlite_index import SqliteIndex
from dovetail.server.store.sets import Codec, Table
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    Snapshot,
    Statement,
    Transaction,
    param,
)

DOCUMENTS_MAX = 200
"""Documents of one bite. Chosen: some 15 ms of the writer on SQLite, 30 on PostgreSQL."""

BITE_BYTES_MAX = 1024 * 1024
"""Bytes of their rows; at least one document is read."""

BITE_TOKENS_MAX = 20_000
"""Words and tags of one bite, about as much work as of its documents together; at least of one."""

BACKLOGS_MAX = 10
"""Teams that one look for work names."""

LAG_MIN = 100
"""How far a team must be behind to be named: what is less a search does in passing."""


class Progress(NamedTuple):
    """How far the documents of a kind are indexed, and their space."""

    kind: int
    space: int
    through: int


PROGRESS: Table[Progress] = Table(
    (SearchProgressRow.kind, SearchProgressRow.space, SearchProgressRow.through_number),
    1,
    Codec(decode=Progress._make, encode=tuple, key_of=lambda progress: progress[:1]),
)
_NEXT_SPACE = Statement(
    SearchProgressRow.select(fn.COALESCE(fn.MAX(SearchProgressRow.space), 0) + 1)
)
_SQLITE, _POSTGRES = SqliteIndex(), PostgresIndex()


class Lag(NamedTuple):
    """How far a team is indexed, and how far it could be."""

    through: int
    last: int


class Backlog(NamedTuple):
    """A team that is behind, and by how much."""

    team_id: str
    lag: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a look over all teams finds: how much was ever written, and who is behind."""

    written: int
    backlogs: Sequence[Backlog]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bite:
    """Documents that follow what is indexed, `after` which they come; then it is `through`.

    `gone` are documents that there must not be any more.
    """

    after: int
    through: int
    documents: Sequence[Document]
    gone: Sequence[int] = ()


class Corpus:
    """Documents of one kind: how far they go, and how they are read."""

    def __init__(
        self, kind: DocumentKind, counter: Field, read: Callable[[Snapshot, Lag], Bite]
    ) -> None:
        """`counter` is the number of a team that grows with what there is to index.

        `read` reads the documents that follow what is indexed.
        """
        self.kind = kind
        self._read = read
        through = fn.COALESCE(SearchProgressRow.through_number, 0)
        lag = counter - through
        self._lag = Statement(
            self._joined(through, counter).where(TeamRow.team_id == param("team_id"))
        )
        self._lag_of_all = Statement(self._joined(fn.COALESCE(fn.SUM(lag), 0)))
        self._written = Statement(TeamRow.select(fn.COALESCE(fn.SUM(counter), 0)))
        self._behind = Statement(
            self._joined(TeamRow.team_id, lag)
            .where(lag >= param("least"))
            .order_by(Ordering(lag, "DESC"))
            .limit(param("most"))
        )

    def _joined(self, *columns: Node) -> ModelSelect:
        """A query of teams, each with how far it is indexed, if it is."""
        is_same = SearchProgressRow.team_id == TeamRow.team_id
        is_kind = SearchProgressRow.kind == int(self.kind)
        query = TeamRow.select(*columns)
        return query.join(SearchProgressRow, JOIN.LEFT_OUTER, on=is_same & is_kind)

    def lag(self, snapshot: Snapshot) -> Lag:
        """How far a team is indexed."""
        row = snapshot.row(self._lag)
        return Lag(*row) if row else Lag(0, 0)

    def lag_of_all(self, snapshot: GlobalSnapshot) -> int:
        """How much of all teams is not indexed."""
        ((lag,),) = snapshot.rows(self._lag_of_all)
        return int(lag)

    def work(self, snapshot: GlobalSnapshot) -> Work:
        """What there is to do, the largest backlog first."""
        ((written,),) = snapshot.rows(self._written)
        behind = snapshot.rows(self._behind, least=LAG_MIN, most=BACKLOGS_MAX)
        return Work(written=int(written), backlogs=[Backlog(*row) for row in behind])

    def next_bite(self, snapshot: Snapshot) -> Bite:
        """What follows what is indexed; nothing, and `through` not beyond `after`, at the end."""
        lag = self.lag(snapshot)
        if lag.through >= lag.last:
            return Bite(after=lag.through, through=lag.through, documents=())
        return self._read(snapshot, lag)

    def need(self) -> list[Need]:
        """What a unit needs that writes a bite."""
        return [Need(PROGRESS.by_key, (int(self.kind),))]

    def write(self, transaction: Transaction, bite: Bite, words: Iterable[str]) -> bool:
        """Index a bite, and note these words of it. False: another was first."""
        progress = transaction.find(PROGRESS.by_key, int(self.kind))
        if (progress.through if progress else 0) != bite.after:
            return False
        if progress is None:
            ((number,),) = transaction.rows(_NEXT_SPACE)
            progress = Progress(int(self.kind), number, 0)
            transaction.add(PROGRESS, progress)
        index, space = index_of(transaction), Space(self.kind, progress.space)
        index.learn(transaction, space, words)
        index.write(transaction, space, bite.documents)
        index.forget(transaction, space, bite.gone)
        transaction.put(PROGRESS, progress._replace(through=bite.through))
        return True


def index_of(snapshot: GlobalSnapshot) -> WordIndex:
    """The index of this kind of database."""
    return _SQLITE if snapshot.is_embedded else _POSTGRES


def open_search(snapshot: Snapshot, kind: DocumentKind, plan: Plan) -> Search | None:
    """A search in what is indexed of a team; None: nothing can be found."""
    progress = snapshot.find(PROGRESS.by_key, int(kind))
    if progress is None:
        return None
    return index_of(snapshot).search(snapshot, Space(kind, progress.space), plan)


def need_to_forget(kind: DocumentKind) -> Need:
    """What a unit needs that removes documents."""
    return Need(PROGRESS.by_key, (int(kind),))


def forget_messages(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Remove messages from the index: for whoever removes their rows, in the same unit."""
    _forget(transaction, DocumentKind.MESSAGE, numbers)


def forget_tasks(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Remove tasks from the index, by the numbers of their rows."""
    _forget(transaction, DocumentKind.TASK, numbers)


def _forget(transaction: Transaction, kind: DocumentKind, numbers: Sequence[int]) -> None:
    progress = transaction.find(PROGRESS.by_key, int(kind))
    if progress and numbers:
        index_of(transaction).forget(transaction, Space(kind, progress.space), numbers)


class Item(NamedTuple):
    """What follows in order: with it all up to `through` is indexed. Without a document: gone."""

    through: int
    number: int
    document: Document | None


def take_bite(lag: Lag, items: Iterable[Item], is_all: bool) -> Bite:
    """As much as one bite may have. `is_all`: nothing up to the end is left behind the items."""
    documents: list[Document] = []
    gone: list[int] = []
    tokens, through = 0, lag.through
    for item in items:
        tokens += len(item.document.tokens) if item.document else 0
        if documents and tokens > BITE_TOKENS_MAX:
            is_all = False
            break
        through = item.through
        if item.document:
            documents.append(item.document)
        else:
            gone.append(item.number)
    through = lag.last if is_all else through
    return Bite(after=lag.through, through=through, documents=documents, gone=gone)
