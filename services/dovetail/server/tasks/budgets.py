"""Usage and budgets: what attempts use is summed up the tree, and a budget that is spent is told.

The sums of a tree are in its tasks' rows, and change in the commit of the report. Whether a task
may be begun is a number in its row too, so that claims pass over a tree without looking at it:
`spent_budgets` changes for the whole tree in the commit in which a budget becomes spent, or free.
"""

from __future__ import annotations

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
    pairs = [(before, after)]
    if before.attempt_usage_json != after.attempt_usage_json:
        more = _difference(before.attempt_usage_json, after.attempt_usage_json)
        for parent in trees.ancestors(transaction, after) if more != usage.NOTHING else ():
            changed = replace(parent, tree_usage_json=_added(parent.tree_usage_json, more))
            tasks.save(transaction, changed)
            pairs.append((parent, changed))
    flipped = [(one, _is_spent(two)) for one, two in pairs if _is_spent(one) != _is_spent(two)]
    for task, is_spent in flipped:
        trees.shift_spent(transaction, task.task_id, 1 if is_spent else -1)
    for task, is_spent in flipped:
        if is_spent:
            _tell(transaction, task.task_id)
        else:
            trees.ring_queues(transaction, task.task_id)
    return _found(transaction, after.task_id) if flipped else after


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
    total = usage.decode_total(after.tree_usage_json)
    by = inherited(transaction, after.parent_task_id) - inherited(
        transaction, before.parent_task_id
    )
    if by:
        trees.shift_spent(transaction, after.task_id, by)
    if total == usage.NOTHING:
        return
    old, new = (
        [parent.task_id for parent in trees.ancestors(transaction, place)]
        for place in (before, after)
    )
    # Those above both places have the same sum after it.
    for task_ids, others, sign in ((old, new, -1), (new, old, 1)):
        for task_id in task_ids:
            if task_id not in others:
                _add_to_tree(transaction, task_id, total, sign)


def _add_to_tree(transaction: Transaction, task_id: str, total: UsageTotal, sign: int) -> None:
    task = _found(transaction, task_id)
    sums = usage.decode_total(task.tree_usage_json).plus(total, sign)
    changed = replace(task, tree_usage_json=usage.encode_total(sums))
    tasks.save(transaction, changed)
    settle(transaction, task, changed)


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
    """Record that a budget is spent: an event, and a notice to the creator."""
    task = _found(transaction, task_id)
    nobody = Caller(team_id=transaction.team_id, agent_id="")
    action = Action(caller=nobody, verb=TaskVerb.SPEND_BUDGET, options=ChangeOptions())
    record_change(transaction, action, task, task)


def _found(snapshot: Snapshot, task_id: str) -> Task:
    task = tasks.find(snapshot, task_id)
    assert task is not None
    return task
