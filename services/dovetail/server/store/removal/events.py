"""Events that are to be removed, and how they go.

Of each task the event that changed it last stays, which tells a former holder what became of the
task, and the one by which it is held, which makes the repeat of a claim safe.
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.server.store.keyed import finding, raising, removing
from dovetail.server.store.removal.fronts import LOOK_ROWS, Found, Front, Item, Look, Position
from dovetail.server.store.schema import TaskEventRow, TeamRow
from dovetail.server.store.statements import Change
from dovetail.server.store.tables import events
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

_MINE = TaskEventRow.team_id == param("team_id")
_TIMES = Statement(
    TaskEventRow.select(TaskEventRow.number, TaskEventRow.create_time)
    .where(_MINE, TaskEventRow.number > param("after"))
    .order_by(TaskEventRow.number)
    .limit(LOOK_ROWS)
)
_REMOVE = removing(TaskEventRow.team_id, TaskEventRow.number)
_NOTE = raising(TeamRow.removed_event, key=TeamRow.team_id)


_CHANGING_NOTHING = ", ".join(f"'{verb.name}'" for verb in events.CHANGING_NOTHING)
# Of all tasks that have an event in a stretch, also what was left behind before it, when it was the
# last of its task.
_REMOVABLE = finding(
    f"""SELECT e."number" FROM "task_events" AS e
    WHERE e."team_id" = ? AND e."task_id" IN (
            SELECT s."task_id" FROM "task_events" AS s
            WHERE s."team_id" = ? AND s."number" > ? AND s."number" <= ?)
        AND e."number" <= ?
        AND e."number" <> (
            SELECT l."number" FROM "task_events" AS l
            WHERE l."team_id" = e."team_id" AND l."task_id" = e."task_id"
                AND l."verb" NOT IN ({_CHANGING_NOTHING})
            ORDER BY l."number" DESC LIMIT 1)
        AND NOT EXISTS (
            SELECT 1 FROM "tasks" AS t
            WHERE t."team_id" = e."team_id" AND t."task_id" = e."task_id"
                AND t."lease_event" = e."number" AND t."lease_token" <> '')
    ORDER BY e."number" LIMIT {LOOK_ROWS + 1}""",
    (
        TaskEventRow.team_id,
        TaskEventRow.team_id,
        TaskEventRow.number,
        TaskEventRow.number,
        TaskEventRow.number,
    ),
)


def look(snapshot: Snapshot, at: Look) -> Found | None:
    """What comes next: older than an age, or beyond a count."""
    old = at.older_than(at.rules.event_age)
    beyond = at.last_event - at.rules.event_count if at.rules.event_count else 0
    if not old and beyond <= 0:
        return None
    position = at.at(Front.EVENTS)
    rows = [
        number
        for number, time in snapshot.rows(_TIMES, after=position.number)
        if time <= at.floor and (time <= old or number <= beyond)
    ]
    if not rows:
        return Found(front=Front.EVENTS, items=(), end=position, rows=0, more=False)
    end = Position(rows[-1])
    team_id, until = snapshot.team_id, end.number
    key = (team_id, team_id, position.number, until, until)
    numbers = [number for (number,) in snapshot.fetch(_REMOVABLE, [key])[0]]
    # The front moves with the last of them: what was left behind before it may be very much.
    is_cut = len(numbers) > LOOK_ROWS
    return Found(
        front=Front.EVENTS,
        items=[Item((number,), 1, position) for number in numbers[:LOOK_ROWS]],
        end=position if is_cut else end,
        rows=len(rows),
        more=is_cut or len(rows) == LOOK_ROWS,
    )


def remove(transaction: Transaction, numbers: Sequence[int]) -> int:
    """Remove events. Returns how many."""
    team_id = transaction.team_id
    keys = [(team_id, number) for number in numbers]
    transaction.change((_REMOVE, keys), removed_through(team_id, max(numbers)))
    return len(numbers)


def removed_through(team_id: str, number: int) -> Change:
    """What notes that events up to this one may be missing."""
    return (_NOTE, [(number, number, team_id)])
