"""Usage and budgets: what attempts use is summed up the tree, and a budget that is spent is told.

The sums of a tree are in its tasks' rows, and change in the commit of the report. Whether a task
may be begun is a number in its row too, so that claims pass over a tree without looking at it:
`spent_budgets` changes for the whole tree in the commit in which a budget becomes spent, or free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.access.caller import Caller
from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.store.tables import tasks, trees, usage
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.tables.usage import Usage, UsageTotal
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks.recording import Action, TaskChange, record_change
from dovetail.server.tasks.requests import ChangeOptions


def report(task: Task, used: Usage | None) -> Task:
    """The task with what its attempt has used so far; None: as reported before."""
    if used is None:
        return task
    attempt = usage.encode(used)
    if attempt == task.attempt_usage_json:
        return task
    more = _difference(task.attempt_usage_json, attempt)
    return replace(
        task,
        attempt_usage_json=attempt,
        usage_json=_added(task.usage_json, more),
        tree_usage_json=_added(task.tree_usage_json, more),
    )


def settle(transaction: Transaction, before: Task, after: Task) -> Task:
    """Carry what a written change of usage or budget means for the tree; returns the task as it is.

    After a report the sums of the tasks above change. Each whose budget becomes spent by it, or by
    an update, keeps its tree from being begun, and its creator is told.
    """
    changes = [(before, after)]
    if before.attempt_usage_json != after.attempt_usage_json:
        more = _difference(before.attempt_usage_json, after.attempt_usage_json)
        parents = trees.ancestors(transaction, after) if more != usage.NOTHING else ()
        changes += [_add_to_tree(transaction, parent, more) for parent in parents]
    return _found(transaction, after.task_id) if _hold_back(transaction, changes) else after


def settled(transaction: Transaction, before: Task, change: TaskChange) -> TaskChange:
    """A change that may be one of usage or budget, after what follows of it was written."""
    return replace(change, task=settle(transaction, before, change.task))


def check_budgets(snapshot: Snapshot, task: Task) -> None:
    """Refuse to begin a task if its budget, or that of a task that it is a part of, is spent."""
    if not task.spent_budgets:
        return
    family = [task, *trees.ancestors(snapshot, task)]
    spent = next((each for each in family if _is_spent(each)), task)
    whose = "its own" if spent.task_id == task.task_id else f"that of task {spent.task_id!r}"
    raise FailedPreconditionError(
        Reason.BUDGET_SPENT,
        f"task {task.task_id!r} cannot be started: a budget is spent, {whose}:"
        f" a larger max_tokens or max_cost lets it go on",
        metadata={"task_id": task.task_id, "budget_task_id": spent.task_id},
    )


def inherited(snapshot: Snapshot, parent_task_id: str) -> int:
    """How many spent budgets hold a new sub-task of this task back."""
    parent = tasks.find(snapshot, parent_task_id) if parent_task_id else None
    return parent.spent_budgets if parent else 0


def moved(transaction: Transaction, before: Task, change: TaskChange) -> TaskChange:
    """A change of `parent_task_id`, after what follows of it was written."""
    _move(transaction, before, change.task)
    return replace(change, task=_found(transaction, before.task_id))


def _move(transaction: Transaction, before: Task, after: Task) -> None:
    """Take what a tree used from the tasks above its old place to those above its new one.

    What the new place holds back is held back.
    """
    by = inherited(transaction, after.parent_task_id) - inherited(
        transaction, before.parent_task_id
    )
    if by:
        trees.shift_spent(transaction, after.task_id, by)
    if by < 0:
        trees.ring_queues(transaction, after.task_id)
    total = usage.decode_total(after.tree_usage_json)
    if total == usage.NOTHING:
        return
    old, new = (trees.ancestors(transaction, place) for place in (before, after))
    # Those above both places have the same sum after it.
    both = {parent.task_id for parent in old} & {parent.task_id for parent in new}
    for parents, sign in ((old, -1), (new, 1)):
        changes = [
            _add_to_tree(transaction, parent, total, sign)
            for parent in parents
            if parent.task_id not in both
        ]
        _hold_back(transaction, changes)


def _add_to_tree(
    transaction: Transaction, task: Task, more: UsageTotal, sign: int = 1
) -> tuple[Task, Task]:
    """Write a new sum of a task's tree; returns the task as it was and as it is."""
    sums = usage.decode_total(task.tree_usage_json).plus(more, sign)
    changed = replace(task, tree_usage_json=usage.encode_total(sums))
    tasks.save(transaction, changed)
    return task, changed


def _hold_back(transaction: Transaction, changes: Sequence[tuple[Task, Task]]) -> bool:
    """Hold back or free the trees of tasks whose budget became spent or free; whether any did.

    Each of the changed tasks is a part of the next one. So every task below them is updated once,
    however many budgets change: those between one and the next below it by the count so far.
    """
    flips = [
        (one.task_id, _is_spent(two)) for one, two in changes if _is_spent(one) != _is_spent(two)
    ]
    flips.reverse()
    by = 0
    for at, (task_id, is_spent) in enumerate(flips, 1):
        by += 1 if is_spent else -1
        trees.shift_spent(transaction, task_id, by, but=flips[at][0] if at < len(flips) else "")
    for task_id, is_spent in flips:
        if is_spent:
            _tell(transaction, task_id)
    freed = next((task_id for task_id, is_spent in flips if not is_spent), None)
    if freed:
        trees.ring_queues(transaction, freed)
    return bool(flips)


def _difference(before: str | None, after: str | None) -> UsageTotal:
    """What sums must grow by when the usage of an attempt changes."""
    return usage.total_of(usage.decode(after)).plus(usage.total_of(usage.decode(before)), -1)


def _added(total: str | None, more: UsageTotal) -> str:
    return usage.encode_total(usage.decode_total(total).plus(more))


def _is_spent(task: Task) -> bool:
    """Whether the tree has used as much as its budget allows."""
    if task.delete_time is not None or not (task.max_tokens or task.max_cost):
        return False
    total = usage.decode_total(task.tree_usage_json)
    if task.max_tokens and total.tokens >= task.max_tokens:
        return True
    most = usage.decode_cost(task.max_cost)
    return most is not None and total.costs.get(most.currency, 0) >= most.nanos


def _tell(transaction: Transaction, task_id: str) -> None:
    """Record that a budget is spent, once until it changes: an event, a notice to the creator."""
    task = _found(transaction, task_id)
    if task.budget_told:
        return
    nobody = Caller(team_id=transaction.team_id, agent_id="")
    action = Action(caller=nobody, verb=TaskVerb.SPEND_BUDGET, options=ChangeOptions())
    record_change(transaction, action, task, replace(task, budget_told=True))


def _found(snapshot: Snapshot, task_id: str) -> Task:
    task = tasks.find(snapshot, task_id)
    assert task is not None
    return task
