"""What an agent still has to do: tasks that have not ended, and open questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from peewee import SQL

from dovetail.server.store.queries import Select, fn
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.transaction import Snapshot, Statement, param

COUNTED_MAX = 1_000
SHOWN_MAX = 3


class OpenWork(NamedTuple):
    """How many tasks, COUNTED_MAX at most, and the first of them; the same of questions."""

    tasks: int
    task_ids: Sequence[str]
    questions: int
    question_ids: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.tasks or self.questions)


# The conditions repeat those of the indexes, or SQLite would not use them.
_TASKS = TaskRow.select(TaskRow.task_id).where(
    TaskRow.team_id == param("team_id"),
    TaskRow.assignee_id == param("agent_id"),
    TaskRow.end_time.is_null(),
    TaskRow.delete_time.is_null(),
)
_QUESTIONS = TaskRow.select(TaskRow.task_id).where(
    TaskRow.team_id == param("team_id"),
    TaskRow.asked_id == param("agent_id"),
    TaskRow.asked_id != SQL("''"),
)
_FIRST_TASKS = Statement(_TASKS.order_by(TaskRow.create_time).limit(SHOWN_MAX))
_FIRST_QUESTIONS = Statement(_QUESTIONS.limit(SHOWN_MAX))
_COUNTS = [
    Statement(Select([counted], [fn.COUNT(SQL("*"))]))
    for counted in (each.limit(COUNTED_MAX).alias("counted") for each in (_TASKS, _QUESTIONS))
]


def of_agent(snapshot: Snapshot, agent_id: str) -> OpenWork:
    """What an agent has to do. An agent with nothing costs two looks at an index."""
    first = [
        [task_id for (task_id,) in snapshot.rows(statement, agent_id=agent_id)]
        for statement in (_FIRST_TASKS, _FIRST_QUESTIONS)
    ]
    tasks, questions = (
        len(ids) if len(ids) < SHOWN_MAX else snapshot.rows(statement, agent_id=agent_id)[0][0]
        for ids, statement in zip(first, _COUNTS, strict=True)
    )
    return OpenWork(tasks, first[0], questions, first[1])
