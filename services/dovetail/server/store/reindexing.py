"""The index of words as a whole: how far it is behind, whether it is damaged, and its removal.

Servers fill what is empty, and nothing but searches depends on it: so an index that is damaged is
emptied, and no backup is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dovetail.server.store.schema import SearchProgressRow, TeamRow
from dovetail.server.store.search.index import DocumentKind
from dovetail.server.store.search.statements import plain_statement
from dovetail.server.store.tables.message_search import MESSAGES
from dovetail.server.store.tables.task_search import TASKS
from dovetail.server.store.transaction import GlobalSnapshot, Statement, Transaction

_COUNTERS = {DocumentKind.MESSAGE: TeamRow.last_message, DocumentKind.TASK: TeamRow.last_event}
_BEYOND = [
    Statement(
        SearchProgressRow.select(SearchProgressRow.team_id)
        .join(TeamRow, on=SearchProgressRow.team_id == TeamRow.team_id)
        .where(SearchProgressRow.kind == int(kind), SearchProgressRow.through_number > counter)
        .order_by(SearchProgressRow.team_id)
    )
    for kind, counter in _COUNTERS.items()
]
_DAMAGED = ("fts5:", "inverted index for FTS5")
_EMPTY_SQLITE = plain_statement(
    "INSERT INTO search_documents (search_documents) VALUES ('delete-all')"
)
_EMPTY_POSTGRES = plain_statement("TRUNCATE search_documents")
_BEGIN_ANEW = Statement(SearchProgressRow.update({SearchProgressRow.through_number: 0}))


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """The teams that are indexed beyond what they have, and how much of all is not indexed."""

    wrong: list[str]
    lag: int


def state(whole: GlobalSnapshot) -> IndexState:
    """How far the index is."""
    wrong = {team_id for each in _BEYOND for (team_id,) in whole.rows(each)}
    lag = sum(corpus.lag_of_all(whole) for corpus in (MESSAGES, TASKS))
    return IndexState(wrong=sorted(wrong), lag=lag)


def empty(transaction: Transaction) -> None:
    """Remove all that is indexed of all teams: servers index it anew."""
    transaction.write(_EMPTY_SQLITE if transaction.is_embedded else _EMPTY_POSTGRES)
    transaction.write(_BEGIN_ANEW)


def split(faults: Iterable[str]) -> tuple[list[str], list[str]]:
    """What SQLite finds wrong in a file: with all else, and with the index alone."""
    others: list[str] = []
    of_index: list[str] = []
    for fault in faults:
        (of_index if any(sign in fault for sign in _DAMAGED) else others).append(fault)
    return others, of_index
