"""Handouts: which deliveries were handed to their recipients, as spans of each inbox.

A span is written for all that one inbox was handed in a moment, not one row for each delivery. The
spans of an inbox are disjoint: what is handed out again keeps the time of the first.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from peewee import Case

from dovetail.server.store.queries import ModelSelect
from dovetail.server.store.schema import DeliveryRow, HandoutRow
from dovetail.server.store.sets import Range, Row, Table, plain
from dovetail.server.store.transaction import MICROS, Need, Transaction

SPANS_READ_MAX = 200
"""Spans of one inbox that one unit compares with a new one; the rest follows in another."""

# Last and first sequence after the agent, then the time.
HANDOUTS: Table[Row] = Table(
    (
        HandoutRow.agent_id,
        HandoutRow.last_sequence,
        HandoutRow.first_sequence,
        HandoutRow.send_time,
    ),
    2,
    plain(2),
)
# The spans that end at a sequence or later: of what is handed out for the first time there is none.
_FROM = Range(
    HANDOUTS,
    (HandoutRow.agent_id, HandoutRow.last_sequence),
    '"agent_id" = ? AND "last_sequence" >= ?',
    order='"last_sequence"',
    most=SPANS_READ_MAX,
)

Span = tuple[int, int]
"""The first and the last sequence of deliveries that follow each other."""


class Handout(NamedTuple):
    """Deliveries of an inbox, from the first to the last, that were handed out by a time.

    `at` is a time of this machine's monotonic clock.
    """

    first: int
    last: int
    at: float


def need(agent_id: str, handed: Sequence[Handout]) -> list[Need]:
    """What a unit needs that records these."""
    return [Need(_FROM, (agent_id, each.first)) for each in handed]


def record(transaction: Transaction, agent_id: str, handed: Sequence[Handout]) -> list[Handout]:
    """Record what was handed out of an inbox, in order of time. Returns what is left to do.

    The agent must exist.
    """
    covered: set[Span] = set()
    # All is read before the first span is added: that would have the group read again.
    ends = [_read(transaction, agent_id, each, covered) for each in handed]
    now, stamp = time.monotonic(), transaction.team.stamp
    for each, end in zip(handed, ends, strict=True):
        for first, last in _gaps((each.first, end), covered):
            send_time = stamp - max(0, int((now - each.at) * MICROS))
            transaction.add(HANDOUTS, (agent_id, last, first, send_time))
            covered.add((first, last))
    return [
        each._replace(first=end + 1)
        for each, end in zip(handed, ends, strict=True)
        if end < each.last
    ]


def send_time() -> ModelSelect:
    """A column of a query of deliveries: when each was handed out, or NULL."""
    # The first span that ends there or later holds the delivery, or none does: they are disjoint.
    is_in = HandoutRow.first_sequence <= DeliveryRow.sequence
    return (
        HandoutRow.select(Case(None, [(is_in, HandoutRow.send_time)]))
        .where(
            HandoutRow.team_id == DeliveryRow.team_id,
            HandoutRow.agent_id == DeliveryRow.agent_id,
            HandoutRow.last_sequence >= DeliveryRow.sequence,
        )
        .order_by(HandoutRow.last_sequence)
        .limit(1)
    )


def _read(transaction: Transaction, agent_id: str, handed: Handout, covered: set[Span]) -> int:
    """Add the spans that may overlap to those that are known; return how far they are."""
    known = transaction.find_all(_FROM, agent_id, handed.first)
    covered.update((first, last) for _, last, first, _ in known)
    is_cut = len(known) == SPANS_READ_MAX
    return min(handed.last, known[-1][1]) if is_cut else handed.last


def _gaps(span: Span, covered: Iterable[Span]) -> list[Span]:
    """What of a span none of the others covers."""
    first, last = span
    gaps: list[Span] = []
    for begin, end in sorted(each for each in covered if each[1] >= first and each[0] <= last):
        if begin > first:
            gaps.append((first, begin - 1))
        first = max(first, end + 1)
    return [*gaps, (first, last)] if first <= last else gaps
