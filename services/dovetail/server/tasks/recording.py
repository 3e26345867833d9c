"""Recording a change: the task, its event and its notices, written by one function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dovetail.server.access.caller import Caller
from dovetail.server.store.tables import (
    agents,
    deliveries,
    dependencies,
    events,
    follow_ups,
    messages,
    queues,
    tasks,
)
from dovetail.server.store.tables.deliveries import Receipt
from dovetail.server.store.tables.dependencies import Window
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.follow_ups import FollowUp
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import notices
from dovetail.server.tasks.notices import NoticeContext
from dovetail.server.tasks.requests import ChangeOptions, Notify


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Who does what, and how. `along` are tasks that the same act changes, and that it tells."""

    caller: Caller
    verb: TaskVerb
    options: ChangeOptions
    along: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChange:
    """A task as it now is, the notices that the change wrote, and the number of its event."""

    task: Task
    notices: tuple[Receipt, ...] = ()
    event_number: int = 0


def record_change(
    transaction: Transaction, act: Action, before: Task | None, after: Task
) -> TaskChange:
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
    task = replace(after, version=after.version + 1, update_time=team.stamp)
    if before and after.lease_token != before.lease_token:
        task = replace(task, lease_event=event_number)
    if before is None:
        tasks.insert(transaction, team_id, task)
    else:
        tasks.save(transaction, team_id, task)
    former = before.assignee_id if before else ""
    change = NoticeContext(
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
        verb=act.verb,
        actor_id=act.caller.agent_id,
        from_state=int(before.state) if before else 0,
        to_state=int(task.state),
        assignee_id=task.assignee_id,
        former_assignee_id=change.former_assignee_id,
        reason=act.options.reason,
        create_time=team.stamp,
        message_number=written[0].message_number if written else None,
        repeat=act.options.repeat,
    )
    events.append(transaction, team_id, event)
    if task.state is TaskState.PENDING and not task.waiting_for_count:
        transaction.ring(team_id, queues.name(task.assignee_id))
    followed = _update_dependents(transaction, act, before, task, event_number)
    return TaskChange(task=task, notices=(*written, *followed), event_number=event_number)


def _update_dependents(
    transaction: Transaction, act: Action, before: Task | None, changed: Task, event_number: int
) -> tuple[Receipt, ...]:
    """What a change means for the tasks that wait for this one: a count, an event, a notice.

    The counts change in this commit, so that what became ready is ready. A bounded number of tasks
    is told in it, the rest by the keeper, step by step, from a follow-up written in it too.
    """
    team_id, task_id = act.caller.team_id, changed.task_id
    was, now = before.state if before else changed.state, changed.state
    if was is now or not dependencies.any_dependents(transaction, team_id, task_id):
        return ()
    completed = int(now is TaskState.COMPLETED) - int(was is TaskState.COMPLETED)
    if completed:
        dependencies.adjust_waiting(transaction, team_id, task_id, -completed)
    verb = _FOLLOWS.get(now)
    if verb is None:
        return ()
    follow_up = FollowUp(
        team_id=team_id,
        event_number=event_number,
        task_id=task_id,
        verb=verb.name,
        actor_id=act.caller.agent_id,
        notify=act.options.notify,
        after_number=0,
    )
    most = transaction.followers_left
    told = _followers(transaction, follow_up, Window(most=most + 1))
    if len(told) > most:
        after_number = told[most - 1].number if most else 0
        follow_ups.add(transaction, replace(follow_up, after_number=after_number))
    transaction.followers_left -= len(told[:most])
    consequence = Action(
        caller=act.caller, verb=verb, options=ChangeOptions(notify=act.options.notify)
    )
    return tuple(
        notice
        for task in told[:most]
        if task.task_id not in act.along
        for notice in record_change(transaction, consequence, task, task).notices
    )


def continue_follow_up(transaction: Transaction, team_id: str, event_number: int) -> bool:
    """One step of a follow-up: tell as many tasks as a unit may; return whether there are more."""
    follow_up = follow_ups.find(transaction, team_id, event_number)
    if follow_up is None:  # Another server was first.
        return False
    task = tasks.find(transaction, team_id, follow_up.task_id)
    if task is None or _verb_after(task.state) != follow_up.verb:  # It was reopened meanwhile.
        follow_ups.remove(transaction, follow_up)
        return False
    most = transaction.followers_left
    window = Window(most=most, after=follow_up.after_number)
    told = _followers(transaction, follow_up, window)
    verb, caller = TaskVerb[follow_up.verb], Caller(team_id=team_id, agent_id=follow_up.actor_id)
    consequence = Action(caller=caller, verb=verb, options=ChangeOptions(notify=follow_up.notify))
    for task in told:
        if not _was_told(transaction, follow_up, task):
            record_change(transaction, consequence, task, task)
    if len(told) < most:
        follow_ups.remove(transaction, follow_up)
        return False
    follow_ups.move(transaction, follow_up, told[-1].number)
    return True


def _followers(snapshot: Snapshot, follow_up: FollowUp, window: Window) -> list[Task]:
    """The next tasks to tell: all that wait, or those that wait for nothing more."""
    find = dependencies.dependents
    if follow_up.verb == TaskVerb.BECOME_READY.name:
        find = dependencies.ready_dependents
    return find(snapshot, follow_up.team_id, follow_up.task_id, window)


def _was_told(snapshot: Snapshot, follow_up: FollowUp, task: Task) -> bool:
    """Whether a later completion has told this task already that it is ready."""
    if follow_up.verb != TaskVerb.BECOME_READY.name:
        return False
    last = events.last(snapshot, follow_up.team_id, task.task_id)
    return last.verb is TaskVerb.BECOME_READY and last.number > follow_up.event_number


_FOLLOWS = {
    TaskState.COMPLETED: TaskVerb.BECOME_READY,
    TaskState.FAILED: TaskVerb.FAIL_DEPENDENCY,
    TaskState.CANCELLED: TaskVerb.FAIL_DEPENDENCY,
}


def _verb_after(state: TaskState) -> str:
    return _FOLLOWS[state].name if state in _FOLLOWS else ""


def notices_of(snapshot: Snapshot, team_id: str, event: TaskEvent) -> tuple[Receipt, ...]:
    """The notices that an event wrote: one message, or two with numbers that follow each other."""
    if event.message_number is None:
        return ()
    first, second = event.message_number, event.message_number + 1
    found = [messages.find(snapshot, team_id, number) for number in (first, second)]
    return tuple(
        receipt
        for message in found
        if message and message.content.notice
        if message.content.notice.event_number == event.number
        for receipt in deliveries.receipts(snapshot, team_id, message.number, message.recipient_ids)
    )


def _notify(
    transaction: Transaction, act: Action, change: NoticeContext, event_number: int
) -> tuple[Receipt, ...]:
    if act.options.notify == Notify.NONE:
        return ()
    team_id = act.caller.team_id
    written: list[Receipt] = []
    for new in notices.compose(change, event_number):
        last_sequences = agents.last_sequences(transaction, team_id, new.recipient_ids)
        written += messages.append(transaction, team_id, new, last_sequences).receipts
    return tuple(written)
