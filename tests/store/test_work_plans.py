"""Query plans of the work engine, in a team with many tasks: what runs often uses its index."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, cast

import pytest

from dovetail.server.store.engines.base import Engine
from dovetail.server.store.filters import TimeRange
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables import (
    dependencies,
    leases,
    links,
    questions,
    queues,
    task_pages,
    tasks,
    trees,
)
from dovetail.server.store.tables.dependencies import Window
from dovetail.server.store.tables.task_pages import ListRequest, TaskOrder
from dovetail.server.store.tables.tasks import TaskFilter, TaskLink
from dovetail.server.store.transaction import Transaction
from store.explaining import Explaining, is_postgres
from store.opened import TEAM, migrated, pending_task

MANY = 20_000
# Half are ready in the pool, and of the others some are scheduled, held, late, and parts.
VALUES = {
    "task_id": "'t' || i",
    "number": "i",
    "state": "CASE WHEN i % 40 = 1 THEN 2 WHEN i % 4 = 3 THEN 4 ELSE 1 END",
    "assignee_id": "CASE WHEN i % 2 = 0 THEN '' ELSE 'w' || i % 50 END",
    "end_time": "CASE WHEN i % 4 = 3 THEN 1 END",
    "schedule_time": "CASE WHEN i % 100 = 5 THEN 1000 + i END",
    "lease_token": "CASE WHEN i % 400 = 1 THEN 'x' ELSE '' END",
    "due_time": "CASE WHEN i % 100 = 9 THEN 1000 + i END",
    "parent_task_id": "CASE WHEN i % 10 = 7 THEN 't' || i / 100 ELSE '' END",
    "priority": "i % 3",
    "update_time": "1000 + i / 3",
    "spent_budgets": "CASE WHEN i % 8 = 6 THEN 1 ELSE 0 END",
}
FILL = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) "
FILL_TASKS = FILL + "INSERT INTO tasks ({names}) SELECT {values} FROM tasks, n WHERE task_id = 't1'"
FILL_LINKS = (
    FILL + "INSERT INTO task_links (team_id, linked_task_id, number)"
    " SELECT '{team}', 't' || (i / 5 + 1), i FROM n"
)
FILL_EDGES = (
    FILL + "INSERT INTO task_dependencies (team_id, task_id, depends_on_id)"
    " SELECT '{team}', 't' || i, 't' || (i / 2) FROM n"
)


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Generator[Engine]:
    """A store whose team has many tasks, each of which waits for another."""
    columns = [str(field.column_name) for field in cast(Any, TaskRow)._meta.sorted_fields]
    values = [str(VALUES.get(name, name)) for name in columns]
    with migrated(shared_url) as engine:
        with engine.span("BEGIN", "COMMIT"):
            group = Explaining(engine)
            group.team(TEAM)
            tasks.insert(group.unit(TEAM), pending_task(1))
            group.flush()
            names = ", ".join(columns)
            fill = FILL_TASKS.format(many=MANY, names=names, values=", ".join(values))
            execute(engine, fill)
            execute(engine, FILL_EDGES.format(many=MANY, team=TEAM))
            execute(engine, FILL_LINKS.format(many=MANY, team=TEAM))
        execute(engine, "ANALYZE")
        yield engine


def execute(engine: Engine, sql: str) -> None:
    cast(Any, engine.database).execute_sql(sql.replace("%", "%%") if is_postgres(engine) else sql)


def change_several(transaction: Transaction) -> None:
    """Read and write tasks as a set."""
    ids = ("t8", "t9")
    transaction.need(map(tasks.need, ids))
    for task_id in ids:
        task = tasks.find(transaction, task_id)
        assert task is not None
        tasks.save(transaction, replace(task, priority=task.priority + 1))
    tasks.open_subtasks(transaction, ["t8"], 1)  # a query: what was put is written before it


def page(
    by: TaskOrder, newest_first: bool = False, after: Any = None, **chosen: Any
) -> ListRequest:
    return ListRequest(
        filter=TaskFilter(**chosen),
        by=by,
        newest_first=newest_first,
        after=after,
        most=50,
        most_bytes=10**6,
    )


CREATED, UPDATED = TaskOrder.CREATE_TIME, TaskOrder.UPDATE_TIME
LINKED = replace(pending_task(1), links=(TaskLink("relates_to", "t9"),))
LISTS: dict[str, tuple[ListRequest, str]] = {
    "the last changes": (page(UPDATED, newest_first=True), "tasks_update"),
    "what changed since a page": (page(UPDATED, after=(4_000, 9_000)), "tasks_update"),
    "what changed before a page": (
        page(UPDATED, newest_first=True, after=(4_000, 9_000)),
        "tasks_update",
    ),
    "what changed in a time": (
        page(UPDATED, update_time=TimeRange(start=3_000, end=3_010)),
        "tasks_update",
    ),
    "the changes of an agent's tasks": (
        page(UPDATED, creator_ids=["w1"], update_time=TimeRange(start=7_600)),
        "tasks_update",
    ),
    "what links to a task": (page(CREATED, linked_task_id="t9"), "task_links"),
}
WORK: dict[str, tuple[Callable[[Transaction], object], str]] = {
    "a claim from the pool": (
        lambda t: queues.ready(t, "", None, (10**9, 1)),
        "tasks_ready",
    ),
    "a claim of many own tasks": (
        lambda t: queues.ready(t, "w1", None, (10**9, 100)),
        "tasks_ready",
    ),
    "a look at the pool": (
        lambda t: queues.any_ready(t, [""], None, 10**9),
        "tasks_ready",
    ),
    "a look at the queues of many": (
        lambda t: queues.any_ready(t, [f"x{n}" for n in range(500)], None, 10**9),
        "tasks_assignee",
    ),
    "when the next task is due to be ready": (
        lambda t: queues.next_time(t, 10_000),
        "tasks_scheduled",
    ),
    "where tasks became ready": (
        lambda t: queues.due(t, 10_000, 10_100),
        "tasks_scheduled",
    ),
    "all leases": (leases.held, "tasks_leased"),
    "overdue tasks": (lambda t: leases.overdue(t, 5_000, 200), "tasks_due"),
    "questions past their deadline": (
        lambda t: questions.due(t, 5_000, 200),
        "tasks_question_deadline",
    ),
    "whether anything waits for a task": (
        lambda t: dependencies.any_dependents(t, "t9"),
        "task_dependencies",
    ),
    "what waits for a task": (
        lambda t: dependencies.dependents(t, "t9", Window(most=201)),
        "tasks_pkey",
    ),
    "what has become ready": (
        lambda t: dependencies.ready_dependents(t, "t9", Window(most=201)),
        "tasks_pkey",
    ),
    "the counts of what waits": (
        lambda t: dependencies.adjust_waiting(t, "t9", 0),
        "task_dependencies",
    ),
    "a way back through dependencies": (
        lambda t: dependencies.path(t, ["t9000", "t9001"], "t1"),
        "task_dependencies",
    ),
    "the way up from a part": (lambda t: trees.path(t, "t9007", "t1"), "tasks_pkey"),
    "a link that is taken back": (
        lambda t: links.replace(t, pending_task(1), before=LINKED),
        "task_links",
    ),
    **{
        name: (lambda t, request=request: task_pages.page(t, request), index)
        for name, (request, index) in LISTS.items()
    },
    "a change of several tasks": (change_several, "tasks_pkey"),
    "the open parts of tasks": (
        lambda t: tasks.open_subtasks(t, ["t1", "t2"], 1_001),
        "tasks_parent",
    ),
}
SQLITE_NAMES = {"tasks_pkey": "sqlite_autoindex_tasks_1"}


@pytest.mark.parametrize(("work", "index"), WORK.values(), ids=WORK)
def test_the_work_engine_finds_its_tasks_by_an_index_among_many(
    engine: Engine, work: Callable[[Transaction], object], index: str
) -> None:
    with engine.span("BEGIN", "ROLLBACK"):
        explaining = Explaining(engine)
        work(explaining.unit(TEAM))
    plan = "\n".join(explaining.plan)
    assert index in plan or SQLITE_NAMES.get(index, index) in plan, plan
    assert not re.search(r"Seq Scan on (tasks|task_dependencies) |SCAN t\d(?! USING)", plan), plan
