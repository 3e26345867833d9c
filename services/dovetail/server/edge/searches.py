"""Searches on the wire: what a request looks for, and the places of what was found."""

from __future__ import annotations

from dovetail.server.edge.validation import Checks, shown
from dovetail.server.store.search.places import Place
from dovetail.server.store.search.queries import (
    QUERY_CHARACTERS_MAX,
    TERMS_MAX,
    Query,
    read_query,
)
from dovetail.types.v1 import types_pb2

_NOTHING = Query(terms=())


def read_search(check: Checks, field: str, text: str) -> Query:
    """What to look for. Records what is wrong."""
    if not 1 <= len(text) <= QUERY_CHARACTERS_MAX:
        check.refuse(field, f"must have 1 to {QUERY_CHARACTERS_MAX} characters, has {len(text):,}")
        return _NOTHING
    query = read_query(text)
    if not query.terms:
        check.refuse(
            field, f"{shown(text)} must have a letter or a digit, which a search looks for"
        )
    elif len(query.terms) > TERMS_MAX:
        check.refuse(field, f"must have at most {TERMS_MAX} terms, has {len(query.terms)}")
    return query


def excerpt_message(place: Place) -> types_pb2.Excerpt:
    """A part of a field, and what was found in it."""
    return types_pb2.Excerpt(
        text=place.text,
        start=place.start,
        characters=place.characters,
        matches=[types_pb2.TextRange(start=start, end=end) for start, end in place.matches],
    )
