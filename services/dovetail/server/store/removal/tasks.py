"""Ended and deleted tasks that are to be removed, and how they go: with history and attempts.

What they add to the figures of all tasks stays there, and is noted apart, so that the figures can
still be counted anew from what is kept. A task stays while others need it:
- while it has a sub-task: a tree goes from its leaves up;
- while a task depends on it that has not ended, or any that does, if it is not COMPLETED. What a
  task depends on and does not find was therefore COMPLETED;
- while very many depend on it or link to it: their rows would go in one commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from dovetail.server.store.keyed import counting, finding, raising, removing
from dovetail.server.store.pages import Columns
from dovetail.server.store.removal import events, hanging
from dovetail.server.store.removal.fronts import (
    LOOK_ROWS,
    NEVER,
    Found,
    Front,
    Item,
    Look,
    Position,
)
from dovetail.server.store.schema import TaskEventRow, TaskRow, TeamRow
from dovetail.server.store.statements import Change, Key, quoted
from dovetail.server.store.tables import search, teams
from dovetail.server.store.tables.shares import REMOVED
from dovetail.server.store.tables.task_states import OPEN_STATES, TaskState
from dovetail.server.store.tallies import Tally, add_to
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

NEEDED_BY_MAX = 1_000
"""So many tasks may depend on a task, or link to it, when it is removed."""

PIECE_ROWS = 500
"""Events and attempts that go at once of a task that has more."""

_ORDER: Any = Columns(TaskRow.update_time, TaskRow.number)
_FIRST, _LAST = (param("after_time"), param("after")), (param("until_time"), param("until"))
_ROWS = Statement(
    TaskRow.select(
        TaskRow.update_time,
        TaskRow.number,
        TaskRow.task_id,
        TaskRow.state,
        TaskRow.delete_time,
    )
    .where(TaskRow.team_id == param("team_id"), _ORDER > _FIRST, _ORDER <= _LAST)
    .order_by(TaskRow.update_time, TaskRow.number)
    .limit(LOOK_ROWS)
)


def _of(table: str, column: str = "task_id") -> str:
    """The rows of a table that name the task, as the rest of a query."""
    return f'FROM "{table}" AS o WHERE o."team_id" = t."team_id" AND o."{column}" = t."task_id"'


def _some(rows: str) -> str:
    """How many there are, as far as it matters."""
    return f"(SELECT COUNT(*) FROM (SELECT 1 {rows} LIMIT {PIECE_ROWS + 1}) AS c)"


_FIELDS = tuple(field for tally in REMOVED for field in tally.fields)
_TASK = finding(
    f"""SELECT t."number", t."update_time", t."end_time", t."delete_time",
        CASE
            WHEN EXISTS (SELECT 1 {_of("task_links", "linked_task_id")}
                LIMIT 1 OFFSET {NEEDED_BY_MAX}) THEN 1
            WHEN EXISTS (SELECT 1 {_of("task_dependencies", "depends_on_id")}
                LIMIT 1 OFFSET {NEEDED_BY_MAX}) THEN 1
            WHEN EXISTS (SELECT 1 {_of("tasks", "parent_task_id")}
                AND o."parent_task_id" <> '') THEN 1
            WHEN EXISTS (SELECT 1 {_of("task_follow_ups")}) THEN 1
            WHEN t."state" <> {int(TaskState.COMPLETED)} THEN CASE
                WHEN EXISTS (SELECT 1 {_of("task_dependencies", "depends_on_id")}) THEN 1
                ELSE 0 END
            WHEN EXISTS (SELECT 1 FROM "task_dependencies" AS o JOIN "tasks" AS d
                ON d."team_id" = o."team_id" AND d."task_id" = o."task_id"
                WHERE o."team_id" = t."team_id" AND o."depends_on_id" = t."task_id"
                    AND d."end_time" IS NULL AND d."delete_time" IS NULL) THEN 1
            ELSE 0
        END,
        {_some(_of("task_events"))}, {_some(_of("task_attempts"))},
        (SELECT MAX(o."number") {_of("task_events")}),
        {", ".join(f"t.{quoted(field)} AS f{at}" for at, field in enumerate(_FIELDS))}
    FROM "tasks" AS t WHERE t."team_id" = ? AND t."task_id" = ?""",
    (TaskRow.team_id, TaskRow.task_id),
)
_OLDEST_EVENTS, _OLDEST_ATTEMPTS = (
    finding(
        f'SELECT "{column}" FROM "{table}" WHERE "team_id" = ? AND "task_id" = ?'
        f' ORDER BY "{column}" LIMIT {PIECE_ROWS}',
        (TaskRow.team_id, TaskRow.task_id),
    )
    for table, column in (("task_events", "number"), ("task_attempts", "start_event"))
)
_REMOVE_EVENTS = removing(TaskEventRow.team_id, TaskEventRow.number)
_COUNT = counting(TeamRow.removed_task_count, key=TeamRow.team_id)
_INCOMPLETE = raising(TeamRow.tasks_complete_since, key=TeamRow.team_id)


class _Row(NamedTuple):
    """A task as a look reads it."""

    update_time: int
    number: int
    task_id: str
    state: int
    delete_time: int | None

    @property
    def may_go(self) -> bool:
        return self.delete_time is not None or self.state not in OPEN_STATES


class _Task(NamedTuple):
    """A task as it is before it is removed; of events and attempts PIECE_ROWS + 1 at most."""

    number: int
    update_time: int
    end_time: int | None
    delete_time: int | None
    is_needed: int
    events: int
    attempts: int
    last_event: int | None
    fields: tuple[Any, ...]

    @property
    def may_go(self) -> bool:
        has_ended = self.end_time is not None or self.delete_time is not None
        return has_ended and not self.is_needed


def look(snapshot: Snapshot, at: Look, front: Front) -> Found | None:
    """What a front finds next; None: it has nothing to look for."""
    rules, position = at.rules, at.at(front)
    if not (rules.task_age or rules.task_count):
        return None
    is_held = front is Front.HELD_TASKS
    rows = _rows(snapshot, position, at.at(Front.TASKS) if is_held else Position(NEVER, NEVER))
    rows = [row for row in rows if row.update_time <= at.floor]
    old, excess = at.older_than(rules.task_age), _excess(snapshot, rules.task_count)
    ended: list[_Row] = []
    end, is_over = position, len(rows) < LOOK_ROWS
    for row in rows:
        if row.update_time > old and excess <= 0:
            is_over = True
            break
        end = Position(row.number, row.update_time)
        if row.may_go:
            ended.append(row)
            excess -= row.delete_time is None
    if is_held and is_over:  # From the beginning again.
        end = Position()
    items = _items(snapshot, ended)
    return Found(front=front, items=items, end=end, rows=len(rows), more=not is_over)


def remove(transaction: Transaction, keys: Sequence[Key]) -> tuple[int, int]:
    """Remove tasks, if they are as they were seen and nobody needs them.

    Returns how many of the keys are done with, and how many tasks were removed. Of a task with very
    many events or attempts some go first, and it is not done with.
    """
    ids = [(transaction.team_id, task_id) for task_id, _ in keys]
    done, gone = 0, dict[str, _Task]()
    for (task_id, seen), rows in zip(keys, transaction.fetch(_TASK, ids), strict=True):
        task = _task(rows[0]) if rows else None
        if task and task.may_go and task.update_time == seen:
            if max(task.events, task.attempts) > PIECE_ROWS:
                _remove_piece(transaction, task_id)
                break
            gone[task_id] = task
        done += 1
    if gone:
        removed = [hanging.Removed(task_id, task.number) for task_id, task in gone.items()]
        team_id, all_gone = transaction.team_id, [*gone.values()]
        changes = hanging.task_changes(team_id, removed)
        transaction.change(*changes, *_figures(team_id, all_gone), *_notes(team_id, all_gone))
        search.forget_tasks(transaction, [task.number for task in all_gone])
    return done, len(gone)


def _rows(snapshot: Snapshot, after: Position, until: Position) -> list[_Row]:
    bounds = {
        "after": after.number,
        "after_time": after.time,
        "until": until.number,
        "until_time": until.time,
    }
    return [_Row(*row) for row in snapshot.rows(_ROWS, **bounds)]


def _excess(snapshot: Snapshot, count: int | None) -> int:
    """How many ended tasks are beyond a count."""
    if not count:
        return 0
    kept = teams.kept_tasks(snapshot)
    return sum(kept[state] for state in TaskState if state not in OPEN_STATES) - count


def _items(snapshot: Snapshot, rows: Sequence[_Row]) -> list[Item]:
    found = snapshot.fetch(_TASK, [(snapshot.team_id, row.task_id) for row in rows])
    items: list[Item] = []
    for row, (stored,) in zip(rows, found, strict=True):
        task = _task(stored)
        if task.may_go:
            key, weight = (row.task_id, row.update_time), 2 + task.events + task.attempts
            items.append(Item(key, weight, Position(row.number, row.update_time)))
    return items


def _task(row: tuple[Any, ...]) -> _Task:
    return _Task(*row[:8], fields=row[8:])


def _remove_piece(transaction: Transaction, task_id: str) -> None:
    """Remove the oldest events and attempts of a task."""
    team_id, key = transaction.team_id, [(transaction.team_id, task_id)]
    (numbers,), (starts,) = transaction.fetch_all([(_OLDEST_EVENTS, key), (_OLDEST_ATTEMPTS, key)])
    if len(numbers) == PIECE_ROWS:  # With fewer the last of them, which must stay, is among them.
        keys = [(team_id, *row) for row in numbers]
        noted = events.removed_through(team_id, numbers[-1][0])
        transaction.change((_REMOVE_EVENTS, keys), noted)
    if len(starts) == PIECE_ROWS:
        keys = [(team_id, task_id, *row) for row in starts]
        transaction.change(*hanging.attempt_changes(keys))


def _figures(team_id: str, gone: Sequence[_Task]) -> list[Change]:
    """What adds the shares of these tasks to those of removed ones."""
    sums: defaultdict[Tally, dict[Key, list[int]]] = defaultdict(dict)
    for task in gone:
        at = 0
        for tally in REMOVED:
            for key, amounts in tally.shares(*task.fields[at : at + len(tally.fields)]):
                add_to(sums[tally], (team_id, *key), amounts)
            at += len(tally.fields)
    return [
        (tally.add, [(*key, *amounts) for key, amounts in found.items()])
        for tally, found in sums.items()
    ]


def _notes(team_id: str, gone: Sequence[_Task]) -> list[Change]:
    """What notes in the team's row what is missing from here on."""
    notes: list[Change] = [(_COUNT, [(len(gone), team_id)])]
    last_events = [task.last_event for task in gone if task.last_event is not None]
    if last_events:
        notes.append(events.removed_through(team_id, max(last_events)))
    ends = [task.end_time for task in gone if task.end_time and task.delete_time is None]
    if ends:
        since = max(ends) + 1
        notes.append((_INCOMPLETE, [(since, since, team_id)]))
    return notes
