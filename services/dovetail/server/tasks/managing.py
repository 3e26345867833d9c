"""What creators do with tasks: create, find, update, assign, cancel, reopen, delete.

Every change is the task, its event and its notices in one commit. The requests were checked at the
edge. Each verb reads from top to bottom: an earlier call with the same id, the task, what the verb
requires, the transition, the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.errors import FailedPreconditionError, Reason, ResourceExhaustedError
from dovetail.server.store.pages import Page
from dovetail.server.store.store import Store
from dovetail.server.store.tables import (
    agents,
    attachments,
    dependencies,
    endings,
    events,
    links,
    task_pages,
    tasks,
)
from dovetail.server.store.tables.delivery_states import DeliveryAct
from dovetail.server.store.tables.dependencies import Window
from dovetail.server.store.tables.endings import Ending
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import budgets, transitions
from dovetail.server.tasks.batches import TaskBatch
from dovetail.server.tasks.loading import (
    find_repeat,
    load_for_change,
    needs,
    require_agent,
    require_task,
)
from dovetail.server.tasks.notices import ASKING_VERBS
from dovetail.server.tasks.recording import Action, TaskChange, record_change
from dovetail.server.tasks.relations import check_no_cycle, related
from dovetail.server.tasks.requests import (
    ChangeOptions,
    NewTask,
    Outcome,
    TaskQuery,
    TaskUpdate,
)
from dovetail.server.tasks.states import next_state

CASCADE_TASKS_MAX = 1_000
DEPENDENTS_COUNTED_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """A page of tasks, the token of the next, and the team's last event when it was read."""

    tasks: list[Task]
    next_token: str
    through_event: int


class Lifecycle:
    """Creates, finds and changes tasks."""

    def __init__(self, store: Store) -> None:
        """Keep tasks in `store`."""
        self._store = store

    async def create(self, caller: Caller, new: NewTask, options: ChangeOptions) -> TaskChange:
        """Make a PENDING task."""
        action = Action(caller=caller, verb=TaskVerb.CREATE, options=options)
        batch = TaskBatch(caller, [new], [""])

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            return earlier or batch.write(transaction, options)[0]

        return await self._store.write(caller.team_id, unit, [*needs(action), *batch.needs()])

    async def create_all(
        self, caller: Caller, new: Sequence[NewTask], options: ChangeOptions
    ) -> list[TaskChange]:
        """Make many tasks, all or none."""
        action = Action(caller=caller, verb=TaskVerb.CREATE, options=options)
        batch = TaskBatch(caller, new, [f"requests[{index}]." for index in range(len(new))])

        def unit(transaction: Transaction) -> list[TaskChange]:
            first = find_repeat(transaction, action)
            if first is None:
                return batch.write(transaction, options)
            numbers = first.event_number, len(new)
            found = events.tasks_of(transaction, *numbers)
            return [first, *(TaskChange(task=task) for task in found[1:])]

        return await self._store.write(caller.team_id, unit, [*needs(action), *batch.needs()])

    async def get(self, caller: Caller, task_id: str) -> Task:
        """One task."""
        return await self._store.read(caller.team_id, lambda s: require_task(s, task_id))

    async def page(self, caller: Caller, query: TaskQuery, paging: Paging) -> TaskPage:
        """A page of tasks in the order that is asked for."""
        request = task_pages.ListRequest(
            filter=query.filter,
            by=query.by,
            newest_first=query.order == Order.NEWEST_FIRST,
            after=query.after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )

        def find(snapshot: Snapshot) -> tuple[Page[Task], int]:
            return task_pages.page(snapshot, request), events.last_number(snapshot)

        (page, after), through = await self._store.scan(caller.team_id, find)
        return TaskPage(tasks=page, next_token=paging.next_token(after), through_event=through)

    async def update(
        self, caller: Caller, task_id: str, update: TaskUpdate, options: ChangeOptions
    ) -> TaskChange:
        """Set some fields of a task that has not ended."""
        action = Action(caller=caller, verb=TaskVerb.UPDATE, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            next_state(TaskVerb.UPDATE, task)
            after = related(transaction, task, update.apply(task))
            if after == task:
                return TaskChange(task=task)
            change = record_change(transaction, action, task, after)
            change = budgets.settled(transaction, task, change)
            if after.depends_on != task.depends_on:
                dependencies.replace(transaction, change.task)
            links.replace(transaction, change.task, before=task)
            if after.parent_task_id != task.parent_task_id:
                change = budgets.moved(transaction, task, change)
            return change

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def delete(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Remove a task that no agent holds; deleting it again changes nothing."""
        action = Action(caller=caller, verb=TaskVerb.DELETE, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            task = load_for_change(transaction, action, task_id)
            if task.delete_time is not None:
                return TaskChange(task=task)
            next_state(TaskVerb.DELETE, task)
            _check_no_dependents(transaction, task)
            after = replace(task, delete_time=transaction.team.stamp)
            change = record_change(transaction, action, task, after)
            if task.input_attachments_json:
                attachments.remove_from_task(transaction, task_id, attachments.INPUT)
            _remove_result(transaction, task)
            return budgets.settled(transaction, task, change)

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def assign(
        self, caller: Caller, task_id: str, assignee_id: str, options: ChangeOptions
    ) -> TaskChange:
        """Set the assignee; with `force` also of a task that an agent holds."""
        action = Action(caller=caller, verb=TaskVerb.ASSIGN, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            require_agent(transaction, caller, assignee_id)
            if task.assignee_id == assignee_id and _stays(task, options):
                return TaskChange(task=task)
            stamp = transaction.team.stamp
            after = transitions.assign(task, assignee_id, stamp, force=options.force)
            return record_change(transaction, action, task, after)

        return await self._store.write(
            caller.team_id, unit, [*needs(action, task_id), *agents.need([assignee_id])]
        )

    async def unassign(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Remove the assignee; with `force` also of a task that an agent holds."""
        action = Action(caller=caller, verb=TaskVerb.UNASSIGN, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            if not task.assignee_id and _stays(task, options):
                return TaskChange(task=task)
            state = next_state(TaskVerb.UNASSIGN, task, force=options.force)
            after = transitions.unassign(transitions.return_to_pending(task, state))
            return record_change(transaction, action, task, after)

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def cancel(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Call work off; with `cascade` its sub-tasks too."""
        action = Action(caller=caller, verb=TaskVerb.CANCEL, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            state = next_state(TaskVerb.CANCEL, task)
            ids = _open_subtask_ids(transaction, task) if options.cascade else []
            _withdraw_notices(transaction, [task_id, *ids])
            stamp, outcome = transaction.team.stamp, Outcome(text=options.reason)
            after = transitions.finish(task, state, outcome, stamp)
            cascade_ids = frozenset(ids)
            change = record_change(transaction, action, task, after, cascade_ids)
            notices = change.notices
            # One call, one id: the sub-tasks' events do not carry it.
            of_part = replace(action, options=replace(options, repeat=None, acknowledge=()))
            for part_id in ids:
                # Read now: cancelling the tasks before it may have changed its counters.
                part = require_task(transaction, part_id)
                after = transitions.finish(part, TaskState.CANCELLED, outcome, stamp)
                notices += record_change(transaction, of_part, part, after, cascade_ids).notices
            return replace(change, notices=notices)

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def reopen(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Make an ended task PENDING again."""
        action = Action(caller=caller, verb=TaskVerb.REOPEN, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            after = transitions.reopen(task)
            if after.assignee_id and agents.is_removed(transaction, after.assignee_id):
                after = transitions.unassign(after)  # Nobody would ever do it.
            # What it depends on may have been made to wait for it while it was COMPLETED.
            check_no_cycle(transaction, "task_id", task.task_id, task.depends_on)
            change = record_change(transaction, action, task, after)
            _remove_result(transaction, task)
            return change

        return await self._store.write(caller.team_id, unit, needs(action, task_id))


def _withdraw_notices(transaction: Transaction, task_ids: Sequence[str]) -> None:
    """Take back what asks agents to work on these tasks, where they have not read it yet.

    Of the notices that the cancelling writes itself there are none so far.
    """
    unread = endings.unread_notices(transaction, task_ids, ASKING_VERBS)
    endings.end(transaction, unread, Ending(act=DeliveryAct.WITHDRAW))


def _remove_result(transaction: Transaction, task: Task) -> None:
    """Delete the attachments of the result that a task had, if it had any."""
    if task.outcome_attachments_json:
        attachments.remove_from_task(transaction, task.task_id, task.start_event)


def _stays(task: Task, options: ChangeOptions) -> bool:
    """Whether a task whose assignee is as wanted stays as it is; `force` takes held work away."""
    return task.state is TaskState.PENDING or (task.is_held and not options.force)


def _open_subtask_ids(snapshot: Snapshot, task: Task) -> list[str]:
    """The sub-tasks of a task that have not ended, and theirs."""
    found: list[str] = []
    frontier = [task.task_id]
    while frontier:
        room = CASCADE_TASKS_MAX + 1 - len(found)
        parts = tasks.open_subtasks(snapshot, frontier, room)
        frontier = [part.task_id for part in parts]
        found += frontier
        if len(found) > CASCADE_TASKS_MAX:
            raise ResourceExhaustedError(
                Reason.TOO_MANY_TASKS,
                f"cascade: more than {CASCADE_TASKS_MAX:,} sub-tasks: cancel some of them first",
                metadata={"most": str(CASCADE_TASKS_MAX)},
            )
    return found


def _check_no_dependents(snapshot: Snapshot, task: Task) -> None:
    """Refuse to delete what others wait for."""
    waiting = dependencies.dependents(
        snapshot, task.task_id, Window(most=DEPENDENTS_COUNTED_MAX + 1)
    )
    many = (
        f"at least {DEPENDENTS_COUNTED_MAX:,}"
        if len(waiting) > DEPENDENTS_COUNTED_MAX
        else len(waiting)
    )
    if waiting:
        raise FailedPreconditionError(
            Reason.TASK_DEPENDED_ON,
            f"task {task.task_id!r} cannot be deleted: {many} open tasks depend on it,"
            f" {waiting[0].task_id!r} among them",
            metadata={"task_id": task.task_id, "dependent_id": waiting[0].task_id},
        )
