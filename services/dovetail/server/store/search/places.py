"""Places: where in the fields of a document the terms of a query stand, and an excerpt of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.server.store.search.queries import Query, Term
from dovetail.server.store.search.words import Part, is_run, parts

EXCERPT_CHARACTERS_MAX = 240
MATCHES_MAX = 32
"""Ranges of one excerpt that are told."""

SPOTS_MAX = 100
"""Occurrences of one term in one text among which the best part is chosen; the rest is not read."""

PART_UNITS = 1_000
"""Words of a text that are in memory at a time."""

_LEAD_CHARACTERS = 60
_SPAN_CHARACTERS = EXCERPT_CHARACTERS_MAX - _LEAD_CHARACTERS

Field = tuple[int, str]
"""The number of a field in the contract, and a text in it; a field may have several."""

Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A part of a field: a text of `characters`, from `start` on, and what was found in it."""

    field: int
    text: str
    start: int
    characters: int
    matches: tuple[Range, ...]


class _Spot(NamedTuple):
    """An occurrence of a term in a text."""

    start: int
    end: int
    term: int


class Finder:
    """Finds the terms of a query in texts."""

    def __init__(self, query: Query) -> None:
        """Look for all terms of a query."""
        self._count = len(query.terms)
        self._reach = max((len(term.words) for term in query.terms), default=1)
        # By their first words; those that begin with an open word are tried for every unit.
        self._closed: dict[str, list[tuple[int, Term]]] = {}
        self._open: list[tuple[int, Term]] = []
        for at, term in enumerate(query.terms):
            if term.is_prefix and len(term.words) == 1:
                self._open.append((at, term))
            else:
                self._closed.setdefault(term.words[0], []).append((at, term))
        self._beginnings = tuple(term.words[0] for _, term in self._open)

    def places(self, fields: Iterable[Field]) -> list[Place]:
        """Where the terms stand, a place for each field with any; none unless all terms occur."""
        seen: set[int] = set()
        best: dict[int, tuple[int, Place]] = {}
        for number, text in fields:
            spots = self._spots(text)
            if not spots:
                continue
            seen.update(spot.term for spot in spots)
            first, count = _best(spots)
            if count > best.get(number, (0,))[0]:
                best[number] = count, _excerpt(number, text, spots[first:])
        return [place for _, place in best.values()] if len(seen) == self._count else []

    def _spots(self, text: str) -> list[_Spot]:
        """Where terms stand in a text, in order; each at most SPOTS_MAX times."""
        found: list[_Spot] = []
        counts: Counter[int] = Counter()
        for part, count in _overlapping(text, self._reach):
            # Most words begin no term: they are passed by in as few steps as possible.
            for first, word in enumerate(part.words[:count]):
                if word not in self._closed and not word.startswith(self._beginnings):
                    continue
                for at, term in (*self._closed.get(word, ()), *self._open):
                    if counts[at] < SPOTS_MAX and (spot := _spot(at, term, part, first)):
                        counts[at] += 1
                        found.append(spot)
            if len(counts) == self._count and min(counts.values()) == SPOTS_MAX:
                break
        return found


def _overlapping(text: str, reach: int) -> Iterator[tuple[Part, int]]:
    """Parts of a text, and how many units of each may begin a term of `reach` words."""
    before = Part([], [])
    for part in parts(text, PART_UNITS):
        joined = Part(before.words + part.words, before.found + part.found)
        count = max(0, len(joined.words) - reach + 1)
        yield joined, count
        before = Part(joined.words[count:], joined.found[count:])
    yield before, len(before.words)


def _spot(at: int, term: Term, part: Part, first: int) -> _Spot | None:
    """The place of a term that begins with a unit of a part; None: it does not."""
    last = first + len(term.words) - 1
    words = part.words[first : last + 1]
    if len(words) < len(term.words):
        return None
    if not _is_same(term, words):
        return None
    if any(term.joined) and not all(
        is_run(part.unit(first + each - 1), part.unit(first + each))
        for each, is_joined in enumerate(term.joined)
        if is_joined
    ):
        return None
    return _Spot(part.unit(first).start, part.unit(last).end, at)


def _is_same(term: Term, words: Sequence[str]) -> bool:
    """Whether so many words of a text are those of the term."""
    if not term.is_prefix:
        return tuple(words) == term.words
    return tuple(words[:-1]) == term.words[:-1] and words[-1].startswith(term.words[-1])


def _best(spots: Sequence[_Spot]) -> tuple[int, int]:
    """The first of the spots that stand together with most different terms, and their number."""
    best, best_count = 0, 0
    counts: Counter[int] = Counter()
    after = 0
    for first, spot in enumerate(spots):
        while after < len(spots) and spots[after].end <= spot.start + _SPAN_CHARACTERS:
            counts[spots[after].term] += 1
            after += 1
        if after == first:  # Longer by itself than an excerpt.
            counts[spot.term] += 1
            after += 1
        if len(counts) > best_count:
            best, best_count = first, len(counts)
        counts[spot.term] -= 1
        if not counts[spot.term]:
            del counts[spot.term]
    return best, best_count


_SPACE = re.compile(r"\s")


def _excerpt(field: int, text: str, spots: Sequence[_Spot]) -> Place:
    """The part of a text that begins a little before the first of these spots."""
    begin = max(0, spots[0].start - _LEAD_CHARACTERS)
    if begin and (space := _SPACE.search(text, begin, spots[0].start)):
        begin = space.end()
    end = min(len(text), begin + EXCERPT_CHARACTERS_MAX)
    inside = [spot for spot in spots if spot.end <= end] or spots[:1]
    last = max(spot.end for spot in inside)
    if end < len(text) and (found := [*_SPACE.finditer(text, last, end)]):
        end = found[-1].start()
    ranges = _merged((spot.start - begin, min(spot.end, end) - begin) for spot in inside)
    return Place(
        field=field,
        text=text[begin:end],
        start=begin,
        characters=len(text),
        matches=tuple(ranges[:MATCHES_MAX]),
    )


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those that overlap as one."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
