"""The life of a task as its creator shapes it: make, find, update, assign, cancel, reopen, delete.

Every change is the task, its event and its notices in one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import FailedPreconditionError, Reason, ResourceExhaustedError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import dependencies, events, tasks
from dovetail.server.store.tables.dependencies import Window
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.batches import MOST_TASKS, TaskBatch, cycle
from dovetail.server.tasks.loading import (
    ChangeRequest,
    change_task,
    find_repeat,
    require_agent,
    require_task,
    task_not_found,
)
from dovetail.server.tasks.recording import Action, TaskChange
from dovetail.server.tasks.requests import (
    ChangeOptions,
    NewTask,
    Outcome,
    TaskQuery,
    Update,
    check_filter,
)
from dovetail.server.tasks.states import next_state

MOST_CANCELLED = 1_000
DEPENDENTS_COUNTED = 100
_HELD = (TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED)


class Lifecycle:
    """Creates, finds and changes tasks."""

    def __init__(self, store: Store) -> None:
        """Keep tasks in `store`."""
        self._store = store

    async def create(self, caller: Caller, draft: NewTask, options: ChangeOptions) -> TaskChange:
        """Make a task, PENDING."""
        making = TaskBatch(caller, [draft], [""])
        with Checks() as check:
            making.check(check)
            options.check(check)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, caller, options)
            return earlier or making.write(transaction, options)[0]

        return await self._store.write(caller.team_id, unit)

    async def create_all(
        self, caller: Caller, drafts: Sequence[NewTask], options: ChangeOptions
    ) -> list[TaskChange]:
        """Make many tasks, all or none."""
        making = TaskBatch(caller, drafts, [f"requests[{index}]." for index in range(len(drafts))])
        with Checks() as check:
            if not 1 <= len(drafts) <= MOST_TASKS:
                check.refuse("requests", f"must have 1 to {MOST_TASKS:,}, has {len(drafts):,}")
            else:
                making.check(check)
            options.check(check)

        def unit(transaction: Transaction) -> list[TaskChange]:
            first = find_repeat(transaction, caller, options)
            if first is None:
                return making.write(transaction, options)
            numbers = first.event_number, len(drafts)
            found = events.tasks_of(transaction, caller.team_id, *numbers)
            return [first, *(TaskChange(task=task) for task in found[1:])]

        return await self._store.write(caller.team_id, unit)

    async def get(self, caller: Caller, task_id: str) -> Task:
        """One task."""
        with Checks() as check:
            check.id("task_id", task_id)
        return await self._store.read(
            caller.team_id, lambda s: require_task(s, caller.team_id, task_id)
        )

    async def page(
        self, caller: Caller, listing: TaskQuery, paging: Paging
    ) -> tuple[list[Task], str]:
        """A page of tasks in order of creation, and the token of the next."""
        with Checks() as check:
            check_filter(check, listing.filter)
            check.enum("order", listing.order, Order)
            after = paging.after_number(check)
        asked = tasks.ListRequest(
            filter=listing.filter,
            newest_first=listing.order == Order.NEWEST_FIRST,
            after=after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )
        page, after = await self._store.scan(
            caller.team_id, lambda s: tasks.page(s, caller.team_id, asked)
        )
        return page, paging.next_token(after)

    async def update(
        self, caller: Caller, task_id: str, update: Update, options: ChangeOptions
    ) -> TaskChange:
        """Set some fields of a task that has not ended."""
        with Checks() as check:
            check.id("task.task_id", task_id)
            update.check(check)
            options.check(check)

        def alter(transaction: Transaction, task: Task, _: int) -> Task | None:
            next_state(TaskVerb.UPDATE, task)
            changed = update.apply(task)
            if changed.depends_on != task.depends_on:
                changed = _rewired(transaction, caller.team_id, task, changed)
            return None if changed == task else changed

        def then(transaction: Transaction, _: Action, changed: TaskChange) -> TaskChange:
            if "depends_on" in update.paths:
                dependencies.replace(transaction, caller.team_id, changed.task)
            return changed

        act = Action(caller=caller, verb=TaskVerb.UPDATE, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, then=then)
        return await change_task(self._store, wanted)

    async def delete(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Remove a task that nobody holds."""

        def alter(transaction: Transaction, task: Task, now: int) -> Task:
            next_state(TaskVerb.DELETE, task)
            _check_free(transaction, caller.team_id, task)
            return replace(task, delete_time=now)

        act = Action(caller=caller, verb=TaskVerb.DELETE, options=options)
        return await change_task(self._store, ChangeRequest(act=act, task_id=task_id, alter=alter))

    async def assign(
        self, caller: Caller, task_id: str, assignee_id: str, options: ChangeOptions
    ) -> TaskChange:
        """Set the assignee; with force, of a task that somebody works on."""

        def alter(transaction: Transaction, task: Task, now: int) -> Task | None:
            require_agent(transaction, caller, assignee_id)
            stays = task.state in _HELD and not options.force
            if task.assignee_id == assignee_id and (stays or task.state is TaskState.PENDING):
                return None
            state = next_state(TaskVerb.ASSIGN, task, force=options.force)
            back = transitions.return_to_pending(replace(task, pooled=False), state)
            return replace(back, assignee_id=assignee_id, assign_time=now)

        act = Action(caller=caller, verb=TaskVerb.ASSIGN, options=options)
        wanted = ChangeRequest(
            act=act,
            task_id=task_id,
            alter=alter,
            check=lambda check: check.id("assignee_id", assignee_id),
        )
        return await change_task(self._store, wanted)

    async def unassign(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Take the assignee off; with force, off a task that somebody works on."""

        def alter(_: Transaction, task: Task, __: int) -> Task | None:
            stays = task.state in _HELD and not options.force
            if not task.assignee_id and (stays or task.state is TaskState.PENDING):
                return None
            state = next_state(TaskVerb.UNASSIGN, task, force=options.force)
            return transitions.unassign(transitions.return_to_pending(task, state))

        act = Action(caller=caller, verb=TaskVerb.UNASSIGN, options=options)
        return await change_task(self._store, ChangeRequest(act=act, task_id=task_id, alter=alter))

    async def cancel(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Call work off; with cascade, its parts too."""
        parts: list[Task] = []

        def alter(transaction: Transaction, task: Task, now: int) -> Task:
            state = next_state(TaskVerb.CANCEL, task)
            parts[:] = _parts(transaction, caller.team_id, task) if options.cascade else []
            act.along.clear()
            act.along.update(part.task_id for part in parts)
            return transitions.finish(task, state, Outcome(text=options.reason), now)

        def then(transaction: Transaction, act: Action, changed: TaskChange) -> TaskChange:
            notices = changed.notices
            own = replace(options, repeat=None, acknowledge=())
            for part in parts:
                # Read anew: what was cancelled before it may have touched it.
                task = require_task(transaction, caller.team_id, part.task_id)
                outcome, now = Outcome(text=options.reason), changed.task.update_time
                after = transitions.finish(task, TaskState.CANCELLED, outcome, now)
                act = replace(act, options=own)
                notices += recording.record_change(transaction, act, task, after).notices
            return replace(changed, notices=notices)

        act = Action(caller=caller, verb=TaskVerb.CANCEL, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, then=then)
        return await change_task(self._store, wanted)

    async def reopen(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Make an ended task PENDING again."""

        def alter(transaction: Transaction, task: Task, _: int) -> Task:
            reopened = transitions.reopen(task)
            # What it depends on may have been made to wait for it while it was COMPLETED.
            _check_no_circle(transaction, caller.team_id, "task_id", task.task_id, task.depends_on)
            return reopened

        act = Action(caller=caller, verb=TaskVerb.REOPEN, options=options)
        return await change_task(self._store, ChangeRequest(act=act, task_id=task_id, alter=alter))


def _parts(snapshot: Snapshot, team_id: str, task: Task) -> list[Task]:
    """All that is part of a task and has not ended, and the parts of that."""
    found: list[Task] = []
    frontier = [task.task_id]
    while frontier:
        parts = tasks.open_subtasks(snapshot, team_id, frontier, MOST_CANCELLED + 1 - len(found))
        found += parts
        if len(found) > MOST_CANCELLED:
            raise ResourceExhaustedError(
                Reason.TOO_MANY_TASKS,
                f"cascade: more than {MOST_CANCELLED:,} tasks are part of it: cancel those first",
                metadata={"most": str(MOST_CANCELLED)},
            )
        frontier = [part.task_id for part in parts]
    return found


def _rewired(snapshot: Snapshot, team_id: str, task: Task, changed: Task) -> Task:
    """The task with other dependencies, which must be known and must not come back to it."""
    field, wanted = "task.depends_on", changed.depends_on
    if task.state is not TaskState.PENDING:
        raise FailedPreconditionError(
            Reason.TASK_STATE,
            f"{field}: of a task that is {task.state.name} it cannot change, only while PENDING",
            metadata={"task_id": task.task_id, "state": task.state.name},
        )
    unknown = dependencies.unknown(snapshot, team_id, wanted)
    if unknown:
        raise task_not_found(field, unknown[0])
    _check_no_circle(snapshot, team_id, field, task.task_id, wanted)
    return replace(changed, waiting_for_count=dependencies.count_open(snapshot, team_id, wanted))


def _check_no_circle(
    snapshot: Snapshot, team_id: str, field: str, task_id: str, wanted: Sequence[str]
) -> None:
    """Refuse dependencies that come back to the task, or that lead too far to be looked at."""
    path = dependencies.path(snapshot, team_id, wanted, task_id)
    if path is None:
        most = dependencies.REACHED_TASKS_MAX
        raise ResourceExhaustedError(
            Reason.TOO_MANY_TASKS,
            f"{field}: task {task_id!r} would wait for more than {most:,} open tasks, with those"
            " that its dependencies wait for: complete some first, or depend on fewer",
            metadata={"most": str(most)},
        )
    if path:
        raise cycle(field, [task_id, *path])


def _check_free(snapshot: Snapshot, team_id: str, task: Task) -> None:
    """Refuse to delete what others wait for."""
    waiting = dependencies.dependents(
        snapshot, team_id, task.task_id, Window(most=DEPENDENTS_COUNTED + 1)
    )
    many = f"at least {DEPENDENTS_COUNTED:,}" if len(waiting) > DEPENDENTS_COUNTED else len(waiting)
    if waiting:
        raise FailedPreconditionError(
            Reason.TASK_DEPENDED_ON,
            f"task {task.task_id!r} cannot be deleted: {many} open tasks depend on it,"
            f" {waiting[0].task_id!r} among them",
            metadata={"task_id": task.task_id, "dependent_id": waiting[0].task_id},
        )
