"""Queries: what a search looks for, read from the text of a request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dovetail.server.store.search.words import Unit, cut, is_run, units

QUERY_CHARACTERS_MAX = 256
TERMS_MAX = 16

_TERM = re.compile(r'"(?P<quoted>[^"]*)"\**|(?P<plain>\S+)')

Key = tuple[str, bool]
"""A word of the index, and whether all that begin so are meant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """Words that must follow each other in a text.

    `joined` says of each whether nothing may stand between it and the one before. With `is_prefix`
    the last one is the beginning of a word.
    """

    words: tuple[str, ...]
    joined: tuple[bool, ...]
    keys: tuple[Key, ...]
    is_prefix: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Terms, of which all must occur."""

    terms: tuple[Term, ...]


def read_query(text: str) -> Query:
    """The query of a text. Without any word in it, it has no terms."""
    return Query(terms=tuple(dict.fromkeys(_terms(text))))


def _terms(text: str) -> Iterator[Term]:
    for found in _TERM.finditer(text):
        quoted, plain = found["quoted"], found["plain"] or ""
        said = plain.rstrip("*") if quoted is None else quoted
        term = _term(said, is_open=found[0].endswith("*"))
        if term:
            yield term


def _term(said: str, *, is_open: bool) -> Term | None:
    found = [*units(said)]
    if not found:
        return None
    last = found[-1]
    # A star that does not stand right behind a word is text, as any other sign. Behind a character
    # of a script without spaces it says nothing more: that is found within other text anyway.
    is_prefix = is_open and last.end == len(said) and not last.is_unspaced
    joined = (False, *(is_run(before, unit) for before, unit in pairwise(found)))
    return Term(
        words=tuple(unit.word for unit in found),
        joined=joined,
        keys=tuple(dict.fromkeys(_keys(found, is_prefix))),
        is_prefix=is_prefix,
    )


def _keys(found: list[Unit], is_prefix: bool) -> Iterator[Key]:
    """The words of the index that a text with this term has for certain."""
    joins = [is_run(before, unit) for before, unit in pairwise(found)]
    for at, unit in enumerate(found):
        if not unit.is_unspaced:
            indexed = cut(unit.word)
            yield indexed, is_prefix and unit is found[-1] and indexed == unit.word
        elif at < len(joins) and joins[at]:
            yield cut(unit.word + found[at + 1].word), False
        elif not (at and joins[at - 1]):
            yield cut(unit.word), True
