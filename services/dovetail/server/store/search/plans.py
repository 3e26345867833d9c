"""Plans: what leads to the documents that may be hits, as words of the index.

Beside its words a document has tags: what filters and rights ask for, such as its sender. They are
hashes, so whoever reads a document compares the real values; a tag only keeps what cannot match
from being looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from dovetail.server.store.search.queries import Key, Query

CHOICES_MAX = 64
"""Values of one condition that are looked for in the index; more are left to the filter."""

_WORD = "w"
_EVERY = "d"
"""What every document has: it leads a search that nothing else leads."""

_TAGS_KEPT = 20_000


class Document(NamedTuple):
    """What is indexed of a message or task: its number, and its words and tags."""

    number: int
    tokens: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Groups of keys: a hit has one of each group."""

    groups: tuple[tuple[Key, ...], ...]


@lru_cache(_TAGS_KEPT)
def tag(kind: str, value: str) -> str:
    """The tag of a value; its kind is a letter of its own."""
    return kind + blake2b(value.encode(), digest_size=6, person=b"dovetail tag").hexdigest()


def label_tags(kind: str, labels: Mapping[str, str]) -> list[str]:
    """The tags of labels."""
    return [tag(kind, f"{key}\x1f{value}") for key, value in labels.items()]


def document(number: int, words: Iterable[str], tags: Iterable[str]) -> Document:
    """A document of these words and tags."""
    return Document(number, [_EVERY, *dict.fromkeys(tags), *(_WORD + word for word in words)])


def words_of(documents: Iterable[Document]) -> set[str]:
    """All words of documents, without their tags."""
    return {each[1:] for one in documents for each in one.tokens if each[0] == _WORD}


def plan(query: Query, conditions: Iterable[Sequence[str]]) -> Plan:
    """What leads to the hits of a query; of each condition a document must have one of the tags."""
    groups: list[tuple[Key, ...]] = [
        ((_WORD + word, is_open),)
        for word, is_open in dict.fromkeys(key for term in query.terms for key in term.keys)
    ]
    groups += [
        tuple((each, False) for each in dict.fromkeys(tags))
        for tags in conditions
        if 0 < len(tags) <= CHOICES_MAX
    ]
    return Plan(groups=tuple(groups))


def every(plan: Plan) -> Plan:
    """A plan that something leads: by what every document has, if by nothing else."""
    return plan if plan.groups else Plan(groups=(((_EVERY, False),),))
