"""Tasks in searches: what is indexed of them, and what finds them.

A task changes, and each change is an event: of the events that follow what is indexed those count
that are the last of their tasks, so each task is indexed once, as it now is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from dovetail.server.store.pages import Page, take_bytes
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import TaskEventRow, TaskRow, TeamRow
from dovetail.server.store.search.index import DocumentKind, Span
from dovetail.server.store.search.places import Field
from dovetail.server.store.search.plans import Document, document, label_tags, plan, tag
from dovetail.server.store.search.queries import Query
from dovetail.server.store.search.words import document_words
from dovetail.server.store.tables import search, search_pages, task_pages, tasks
from dovetail.server.store.tables.search import Bite, Corpus, Item, Lag
from dovetail.server.store.tables.search_pages import Hit, PageRequest, Sized
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Snapshot, Statement, param

EVENTS_MAX = 5_000
"""Events of one bite: most of a long history are not the last of their task."""


class TaskField(IntEnum):
    """What is searched of a task, with the numbers of the contract."""

    TITLE = 1
    DESCRIPTION = 2
    RESULT = 3
    FAILURE = 4
    CANCEL_REASON = 5
    LAST_FAILURE = 6
    PROGRESS = 7
    QUESTION = 8
    ANSWER = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSearch:
    """A page of tasks in which a query is found.

    `before`: the number before which the page begins; None: the newest.
    """

    query: Query
    filter: TaskFilter
    before: int | None
    most: int
    most_bytes: int


# The tags of a task: one letter each.
_CREATOR, _ASSIGNEE, _STATE, _THREAD, _PARENT, _LINK, _LABEL = "cazupxl"

_ENDED = {
    TaskState.COMPLETED: TaskField.RESULT,
    TaskState.FAILED: TaskField.FAILURE,
    TaskState.CANCELLED: TaskField.CANCEL_REASON,
}
_LAST_EVENTS = Statement(
    TaskEventRow.select(TaskEventRow.number, TaskRow.number, tasks.SIZE)
    .join(
        TaskRow,
        on=(TaskRow.team_id == TaskEventRow.team_id) & (TaskRow.task_id == TaskEventRow.task_id),
    )
    .where(
        TaskEventRow.team_id == param("team_id"),
        TaskEventRow.number > param("after"),
        TaskEventRow.number <= param("through"),
        TaskEventRow.generation == TaskRow.event_count,
    )
    .order_by(TaskEventRow.number)
    .limit(param("most"))
)
_FIRST_FROM = Statement(
    TaskRow.select(TaskRow.number, TaskRow.create_time)
    .where(TaskRow.team_id == param("team_id"), TaskRow.number >= param("number"))
    .order_by(TaskRow.number)
    .limit(1)
)
_LAST = Statement(TeamRow.select(TeamRow.last_task).where(TeamRow.team_id == param("team_id")))


def page(snapshot: Snapshot, asked: TaskSearch) -> Page[Hit[Task]]:
    """A page of tasks, those created last first."""
    opened = search.open_search(snapshot, DocumentKind.TASK, plan(asked.query, _tags(asked.filter)))
    if opened is None:
        return Page([], None)
    ((last,),) = snapshot.rows(_LAST)
    span = Span(1, min(last + 1, asked.before or last + 1))
    span = search_pages.span_of(snapshot, _FIRST_FROM, asked.filter.create_time, span)
    request = PageRequest(
        query=asked.query, span=span, most=asked.most, most_bytes=asked.most_bytes
    )
    return search_pages.page(snapshot, opened, request, _Tasks(snapshot, asked.filter))


class _Tasks:
    """The tasks that a search may find."""

    def __init__(self, snapshot: Snapshot, filter: TaskFilter) -> None:
        self._snapshot = snapshot
        self._wanted = tasks.conditions(snapshot, filter)

    def accepted(self, numbers: Sequence[int]) -> list[Sized]:
        """Those that the filter chooses."""
        number = TaskRow.number
        chosen = TaskRow.select(number, tasks.SIZE).where(*self._wanted, number.in_(list(numbers)))
        return [Sized(*row) for row in self._snapshot.select(chosen.order_by(descending(number)))]

    def read(self, numbers: Sequence[int]) -> list[tuple[int, Task, Sequence[Field]]]:
        """Tasks, and their texts."""
        found = task_pages.in_order(self._snapshot, numbers)
        return [(task.number, task, [*_fields(task)]) for task in found]


def _fields(task: Task) -> Iterator[Field]:
    yield TaskField.TITLE, task.title
    yield TaskField.DESCRIPTION, task.description
    if field := _ENDED.get(task.state):
        yield field, task.outcome_text
    yield TaskField.LAST_FAILURE, task.last_failure_text
    yield TaskField.PROGRESS, task.progress_note
    yield TaskField.QUESTION, task.question_text
    yield TaskField.ANSWER, task.answer_text


def _tags(filter: TaskFilter) -> Iterator[list[str]]:
    """Of which tags a task that is asked for has one each."""
    assignee_ids = [*filter.assignee_ids, *([""] if filter.unassigned else [])]
    yield [tag(_ASSIGNEE, each) for each in assignee_ids]
    yield [tag(_CREATOR, each) for each in filter.creator_ids]
    yield [tag(_STATE, str(int(each))) for each in set(filter.states)]
    yield [tag(_THREAD, filter.thread_id)] if filter.thread_id else []
    yield [tag(_PARENT, filter.parent_task_id)] if filter.parent_task_id else []
    yield [tag(_LINK, filter.linked_task_id)] if filter.linked_task_id else []
    yield from ([each] for each in label_tags(_LABEL, filter.labels))


def _read_bite(snapshot: Snapshot, lag: Lag) -> Bite:
    """The tasks whose last change follows what is indexed."""
    through = min(lag.last, lag.through + EVENTS_MAX)
    rows = snapshot.rows(
        _LAST_EVENTS, after=lag.through, through=through, most=search.DOCUMENTS_MAX
    )
    taken = take_bytes(((row[:2], row[2]) for row in rows), search.BITE_BYTES_MAX)
    found = {
        task.number: task for task in task_pages.in_order(snapshot, [number for _, number in taken])
    }
    items = (Item(event, number, _document(found[number])) for event, number in taken)
    is_all = len(taken) == len(rows) < search.DOCUMENTS_MAX
    return search.take_bite(lag._replace(last=through), items, is_all)


def _document(task: Task) -> Document | None:
    """What is indexed of a task; nothing of one that was deleted."""
    if task.delete_time is not None:
        return None
    tags = [
        tag(_CREATOR, task.creator_id),
        tag(_ASSIGNEE, task.assignee_id),
        tag(_STATE, str(int(task.state))),
        tag(_THREAD, task.thread_id),
        tag(_PARENT, task.parent_task_id),
        *(tag(_LINK, link.task_id) for link in task.links),
        *label_tags(_LABEL, task.labels),
    ]
    words = document_words(text for _, text in _fields(task))
    return document(task.number, words, tags)


TASKS = Corpus(DocumentKind.TASK, TeamRow.last_event, _read_bite)
"""The tasks of a team."""
