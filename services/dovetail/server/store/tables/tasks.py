"""Tasks: find, insert, save, list."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from peewee import SQL, Expression, Value, fn

from dovetail.server.store import filters
from dovetail.server.store.chunks import chunks
from dovetail.server.store.filters import within
from dovetail.server.store.schema import TaskLinkRow, TaskRow
from dovetail.server.store.sets import Codec, Row, Table
from dovetail.server.store.tables.shares import ASSIGNEES, DURATIONS, USAGE
from dovetail.server.store.tables.task_filters import TaskFilter
from dovetail.server.store.tables.task_states import HELD_STATES, OPEN_STATES, TaskState
from dovetail.server.store.transaction import Need, Snapshot, Transaction


class TaskLink(NamedTuple):
    """That a task has to do with another, and how."""

    kind: str
    task_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task as it is now.

    The outcome is the result of a completed task, the failure of a failed one, the reason of a
    cancelled one. The last failure is that of the last attempt that was followed by another.
    `number` is the order of creation, `version` the order of changes. `waiting_for_count` counts
    dependencies that are not COMPLETED. A task with a `lease_token` is held since the event
    `lease_event`; `lease_count` changes with every grant, heartbeat and answer. `start_event` began
    its last attempt. `pooled`: it returns to the pool when it becomes PENDING again. `asked_id` is
    the agent that must answer the open question, `question_agent_id` the one that was asked last.
    `default_answer` becomes its answer at `question_deadline_time`; None: it waits without end.
    `input_wait` is how long it waited for answers. Durations are in microseconds. Usage and costs
    are texts of `tables/usage.py`, attachments of `tables/attachments.py`, options of
    `tables/input_options.py`; of so many budgets as
    `spent_budgets` says, its own and those of the tasks that it is a part of, nothing is left.
    `budget_told`: its creator knows of its own. `away_told`: its holder knows that the agent which
    it asked is away.
    """

    task_id: str
    number: int
    version: int
    title: str
    description: str
    state: TaskState
    assignee_id: str
    creator_id: str
    priority: int
    labels: Mapping[str, str]
    thread_id: str
    input_json: str | None
    outcome_text: str
    outcome_json: str | None
    attempt: int
    create_time: int
    update_time: int
    assign_time: int | None
    start_time: int | None
    end_time: int | None
    due_time: int | None
    delete_time: int | None = None
    depends_on: tuple[str, ...] = ()
    parent_task_id: str = ""
    waiting_for_count: int = 0
    pooled: bool = False
    schedule_time: int | None = None
    max_attempts: int = 5
    failed_attempts: int = 0
    initial_backoff: int = 1_000_000
    lease_token: str = ""
    lease_duration: int = 0
    lease_count: int = 0
    lease_expire_time: int | None = None
    lease_event: int = 0
    progress_percent: int | None = None
    progress_note: str = ""
    asked_id: str = ""
    question_agent_id: str = ""
    question_text: str = ""
    question_json: str | None = None
    ask_time: int | None = None
    answered: bool = False
    answer_text: str = ""
    answer_json: str | None = None
    input_wait: int = 0
    overdue_told: bool = False
    last_failure_text: str = ""
    last_failure_json: str | None = None
    event_count: int = 0
    links: tuple[TaskLink, ...] = ()
    start_event: int = 0
    usage_json: str | None = None
    attempt_usage_json: str | None = None
    tree_usage_json: str | None = None
    max_tokens: int = 0
    max_cost: str = ""
    spent_budgets: int = 0
    budget_told: bool = False
    away_told: bool = False
    input_attachments_json: str = ""
    outcome_attachments_json: str = ""
    question_options_json: str = ""
    question_deadline_time: int | None = None
    default_answer: str = ""
    answer_option: str = ""
    answer_is_default: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state not in OPEN_STATES

    @property
    def is_held(self) -> bool:
        """Whether an attempt lasts."""
        return self.state in HELD_STATES


COLUMNS = (
    TaskRow.task_id,
    TaskRow.number,
    TaskRow.version,
    TaskRow.title,
    TaskRow.description,
    TaskRow.state,
    TaskRow.assignee_id,
    TaskRow.creator_id,
    TaskRow.priority,
    TaskRow.labels,
    TaskRow.thread_id,
    TaskRow.input,
    TaskRow.outcome_text,
    TaskRow.outcome_data,
    TaskRow.attempt,
    TaskRow.create_time,
    TaskRow.update_time,
    TaskRow.assign_time,
    TaskRow.start_time,
    TaskRow.end_time,
    TaskRow.due_time,
    TaskRow.delete_time,
    TaskRow.depends_on,
    TaskRow.parent_task_id,
    TaskRow.waiting_for_count,
    TaskRow.pooled,
    TaskRow.schedule_time,
    TaskRow.max_attempts,
    TaskRow.failed_attempts,
    TaskRow.initial_backoff,
    TaskRow.lease_token,
    TaskRow.lease_duration,
    TaskRow.lease_count,
    TaskRow.lease_expire_time,
    TaskRow.lease_event,
    TaskRow.progress_percent,
    TaskRow.progress_note,
    TaskRow.asked_id,
    TaskRow.question_agent_id,
    TaskRow.question_text,
    TaskRow.question_data,
    TaskRow.ask_time,
    TaskRow.answered,
    TaskRow.answer_text,
    TaskRow.answer_data,
    TaskRow.input_wait,
    TaskRow.overdue_told,
    TaskRow.last_failure_text,
    TaskRow.last_failure_data,
    TaskRow.event_count,
    TaskRow.links,
    TaskRow.start_event,
    TaskRow.usage,
    TaskRow.attempt_usage,
    TaskRow.tree_usage,
    TaskRow.max_tokens,
    TaskRow.max_cost,
    TaskRow.spent_budgets,
    TaskRow.budget_told,
    TaskRow.away_told,
    TaskRow.input_attachments,
    TaskRow.outcome_attachments,
    TaskRow.question_options,
    TaskRow.question_deadline_time,
    TaskRow.default_answer,
    TaskRow.answer_option,
    TaskRow.answer_is_default,
)
_RENAMED = {
    "input": "input_json",
    "outcome_data": "outcome_json",
    "last_failure_data": "last_failure_json",
    "question_data": "question_json",
    "answer_data": "answer_json",
    "usage": "usage_json",
    "attempt_usage": "attempt_usage_json",
    "tree_usage": "tree_usage_json",
    "input_attachments": "input_attachments_json",
    "outcome_attachments": "outcome_attachments_json",
    "question_options": "question_options_json",
}
_NAMES = tuple(_RENAMED.get(str(column.name), str(column.name)) for column in COLUMNS)
_FLAGS = ("pooled", "answered", "overdue_told", "budget_told", "away_told", "answer_is_default")
_FIELDS = attrgetter(*_NAMES)
_LABELS_AT, _DEPENDS_ON_AT = _NAMES.index("labels"), _NAMES.index("depends_on")
_LINKS_AT = _NAMES.index("links")
_NUMBERS_AT = tuple(map(_NAMES.index, ("state", *_FLAGS)))
_TEXTS = (
    TaskRow.task_id,
    TaskRow.assignee_id,
    TaskRow.creator_id,
    TaskRow.thread_id,
    TaskRow.labels,
    TaskRow.title,
    TaskRow.description,
    TaskRow.input,
    TaskRow.outcome_text,
    TaskRow.outcome_data,
    TaskRow.last_failure_text,
    TaskRow.last_failure_data,
    TaskRow.depends_on,
    TaskRow.parent_task_id,
    TaskRow.progress_note,
    TaskRow.asked_id,
    TaskRow.question_text,
    TaskRow.question_data,
    TaskRow.answer_text,
    TaskRow.answer_data,
    TaskRow.links,
    TaskRow.usage,
    TaskRow.tree_usage,
    TaskRow.input_attachments,
    TaskRow.outcome_attachments,
    TaskRow.question_options,
    TaskRow.default_answer,
    TaskRow.answer_option,
)
# Repeats the condition of the index on sub-tasks, or SQLite would not use it.
IS_SUBTASK = TaskRow.parent_task_id != SQL("''")
_ENVELOPE_BYTES = 192
SIZE = sum((fn.COALESCE(fn.OCTET_LENGTH(text), 0) for text in _TEXTS), Value(_ENVELOPE_BYTES))


def find(snapshot: Snapshot, task_id: str) -> Task | None:
    """One task, deleted or not, or None."""
    return snapshot.find(TASKS.by_key, task_id)


def need(task_id: str, then: Callable[[Task], Iterable[Need]] | None = None) -> Need:
    """What a unit needs that reads or changes a task, and because of what the task is."""
    return Need(TASKS.by_key, (task_id,), then)


def size(task: Task) -> int:
    """About how many bytes a task has in a response."""
    row = _row(task)
    return _ENVELOPE_BYTES + sum(len((row[at] or "").encode()) for at in _TEXTS_AT)


def exists(snapshot: Snapshot, task_id: str) -> bool:
    """Whether the task exists and was not deleted."""
    task = find(snapshot, task_id)
    return task is not None and task.delete_time is None


def versions(snapshot: Snapshot, task_ids: Sequence[str]) -> dict[str, int]:
    """The versions of those of these tasks that exist, without reading their content."""
    found: dict[str, int] = {}
    for some in chunks(task_ids):
        query = TaskRow.select(TaskRow.task_id, TaskRow.version).where(
            TaskRow.team_id == snapshot.team_id, TaskRow.task_id.in_(some)
        )
        found |= dict(snapshot.select(query))
    return found


def plain_id(number: int) -> str:
    """The id of a task for which its creator gave none."""
    return f"t{number}"


def new_id(transaction: Transaction, number: int) -> str:
    """An id that no task has: the plain one, or with a suffix if a caller has used that."""
    task_id = plain_id(number)
    taken = 0
    while find(transaction, task_id):
        taken += 1
        task_id = f"{plain_id(number)}-{taken}"
    return task_id


def insert(transaction: Transaction, task: Task) -> None:
    """Write a new task."""
    transaction.add(TASKS, task)


def save(transaction: Transaction, task: Task) -> None:
    """Write the new state of a task that exists."""
    transaction.put(TASKS, task)


def open_subtasks(snapshot: Snapshot, task_ids: Sequence[str], most: int) -> list[Task]:
    """The first `most` sub-tasks of these tasks that are not in a final state."""
    found: list[Task] = []
    for some in chunks(task_ids):
        query = TaskRow.select(*COLUMNS).where(
            TaskRow.team_id == snapshot.team_id,
            TaskRow.parent_task_id.in_(some),
            IS_SUBTASK,
            TaskRow.end_time.is_null(),
            TaskRow.delete_time.is_null(),
        )
        query = query.order_by(TaskRow.number).limit(most - len(found))
        found += from_rows(snapshot, snapshot.select(query))
    return found


def conditions(snapshot: Snapshot, filter: TaskFilter) -> list[Expression]:
    """A filter as conditions on tasks; deleted tasks never match."""
    assigned = TaskRow.assignee_id.in_([*filter.assignee_ids, *([""] if filter.unassigned else [])])
    tests = (
        (filter.states, TaskRow.state.in_(list(filter.states))),
        (filter.assignee_ids or filter.unassigned, assigned),
        (filter.creator_ids, TaskRow.creator_id.in_(list(filter.creator_ids))),
        (filter.thread_id, TaskRow.thread_id == filter.thread_id),
        (filter.parent_task_id, (TaskRow.parent_task_id == filter.parent_task_id) & IS_SUBTASK),
        (filter.linked_task_id, _links_to(snapshot, filter.linked_task_id)),
    )
    return [
        TaskRow.team_id == snapshot.team_id,
        TaskRow.delete_time.is_null(),
        *(condition for wanted, condition in tests if wanted),
        *within(TaskRow.create_time, filter.create_time),
        *within(TaskRow.end_time, filter.end_time),
        *within(TaskRow.update_time, filter.update_time),
        *filters.having_labels(snapshot, TaskRow.labels, filter.labels),
    ]


def _links_to(snapshot: Snapshot, linked_task_id: str) -> Any:
    """A condition that looks for each task: very many may link to one."""
    link = TaskLinkRow.select(SQL("1")).where(
        TaskLinkRow.team_id == snapshot.team_id,
        TaskLinkRow.linked_task_id == linked_task_id,
        TaskLinkRow.number == TaskRow.number,
    )
    return fn.EXISTS(link)


def from_rows(snapshot: Snapshot, rows: Iterable[Row]) -> list[Task]:
    """The tasks of rows of COLUMNS that a query has read."""
    return [snapshot.adopt(TASKS, row) for row in rows]


def _row(task: Task) -> Row:
    row = list(_FIELDS(task))
    row[_LABELS_AT] = filters.encode_labels(task.labels)
    row[_DEPENDS_ON_AT] = json.dumps(task.depends_on, ensure_ascii=False)
    row[_LINKS_AT] = json.dumps(task.links, ensure_ascii=False) if task.links else ""
    for at in _NUMBERS_AT:
        row[at] = int(row[at])
    return tuple(row)


def _from_row(row: Row) -> Task:
    values: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    values["labels"] = filters.decode_labels(values["labels"])
    values["depends_on"] = tuple(json.loads(values["depends_on"]))
    links = values["links"]
    values["links"] = tuple(TaskLink(*each) for each in json.loads(links)) if links else ()
    values["state"] = TaskState(values["state"])
    values.update({name: bool(values[name]) for name in _FLAGS})
    return Task(**values)


TASKS: Table[Task] = Table(
    COLUMNS,
    1,
    Codec(decode=_from_row, encode=_row, key_of=lambda task: (task.task_id,)),
    is_large=True,
)
TASKS.keep(ASSIGNEES, DURATIONS, USAGE)
_TEXTS_AT = TASKS.positions(_TEXTS)
