"""Creating tasks: one, or many that may depend on each other, in one commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from dovetail.server.access.caller import Caller
from dovetail.server.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
)
from dovetail.server.store.tables import agents, attachments, dependencies, links, tasks, trees
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Need, Snapshot, Transaction
from dovetail.server.tasks.budgets import inherited
from dovetail.server.tasks.loading import check_acknowledged, task_not_found
from dovetail.server.tasks.recording import Action, TaskChange, record_change
from dovetail.server.tasks.requests import (
    ATTEMPTS_DEFAULT,
    BACKOFF_MICROS_DEFAULT,
    ChangeOptions,
    NewTask,
)

PATH_BYTES_MAX = 900
"""Of the path of a cycle in an error: gRPC drops an answer whose metadata is too large."""


class TaskBatch:
    """Tasks to be created together. In errors each one's fields begin with its prefix."""

    def __init__(self, caller: Caller, drafts: Sequence[NewTask], prefixes: Sequence[str]) -> None:
        """Create `drafts` for `caller`."""
        self._caller = caller
        self._drafts = drafts
        self._prefixes = prefixes
        self._own = {draft.task_id for draft in drafts if draft.task_id}
        self._parents = {draft.task_id: draft.parent_task_id for draft in drafts if draft.task_id}

    def needs(self) -> list[Need]:
        """What the unit needs that creates them."""
        ids = [draft.task_id for draft in self._drafts if draft.task_id]
        assignees = {draft.assignee_id for draft in self._drafts}
        return [*map(tasks.need, ids), *agents.need(assignees)]

    def write(self, transaction: Transaction, options: ChangeOptions) -> list[TaskChange]:
        """Create them all, or raise before anything is written."""
        self._check(transaction, options)
        # Those that are free, most likely, for the ids that are made here.
        first = transaction.team.last_task + 1
        transaction.need(
            tasks.need(tasks.plain_id(first + at))
            for at, draft in enumerate(self._drafts)
            if not draft.task_id
        )
        created: list[TaskChange] = []
        for draft in self._drafts:
            action = Action(caller=self._caller, verb=TaskVerb.CREATE, options=options)
            task = self._task(transaction, draft)
            created.append(record_change(transaction, action, None, task))
            # The first event carries the request's id, and acknowledges, for all of them.
            options = ChangeOptions(notify=options.notify)
        edges = [(each.task.task_id, on) for each in created for on in each.task.depends_on]
        dependencies.add(transaction, edges)
        for draft, each in zip(self._drafts, created, strict=True):
            links.replace(transaction, each.task)
            task_id, files = each.task.task_id, draft.attachments
            attachments.add_to_task(transaction, task_id, attachments.INPUT, files)
        return created

    def _check(self, snapshot: Snapshot, options: ChangeOptions) -> None:
        """Raise for what does not fit what exists."""
        others = set[str]()
        for prefix, draft in zip(self._prefixes, self._drafts, strict=True):
            if draft.task_id and tasks.find(snapshot, draft.task_id):
                raise AlreadyExistsError(
                    Reason.TASK_EXISTS,
                    f"{prefix}task_id: {draft.task_id!r} is or was taken; ids are never reused",
                    metadata={"task_id": draft.task_id},
                )
            others |= {draft.assignee_id} - {"", self._caller.agent_id}
        agents.require(snapshot, sorted(others))
        self._check_references(snapshot)
        self._check_acyclic()
        self._check_levels(snapshot)
        check_acknowledged(snapshot, self._caller, options)

    def _check_references(self, snapshot: Snapshot) -> None:
        """All tasks that the drafts name must exist, or be created with them."""
        named = {
            task_id: f"{prefix}{field}"
            for prefix, draft in zip(self._prefixes, self._drafts, strict=True)
            for field, ids in (
                ("depends_on", draft.depends_on),
                ("parent_task_id", (draft.parent_task_id,)),
                ("links", [link.task_id for link in draft.links]),
            )
            for task_id in ids
            if task_id and task_id not in self._own
        }
        unknown = dependencies.unknown(snapshot, list(named))
        if unknown:
            raise task_not_found(named[unknown[0]], unknown[0])

    def _check_acyclic(self) -> None:
        """They must not depend on each other, or be part of each other, in a cycle."""
        named = [each for each in self._drafts if each.task_id]
        for error_of, edges in (
            (cycle, {each.task_id: each.depends_on for each in named}),
            (parent_cycle, {each.task_id: (each.parent_task_id,) for each in named}),
        ):
            try:
                TopologicalSorter(edges).prepare()
            except CycleError as error:
                raise error_of("requests", error.args[1][::-1]) from error

    def _check_levels(self, snapshot: Snapshot) -> None:
        """None may be below more tasks than a report of usage updates."""
        parents = {draft.parent_task_id for draft in self._drafts}
        known = [tasks.find(snapshot, parent_id) for parent_id in sorted(parents - self._own)]
        deep = [parent.task_id for parent in known if parent and parent.parent_task_id]
        above = {**dict.fromkeys(parents, 0), **trees.levels_above(snapshot, deep), "": -1}
        edges = {task_id: (parent_id,) for task_id, parent_id in self._parents.items()}
        for task_id in TopologicalSorter(edges).static_order():
            if task_id in self._own:
                above[task_id] = above[self._parents[task_id]] + 1
        for prefix, draft in zip(self._prefixes, self._drafts, strict=True):
            if above[draft.parent_task_id] >= trees.LEVELS_MAX:
                raise too_deep(f"{prefix}parent_task_id", draft.parent_task_id)

    def _task(self, transaction: Transaction, draft: NewTask) -> Task:
        team = transaction.team
        number = team.next_task()
        task_id = draft.task_id or self._new_id(transaction, number)
        inside = [each for each in draft.depends_on if each in self._own]
        outside = [each for each in draft.depends_on if each not in self._own]
        return Task(
            task_id=task_id,
            number=number,
            version=0,
            title=draft.title,
            description=draft.description,
            state=TaskState.PENDING,
            assignee_id=draft.assignee_id,
            creator_id=self._caller.agent_id,
            priority=draft.priority,
            labels=draft.labels,
            thread_id=draft.thread_id or task_id,
            input_json=draft.input_json,
            outcome_text="",
            outcome_json=None,
            attempt=0,
            create_time=team.stamp,
            update_time=team.stamp,
            assign_time=team.stamp if draft.assignee_id else None,
            start_time=None,
            end_time=None,
            due_time=draft.due_time,
            depends_on=draft.depends_on,
            parent_task_id=draft.parent_task_id,
            waiting_for_count=len(inside) + dependencies.count_open(transaction, outside),
            schedule_time=draft.schedule_time,
            max_attempts=draft.max_attempts or ATTEMPTS_DEFAULT,
            initial_backoff=BACKOFF_MICROS_DEFAULT
            if draft.initial_backoff is None
            else draft.initial_backoff,
            links=draft.links,
            max_tokens=draft.max_tokens,
            max_cost=draft.max_cost,
            input_attachments_json=attachments.encode(draft.attachments),
            spent_budgets=inherited(transaction, self._known_parent(draft)),
        )

    def _known_parent(self, draft: NewTask) -> str:
        """The nearest task above it that is not created here: those have no spent budget."""
        parent_id = draft.parent_task_id
        while parent_id in self._own:
            parent_id = self._parents[parent_id]
        return parent_id

    def _new_id(self, transaction: Transaction, number: int) -> str:
        """A new id that neither a task nor another draft has."""
        task_id = tasks.new_id(transaction, number)
        while task_id in self._own:
            task_id += "-1"
        return task_id


def cycle(field: str, path: Sequence[str]) -> InvalidArgumentError:
    """The error for tasks that would wait for each other in a cycle."""
    path = _shortened(path)
    return InvalidArgumentError(
        Reason.DEPENDENCY_CYCLE,
        f"{field}: would wait in a cycle: {' -> '.join(path)}",
        metadata={"field": field, "path": json.dumps(path, ensure_ascii=False)},
    )


def parent_cycle(field: str, path: Sequence[str]) -> InvalidArgumentError:
    """The error for tasks that would be parts of each other in a cycle."""
    path = _shortened(path)
    return InvalidArgumentError(
        Reason.PARENT_CYCLE,
        f"{field}: would be part of itself: {' -> '.join(path)}",
        metadata={"field": field, "path": json.dumps(path, ensure_ascii=False)},
    )


def too_deep(field: str, parent_id: str) -> ResourceExhaustedError:
    """The error for a task that would be below too many others, or its sub-tasks would."""
    most = trees.LEVELS_MAX
    return ResourceExhaustedError(
        Reason.TOO_MANY_TASKS,
        f"{field}: below task {parent_id!r} a tree would have a task with more than {most} above"
        " it: choose one that is higher up",
        metadata={"most": str(most)},
    )


def _shortened(path: Sequence[str]) -> list[str]:
    """A path that fits into an error: of a long one the middle is left out."""
    # An id takes three bytes or more here: no more of them could fit.
    for kept in range(min(len(path) // 2 + 1, PATH_BYTES_MAX // 3), 0, -1):
        short = [*path] if 2 * kept >= len(path) else [*path[:kept], "…", *path[-kept:]]
        if len(json.dumps(short, ensure_ascii=False).encode()) <= PATH_BYTES_MAX:
            return short
    return ["…"]
