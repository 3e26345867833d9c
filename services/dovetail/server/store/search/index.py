"""The index of words, as the store sees it; `sqlite_index.py` and `postgres_index.py` are it.

Documents of one kind and team make up a space, which has a number of its own. Every word is indexed
with it, so that a search meets the documents of its team alone. A search walks from the newest
document to the oldest and never sorts or ranks all that there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from dovetail.server.store.search.plans import Document, Plan
from dovetail.server.store.transaction import Snapshot, Transaction

SPAN_MAX = 2**22
"""Numbers of documents that one search walks over; what lies beyond is for the next page. Chosen:
two words that are each in every other document, but never in one, take about a second."""

CANDIDATES_AT_ONCE_MAX = 500


class DocumentKind(IntEnum):
    """What is searched."""

    MESSAGE = 1
    TASK = 2


class Space(NamedTuple):
    """The documents of one kind in a team."""

    kind: DocumentKind
    number: int


class Span(NamedTuple):
    """Numbers of documents from `low` on, below `high`."""

    low: int
    high: int


class Search(ABC):
    """One search: finds the documents of a plan."""

    first_span: int
    """How many numbers a search looks through first."""

    growth: int
    """By how much it looks further each time it does not find enough."""

    @abstractmethod
    def newest(self, span: Span, most: int) -> list[int]:
        """The numbers of the documents in a span, the newest first, at most so many."""


class WordIndex(ABC):
    """The index in one kind of database."""

    keeps_vocabulary: bool
    """Whether words are noted, so that those that begin in some way are known."""

    @abstractmethod
    def write(self, transaction: Transaction, space: Space, documents: Sequence[Document]) -> None:
        """Index documents, new ones or ones that have changed."""

    @abstractmethod
    def learn(self, transaction: Transaction, space: Space, words: Iterable[str]) -> None:
        """Note words, if the index keeps them."""

    @abstractmethod
    def forget(self, transaction: Transaction, space: Space, numbers: Sequence[int]) -> None:
        """Remove documents; those that are not there are no error."""

    @abstractmethod
    def search(self, snapshot: Snapshot, space: Space, plan: Plan) -> Search | None:
        """A search for documents; None: there cannot be any."""


class Candidates(NamedTuple):
    """Documents that may be hits, the newest first, all of those from the number `reached` on."""

    numbers: list[int]
    reached: int


def walk(search: Search, span: Span, first_most: int) -> Iterator[Candidates]:
    """The candidates in a span, some at a time, from the newest on; ends after SPAN_MAX numbers."""
    high, floor = span.high, max(span.low, span.high - SPAN_MAX)
    most, size = min(first_most, CANDIDATES_AT_ONCE_MAX), search.first_span
    while high > floor:
        low = max(floor, high - size)
        numbers = search.newest(Span(low, high), most)
        if len(numbers) == most:
            high = numbers[-1]
        else:
            high, size = low, size * search.growth
        yield Candidates(numbers, high)
        most = min(most * 2, CANDIDATES_AT_ONCE_MAX)
