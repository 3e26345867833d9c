"""Recording a change: the task, its event and its notices, written by one function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dovetail.server.callers import Caller
from dovetail.server.store import agents, deliveries, dependencies, messages, queues, tasks
from dovetail.server.store.records import Receipt, Task, TaskEvent, TaskState
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import notices
from dovetail.server.tasks.drafts import Notify, Options
from dovetail.server.tasks.notices import Change
from dovetail.server.tasks.states import Verb


@dataclass(frozen=True, kw_only=True, slots=True)
class Act:
    """Who does what, and how. `along` are tasks that the same act changes, and that it tells."""

    caller: Caller
    verb: Verb
    options: Options
    along: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeReceipt:
    """A notice in an inbox."""

    recipient_id: str
    sequence: int
    message_number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A task as it now is, the notices that the change wrote, and the number of its event."""

    task: Task
    notices: tuple[NoticeReceipt, ...] = ()
    event_number: int = 0


def write(transaction: Transaction, act: Act, before: Task | None, after: Task) -> Changed:
    """Write a new task (`before` is None) or a changed one, with its event and notices.

    What follows for the tasks that wait for it is part of the same commit.
    """
    team_id = act.caller.team_id
    team = transaction.team(team_id)
    agents.touch(transaction, team_id, act.caller.agent_id)
    if act.options.acknowledge:
        deliveries.acknowledge_each(
            transaction, team_id, act.caller.agent_id, act.options.acknowledge
        )
    event_number = team.next_event()
    task = replace(after, version=after.version + 1, update_time=team.now)
    if before and after.lease_token != before.lease_token:
        task = replace(task, lease_event=event_number)
    if before is None:
        tasks.insert(transaction, team_id, task)
    else:
        tasks.save(transaction, team_id, task)
    former = before.assignee_id if before else ""
    change = Change(
        verb=act.verb,
        task=task,
        former_assignee_id=former if former != task.assignee_id else "",
        actor_id=act.caller.agent_id,
        reason=act.options.reason,
    )
    written = _notify(transaction, act, change, event_number)
    event = TaskEvent(
        number=event_number,
        task_id=task.task_id,
        verb=act.verb.value,
        actor_id=act.caller.agent_id,
        from_state=int(before.state) if before else 0,
        to_state=int(task.state),
        assignee_id=task.assignee_id,
        former_assignee_id=change.former_assignee_id,
        reason=act.options.reason,
        create_time=team.now,
        message_number=written[0].message_number if written else None,
        repeat=act.options.repeat,
    )
    tasks.append_event(transaction, team_id, event)
    if task.state is TaskState.PENDING and not task.waiting_for:
        transaction.ring(team_id, queues.name(task.assignee_id))
    followed = _follow(transaction, act, before, task)
    return Changed(task=task, notices=(*written, *followed), event_number=event_number)


def _follow(
    transaction: Transaction, act: Act, before: Task | None, after: Task
) -> tuple[NoticeReceipt, ...]:
    """What a change means for the tasks that wait for this one: a count, an event, a notice."""
    team_id, task_id = act.caller.team_id, after.task_id
    was, now = before.state if before else after.state, after.state
    if was is now or not dependencies.any_dependents(transaction, team_id, task_id):
        return ()
    completed = int(now is TaskState.COMPLETED) - int(was is TaskState.COMPLETED)
    if completed:
        dependencies.shift(transaction, team_id, task_id, -completed)
    verb = _FOLLOWS.get(now)
    if verb is None:
        return ()
    befalls = Act(caller=act.caller, verb=verb, options=Options(notify=act.options.notify))
    return tuple(
        notice
        for task in dependencies.dependents(transaction, team_id, task_id)
        if task.task_id not in act.along
        if verb is Verb.LOSE_DEPENDENCY
        or (task.state is TaskState.PENDING and not task.waiting_for)
        for notice in write(transaction, befalls, task, task).notices
    )


_FOLLOWS = {
    TaskState.COMPLETED: Verb.BECOME_READY,
    TaskState.FAILED: Verb.LOSE_DEPENDENCY,
    TaskState.CANCELLED: Verb.LOSE_DEPENDENCY,
}


def notices_of(snapshot: Snapshot, team_id: str, event: TaskEvent) -> tuple[NoticeReceipt, ...]:
    """The notices that an event wrote."""
    if event.message_number is None:
        return ()
    message = messages.find(snapshot, team_id, event.message_number)
    found = deliveries.receipts(snapshot, team_id, message) if message else []
    return _receipts(event.message_number, tuple(found))


def _notify(
    transaction: Transaction, act: Act, change: Change, event_number: int
) -> tuple[NoticeReceipt, ...]:
    recipient_ids = notices.recipients(change)
    if act.options.notify == Notify.NONE or not recipient_ids:
        return ()
    team_id = act.caller.team_id
    new = notices.compose(change, event_number, recipient_ids)
    last_sequences = agents.last_sequences(transaction, team_id, recipient_ids)
    sent = messages.append(transaction, team_id, new, last_sequences)
    return _receipts(sent.number, sent.receipts)


def _receipts(number: int, receipts: tuple[Receipt, ...]) -> tuple[NoticeReceipt, ...]:
    return tuple(
        NoticeReceipt(
            recipient_id=receipt.recipient_id, sequence=receipt.sequence, message_number=number
        )
        for receipt in receipts
    )
