"""Kept figures: sums over tasks that agree with them after any change, and in stores of before."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playhouse.migrations import Runner

from dovetail.server.store import recounting, sketches
from dovetail.server.store.engines.base import MIGRATIONS, Engine
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.tasks import OPEN_STATES, TASKS, Task, TaskState
from dovetail.server.store.tallies import Tallies
from store.opened import TEAM, migrated, pending_task

MICROS = 1_000_000
COUNT = 8
"""Tasks in the store."""


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Generator[Engine]:
    """A store with tasks of nobody."""
    with migrated(shared_url) as engine:
        with engine.write() as group:
            group.team(TEAM)
            for number in range(1, COUNT + 1):
                tasks.insert(group.unit(TEAM), pending_task(number))
            group.flush()
        yield engine


@st.composite
def changed(draw: st.DrawFn) -> Task:
    """A task as it may be at some time of its life."""
    task = pending_task(draw(st.integers(1, COUNT)))
    state = draw(st.sampled_from(TaskState))
    begun = state not in (TaskState.PENDING, TaskState.CANCELLED, TaskState.FAILED)
    took = st.integers(0, 400 * 366 * 24 * 3600 * MICROS)
    start_time = task.create_time + draw(took) if begun or draw(st.booleans()) else None
    end_time = None if state in OPEN_STATES else (start_time or task.create_time) + draw(took)
    return replace(
        task,
        state=state,
        start_time=start_time,
        end_time=end_time,
        assignee_id=draw(st.sampled_from(("", "ann", "bob"))),
        input_wait=draw(st.sampled_from((0, 1, 99, 10**9))),
        delete_time=draw(st.sampled_from((None, None, 1))),
    )


def test_an_estimate_is_within_a_hundredth_of_all_that_is_in_its_bucket() -> None:
    first = last = 0
    for bucket, last in enumerate(sketches.BOUNDS):
        for micros in (first, last):
            assert sketches.bucket_of(micros) == bucket
            assert abs(sketches.estimate(bucket) - micros) * 100 <= micros
        first = last + 1
    assert last >= sketches.MICROS_MAX


@given(st.lists(st.lists(changed(), max_size=5), max_size=5))
@settings(max_examples=25, deadline=None)
def test_figures_agree_with_the_tasks_after_any_changes(
    engine: Engine, groups: list[list[Task]]
) -> None:
    for changes in groups:
        with engine.write() as group:
            unit = group.unit(TEAM)
            for task in changes:
                tasks.save(unit, task)
                if task.assignee_id == "ann":  # What was put is written before a query.
                    tasks.open_subtasks(unit, ["t1"], 1)
            group.flush()
    with engine.read() as snapshot:
        assert recounting.is_right(snapshot.of(TEAM))


def test_tasks_are_counted_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovetail.server.store.transaction.PART_ROWS", COUNT // 2 - 1)
    query = TaskRow.select(TaskRow.number).where(TaskRow.team_id == TEAM)
    with engine.read() as snapshot:
        parts = [*snapshot.of(TEAM).select_in_parts(query, TaskRow.number)]
        assert recounting.is_right(snapshot.of(TEAM))
    assert [number for part in parts for (number,) in part] == [*range(1, COUNT + 1)]
    assert len(parts) == 3


def test_figures_that_are_rebuilt_count_each_task_of_the_same_commit_once(engine: Engine) -> None:
    with engine.write() as group:
        unit = group.unit(TEAM)
        tasks.save(unit, replace(pending_task(1), assignee_id="before"))
        recounting.rebuild(unit)
        tasks.save(unit, replace(pending_task(1), assignee_id="after"))
        assert recounting.is_right(unit)
        group.flush()
    with engine.read() as snapshot:
        assert recounting.is_right(snapshot.of(TEAM))


def test_a_commit_writes_each_figure_once() -> None:
    tallies = Tallies()
    for number in range(64):
        begun = replace(pending_task(number), state=TaskState.IN_PROGRESS, start_time=number)
        ended = replace(begun, state=TaskState.COMPLETED, end_time=number + MICROS + number % 4)
        tallies.note(TASKS.tallies, TEAM, TASKS.encode(begun), TASKS.encode(ended))
    (_, of_assignee), (_, of_durations) = tallies.take()
    assert of_assignee == [(TEAM, "", 0, -64, 0, 64, 0, 0, 64, 96)]
    assert len(of_durations) == 1
    assert tallies.take() == []


def test_what_differs_in_nothing_that_figures_are_made_of_writes_none() -> None:
    tallies = Tallies()
    row = TASKS.encode(pending_task(1))
    tallies.note(TASKS.tallies, TEAM, row, TASKS.encode(replace(pending_task(1), title="another")))
    tallies.note(TASKS.tallies, TEAM, row, TASKS.encode(replace(pending_task(1), due_time=9)))
    assert tallies.take() == []


OLD_TASK = (
    "INSERT INTO tasks (team_id, task_id, number, version, title, description, state, assignee_id,"
    " creator_id, priority, labels, thread_id, outcome_text, attempt, create_time, update_time,"
    " start_time, end_time, delete_time, input_wait) VALUES ('{team}', 't{number}', {number}, 1,"
    " 'old', '', {state}, '{assignee}', '', 0, '', 't', '', 0, {number}, 1, {start}, {end},"
    " {delete}, {wait})"
)


def old_tasks(team: str, count: int) -> Generator[str]:
    """Tasks in all states, started or not, deleted or not, and with times of many sizes."""
    for number in range(1, count + 1):
        state = 1 + number % 6
        start = "NULL" if state == 1 or (number % 5 == 0 and state > 4) else number + 3**number
        yield OLD_TASK.format(
            team=team,
            number=number,
            state=state,
            assignee=("", "ann", "bob")[number // 6 % 3],
            start=start,
            end="NULL" if state < 4 else number + 3**number + 2**number,
            delete=5 if number % 11 == 0 else "NULL",
            wait=number % 3 * number,
        )


def test_the_figures_of_an_older_store_are_built_for_its_tasks(store_url: str) -> None:
    engine = open_engine(store_url)
    runner = cast(Any, Runner(engine.database, str(MIGRATIONS)))
    runner.up("0007_history")
    for team in ("red", "blue"):
        engine.database.execute_sql(
            "INSERT INTO teams (team_id, last_message, last_task, last_event, last_time)"
            f" VALUES ('{team}', 0, 36, 0, 1)"
        )
        for statement in old_tasks(team, 36 if team == "red" else 7):
            engine.database.execute_sql(statement)
    engine.migrate()
    with engine.read() as snapshot:
        for team in ("red", "blue", "none"):
            assert recounting.is_right(snapshot.of(team))
    counts = "+".join(f"SUM(bucket_{at})" for at in range(sketches.PAGE_BUCKETS))
    rows = engine.database.execute_sql(
        f"SELECT {counts} FROM duration_figures WHERE team_id = 'red' AND kind = 2"
    ).fetchall()
    assert rows[0][0] == 24  # Tasks that were started and not deleted.
    engine.close_connection()
    engine.close()
