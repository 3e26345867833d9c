"""The figures of reports, kept beside the tasks; they are built for the tasks that there are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

TASKS_AT_ONCE = 10_000
PAGE_BUCKETS = 16
COUNTS = ", ".join(f"bucket_{at} BIGINT NOT NULL" for at in range(PAGE_BUCKETS))
STATEMENTS = (
    """
    CREATE TABLE assignee_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        assignee_id {id} NOT NULL,
        pending_tasks BIGINT NOT NULL,
        in_progress_tasks BIGINT NOT NULL,
        input_required_tasks BIGINT NOT NULL,
        completed_tasks BIGINT NOT NULL,
        failed_tasks BIGINT NOT NULL,
        cancelled_tasks BIGINT NOT NULL,
        task_seconds BIGINT NOT NULL,
        task_micros BIGINT NOT NULL,
        PRIMARY KEY (team_id, assignee_id)
    ){options}""",
    """
    CREATE TABLE duration_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        kind INTEGER NOT NULL,
        page INTEGER NOT NULL,
        {counts},
        seconds BIGINT NOT NULL,
        micros BIGINT NOT NULL,
        PRIMARY KEY (team_id, kind, page)
    ){options}""",
    # No task has used anything yet: usage is as new as this.
    """
    CREATE TABLE usage_figures (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        assignee_id {id} NOT NULL,
        measure {id} NOT NULL,
        billions BIGINT NOT NULL,
        units BIGINT NOT NULL,
        PRIMARY KEY (team_id, assignee_id, measure)
    ){options}""",
    # Finds the oldest task of an assignee that has not ended.
    """
    CREATE INDEX tasks_open ON tasks (team_id, assignee_id, create_time)
    WHERE end_time IS NULL AND delete_time IS NULL""",
    # Finds the question that has been open longest.
    "CREATE INDEX tasks_asked ON tasks (team_id, ask_time) WHERE state = 3",
    """
    INSERT INTO assignee_figures
    SELECT team_id, assignee_id,
        SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 3 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 4 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 5 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 6 THEN 1 ELSE 0 END),
        SUM(CASE WHEN state = 4 THEN (end_time - start_time) / 1000000 ELSE 0 END),
        SUM(CASE WHEN state = 4 THEN end_time - start_time
            - (end_time - start_time) / 1000000 * 1000000 ELSE 0 END)
    FROM tasks WHERE delete_time IS NULL GROUP BY team_id, assignee_id""",
)

# Ids compare by their bytes on both engines, so that pages have one order. Each commit changes rows
# of these tables: PostgreSQL writes the new ones into the free half of their page, and no index.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": " WITH (fillfactor = 50)"},
}


def up(_: Any, db: Any) -> None:
    """Add tables and index, and fill them. Frozen as it was released."""
    types = next(TYPES[kind.__name__] for kind in type(db).__mro__ if kind.__name__ in TYPES)
    for statement in STATEMENTS:
        db.execute_sql(statement.format(counts=COUNTS, **types))
    for (team_id,) in db.execute_sql("SELECT team_id FROM teams").fetchall():
        _sketch(db, team_id)


def _sketch(db: Any, team_id: str) -> None:
    """Sort the durations of a team's tasks into buckets: logarithms are not in every SQLite."""
    bounds = [0]
    while bounds[-1] < 2**63 - 1:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * 102 // 100))
    sums: dict[tuple[int, int], list[int]] = {}
    for kind, micros in _durations(db, team_id):
        page, at = divmod(bisect_left(bounds, micros), PAGE_BUCKETS)
        found = sums.setdefault((kind, page), [0] * (PAGE_BUCKETS + 2))
        found[at] += 1
        found[-2] += micros // 1_000_000
        found[-1] += micros % 1_000_000
    marks = ", ".join([db.param] * (3 + PAGE_BUCKETS + 2))
    for key, values in sums.items():
        statement = f"INSERT INTO duration_figures VALUES ({marks})"
        db.execute_sql(statement, (team_id, *key, *values))


def _durations(db: Any, team_id: str) -> Iterator[tuple[int, int]]:
    """The task times (1), queue times (2) and waits for answers (3), some tasks at a time."""
    query = f"""
        SELECT number, CASE WHEN state = 4 THEN end_time - start_time END,
            start_time - create_time, CASE WHEN input_wait > 0 THEN input_wait END
        FROM tasks WHERE team_id = {db.param} AND number > {db.param} AND delete_time IS NULL
        ORDER BY number LIMIT {TASKS_AT_ONCE}"""
    last = 0
    while rows := db.execute_sql(query, (team_id, last)).fetchall():
        for number, *durations in rows:
            for kind, micros in enumerate(durations, start=1):
                if micros is not None:
                    yield kind, micros
            last = number
