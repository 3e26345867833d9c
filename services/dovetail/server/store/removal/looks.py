"""Looks for what is to be removed, and the units that remove it."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dovetail.server.retention import Retention
from dovetail.server.store.removal import attempts, events, fronts, messages, tasks
from dovetail.server.store.removal.fronts import Found, Front, Item, Look, Position
from dovetail.server.store.search.index import DocumentKind
from dovetail.server.store.tables import search, teams
from dovetail.server.store.transaction import Need, Snapshot, Transaction

_MESSAGES = (Front.NOTICES, Front.MESSAGES, Front.UNACKNOWLEDGED, Front.HELD_MESSAGES)
_TASKS = (Front.TASKS, Front.HELD_TASKS)
HELD = (Front.HELD_MESSAGES, Front.HELD_TASKS)
"""These go round and round, and where they are is not written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What counts for all teams: the rules where a team says nothing, and what is never removed.

    `kept_micros`: nothing that is younger is removed.
    """

    default: Retention
    kept_micros: int


class Seen(NamedTuple):
    """What a look saw: the rules that apply, what it found first, and which fronts are through."""

    rules: Retention
    found: Found | None
    through: tuple[Front, ...]
    ends: Mapping[Front, Position]
    """How far fronts moved that found nothing."""


class Bitten(NamedTuple):
    """What a unit did: how many items it is done with, what was removed, and how long it took.

    Without `goes_on` it did nothing, because the rules have changed.
    """

    done: int
    removed: int
    seconds: float
    goes_on: bool


def find(
    snapshot: Snapshot,
    policy: Policy,
    skip: Collection[Front],
    known: Mapping[Front, Position],
) -> Seen:
    """What there is to remove of a team. `known` are positions that may not be written yet."""
    rules = teams.retention(snapshot).over(policy.default)
    at = fronts.look(snapshot, rules, policy.kept_micros)
    if at is None:
        return Seen(rules, None, tuple(Front), {})
    at = replace(at, positions=_later(at.positions, known))
    through: list[Front] = []
    ends: dict[Front, Position] = {}
    for front in Front:
        if front in skip:
            continue
        found = _look(snapshot, at, front)
        if found and (found.items or found.more):
            return Seen(rules, found, tuple(through), ends)
        through.append(front)
        if found:
            ends[front] = found.end
    return Seen(rules, None, tuple(through), ends)


def needs(front: Front) -> list[Need]:
    """What a bite needs."""
    needed = [] if front in HELD else [fronts.need(front)]
    if front in _MESSAGES:
        needed.append(search.need_to_forget(DocumentKind.MESSAGE))
    elif front in _TASKS:
        needed.append(search.need_to_forget(DocumentKind.TASK))
    return needed


def bite(transaction: Transaction, seen: Seen, policy: Policy, items: Sequence[Item]) -> Bitten:
    """Remove items that a look found, if its rules still apply."""
    began = time.perf_counter()
    found = seen.found
    assert found is not None
    if not fronts.are_same(transaction, seen.rules, policy.default):
        return Bitten(0, 0, 0.0, goes_on=False)
    done, removed = _remove(transaction, found.front, items)
    if done and found.front not in HELD:
        fronts.move(transaction, found.front, items[done - 1].position)
    return Bitten(done, removed, time.perf_counter() - began, goes_on=True)


def save(transaction: Transaction, positions: Mapping[Front, Position]) -> None:
    """Write how far fronts moved."""
    for front, position in positions.items():
        fronts.move(transaction, front, position)


def _later(
    written: Mapping[Front, Position], known: Mapping[Front, Position]
) -> dict[Front, Position]:
    """Of each front the later position; of one that goes round and round the known one."""
    later = {**written, **known}
    for front, position in written.items():
        later[front] = max(later[front], position, key=lambda each: (each.time, each.number))
    return later


def _look(snapshot: Snapshot, at: Look, front: Front) -> Found | None:
    if front in _MESSAGES:
        return messages.look(snapshot, at, front)
    if front in _TASKS:
        return tasks.look(snapshot, at, front)
    return (
        events.look(snapshot, at) if front is Front.EVENTS else attempts.look(snapshot, at, front)
    )


def _remove(transaction: Transaction, front: Front, items: Sequence[Item]) -> tuple[int, int]:
    """How many items are done with, and how many rows of their kind were removed."""
    if front in _TASKS:
        return tasks.remove(transaction, [item.key for item in items])
    if front in _MESSAGES:
        removed = messages.remove(transaction, front, [number for (number,), *_ in items])
    elif front is Front.EVENTS:
        removed = events.remove(transaction, [number for (number,), *_ in items])
    else:
        removed = attempts.remove(transaction, [item.key for item in items])
    return len(items), removed
