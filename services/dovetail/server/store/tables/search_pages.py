"""Pages of what a search finds: from the newest on, by a bounded number of looks.

What leads to candidates is the index; whether one is a hit, its row and its texts say. So what is
indexed may lag, name what is gone, or lead to a document for a wrong reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from dovetail.server.store.filters import TimeRange
from dovetail.server.store.pages import Page
from dovetail.server.store.search.index import Search, Span, walk
from dovetail.server.store.search.places import Field, Finder, Place
from dovetail.server.store.search.queries import Query
from dovetail.server.store.transaction import QueryOverError, Snapshot, Statement

T = TypeVar("T")

CANDIDATES_MAX = 5_000
"""Documents that one call looks at, hits or not. Chosen: some 50 ms where a filter refuses them."""

TEXT_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of documents whose texts one call compares. Chosen: up to a second."""

PART_BYTES_MAX = 1024 * 1024
"""Bytes of documents that are in memory at a time, or one document."""

_PLACE_BYTES = 64
_RANGE_BYTES = 12
"""What a place and a range of it take in a response beside the text, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit(Generic[T]):
    """A document that was found, and where in it."""

    number: int
    item: T
    places: Sequence[Place]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """A page of hits: of which query, among which numbers, and how much of it."""

    query: Query
    span: Span
    most: int
    most_bytes: int


class Sized(NamedTuple):
    """A document that the filter accepts, and about how many bytes it has in a response."""

    number: int
    size: int


class Source(Protocol[T]):
    """The rows of documents."""

    def accepted(self, numbers: Sequence[int]) -> list[Sized]:
        """Those of these documents that there are and that may be found, in the same order."""
        ...

    def read(self, numbers: Sequence[int]) -> list[tuple[int, T, Sequence[Field]]]:
        """Their number, what is returned of them and the texts that are searched, in order."""
        ...


def page(snapshot: Snapshot, search: Search, asked: PageRequest, source: Source[T]) -> Page[Hit[T]]:
    """A page of hits. It may have few, or none, and still a next page."""
    hits: list[Hit[T]] = []
    size = looked = compared = 0
    reached, finder = asked.span.high, Finder(asked.query)
    for candidates in walk(search, asked.span, asked.most + 1):
        for part in _parts(source.accepted(candidates.numbers), asked.most + 1):
            sizes = dict(part)
            for hit in _found(snapshot, finder, source, [*sizes]):
                size += sizes[hit.number] + _weight(hit.places)
                if len(hits) == asked.most or (hits and size > asked.most_bytes):
                    return Page(hits, hits[-1].number)
                hits.append(hit)
            compared += sum(sizes.values())
            if compared > TEXT_BYTES_MAX:
                return Page(hits, part[-1].number)
        looked += len(candidates.numbers)
        reached = candidates.reached
        if looked >= CANDIDATES_MAX:
            break
    return Page(hits, reached if reached > asked.span.low else None)


def _found(
    snapshot: Snapshot, finder: Finder, source: Source[T], numbers: Sequence[int]
) -> Iterator[Hit[T]]:
    for number, item, fields in source.read(numbers):
        # A text may take long to compare, which no database notices.
        if snapshot.is_over():
            raise QueryOverError
        if places := finder.places(fields):
            yield Hit(number=number, item=item, places=places)


def _parts(sized: Sequence[Sized], most: int) -> Iterator[list[Sized]]:
    """Documents, as many at a time as may be in memory."""
    part: list[Sized] = []
    size = 0
    for each in sized:
        if part and (size + each.size > PART_BYTES_MAX or len(part) == most):
            yield part
            part, size = [], 0
        part.append(each)
        size += each.size
    if part:
        yield part


def _weight(places: Sequence[Place]) -> int:
    """The bytes of places in a response, at most."""
    return sum(
        _PLACE_BYTES + len(place.text.encode()) + _RANGE_BYTES * len(place.matches)
        for place in places
    )


def span_of(snapshot: Snapshot, first_from: Statement, times: TimeRange, span: Span) -> Span:
    """Those numbers of a span whose documents were made in a time.

    `first_from` finds number and time of the first document from a number on. Numbers and times
    grow together, so a few looks find where a time begins.
    """
    low, high = span
    if times.start is not None:
        low = max(low, _first_since(snapshot, first_from, times.start, span))
    if times.end is not None:
        high = min(high, _first_since(snapshot, first_from, times.end, span))
    return Span(low, high)


def _first_since(snapshot: Snapshot, first_from: Statement, time: int, span: Span) -> int:
    """The first number in a span whose document is not older; the end of the span if none is."""
    low, high = span
    while low < high:
        middle = (low + high) // 2
        row = snapshot.row(first_from, number=middle)
        if row is None or row[0] >= high or row[1] >= time:
            high = middle
        else:
            low = row[0] + 1
    return low
