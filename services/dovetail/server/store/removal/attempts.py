"""Attempts that are to be removed, and how they go: by age, and beyond the newest of each task."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.server.store.queries import descending
from dovetail.server.store.removal import hanging
from dovetail.server.store.removal.fronts import LOOK_ROWS, Found, Front, Item, Look, Position
from dovetail.server.store.schema import TaskAttemptRow as AttemptRow
from dovetail.server.store.statements import Key
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

_ENDED = Statement(
    AttemptRow.select(
        AttemptRow.end_event, AttemptRow.end_time, AttemptRow.task_id, AttemptRow.start_event
    )
    .where(AttemptRow.team_id == param("team_id"), AttemptRow.end_event > param("after"))
    .order_by(AttemptRow.end_event)
    .limit(LOOK_ROWS)
)
_OF_TASK = (AttemptRow.team_id == param("team_id")) & (AttemptRow.task_id == param("task_id"))
_BEYOND = Statement(
    AttemptRow.select(AttemptRow.start_event)
    .where(_OF_TASK, AttemptRow.end_time <= param("floor"))
    .order_by(descending(AttemptRow.start_event))
    .limit(LOOK_ROWS + 1)
    .offset(param("count"))
)


def look(snapshot: Snapshot, at: Look, front: Front) -> Found | None:
    """What a front finds next; None: it has nothing to look for."""
    if front is Front.ATTEMPTS:
        return _by_age(snapshot, at)
    return _beyond_count(snapshot, at)


def remove(transaction: Transaction, keys: Sequence[Key]) -> int:
    """Remove attempts, by task and the event that began them. Returns how many."""
    transaction.change(*hanging.attempt_changes([(transaction.team_id, *key) for key in keys]))
    return len(keys)


def _by_age(snapshot: Snapshot, at: Look) -> Found | None:
    old, position = at.older_than(at.rules.attempt_age), at.at(Front.ATTEMPTS)
    if not old:
        return None
    found = snapshot.rows(_ENDED, after=position.number)
    rows = [row for row in found if row[1] <= old]
    return Found(
        front=Front.ATTEMPTS,
        items=[Item((task_id, start), 1, Position(end)) for end, _, task_id, start in rows],
        end=Position(rows[-1][0]) if rows else position,
        rows=len(rows),
        more=len(rows) == LOOK_ROWS,
    )


def _beyond_count(snapshot: Snapshot, at: Look) -> Found | None:
    """Those that newer ones of their tasks push out: each that ended is a reason to look."""
    count, position = at.rules.attempt_count, at.at(Front.ATTEMPT_COUNTS)
    if not count:
        return None
    found = snapshot.rows(_ENDED, after=position.number)
    rows = [row for row in found if row[1] <= at.floor]
    items: list[Item] = []
    end = position
    for task_id in dict.fromkeys(row[2] for row in rows):
        values = {"task_id": task_id, "count": count, "floor": at.floor}
        beyond = [start for (start,) in snapshot.rows(_BEYOND, **values)]
        items += [Item((task_id, start), 1, position) for start in beyond]
        if len(items) > LOOK_ROWS:
            # The rest of them is found by the next look, from the same place.
            front, some = Front.ATTEMPT_COUNTS, items[:LOOK_ROWS]
            return Found(front=front, items=some, end=position, rows=len(rows), more=True)
    if rows:
        end = Position(rows[-1][0])
    return Found(
        front=Front.ATTEMPT_COUNTS,
        items=items,
        end=end,
        rows=len(rows),
        more=len(rows) == LOOK_ROWS,
    )
