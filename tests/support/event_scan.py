"""The tasks of a team as their events tell of them: plain SQL that knows nothing of the product.

It is what reports are compared with, so it uses neither the table of tasks nor the servers' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.server.store.store import Store
from dovetail.server.store.transaction import Snapshot
from dovetail.tasks.v1 import tasks_pb2 as pb

# A start counts until the task is PENDING again, an end while it is the last change of state. What
# a task waited for an answer is kept whatever follows.
_TASKS = """
    WITH mine AS (SELECT * FROM task_events WHERE team_id = {mark}),
    last AS (
        SELECT task_id, MIN(create_time) AS create_time, MAX(number) AS number,
            MAX(CASE WHEN verb IN ('CLAIM', 'START') THEN number END) AS started,
            MAX(CASE WHEN to_state = 1 THEN number END) AS pending,
            MAX(CASE WHEN to_state >= 4 AND from_state < 4 THEN number END) AS ended,
            MAX(CASE WHEN verb = 'REQUEST_INPUT' THEN number END) AS asked,
            MAX(CASE WHEN verb = 'DELETE' THEN 1 ELSE 0 END) AS deleted
        FROM mine GROUP BY task_id
    ),
    talk AS (
        SELECT task_id, verb, create_time - LAG(create_time) OVER (
            PARTITION BY task_id ORDER BY number) AS waited
        FROM mine WHERE verb IN ('REQUEST_INPUT', 'PROVIDE_INPUT')
    ),
    answers AS (
        SELECT task_id, SUM(CASE WHEN waited < 1 THEN 1 ELSE waited END) AS waited
        FROM talk WHERE verb = 'PROVIDE_INPUT' GROUP BY task_id
    )
    SELECT last.task_id, now.to_state, now.assignee_id, last.create_time,
        CASE WHEN last.started > COALESCE(last.pending, 0) THEN start.create_time END,
        CASE WHEN now.to_state >= 4 THEN finish.create_time END,
        CASE WHEN now.to_state = 3 THEN question.create_time END,
        COALESCE(answers.waited, 0)
    FROM last JOIN mine AS now ON now.number = last.number
        LEFT JOIN mine AS start ON start.number = last.started
        LEFT JOIN mine AS finish ON finish.number = last.ended
        LEFT JOIN mine AS question ON question.number = last.asked
        LEFT JOIN answers ON answers.task_id = last.task_id
    WHERE last.deleted = 0"""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The tasks that are not deleted, by id, and how long each waited for answers, if it did."""

    tasks: dict[str, pb.Task]
    input_waits: dict[str, int]


async def scan(store: Store, team_id: str) -> Scan:
    """Read all events of a team."""

    def query(snapshot: Snapshot) -> list[Any]:
        database = snapshot._database
        sql = _TASKS.format(mark=database.param)
        return database.execute_sql(sql, (team_id,)).fetchall()

    rows = await store.read(team_id, query)
    return Scan(
        tasks={row[0]: _task(*row[:-1]) for row in rows},
        input_waits={row[0]: int(row[-1]) for row in rows if row[-1]},
    )


def _task(
    task_id: str, state: Any, assignee_id: str, create_time: int, *times: int | None
) -> pb.Task:
    task = pb.Task(
        task_id=task_id, state=state, assignee_id=assignee_id, create_time=_at(create_time)
    )
    start_time, end_time, ask_time = map(_at, times)
    if start_time:
        task.start_time.CopyFrom(start_time)
    if end_time:
        task.end_time.CopyFrom(end_time)
    if ask_time:
        task.question.ask_time.CopyFrom(ask_time)
    return task


def _at(micros: int | None) -> Timestamp | None:
    if micros is None:
        return None
    made = Timestamp()
    made.FromMicroseconds(micros)
    return made
