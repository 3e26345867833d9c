"""Recording a change: the task, its event and its notices, written by one function."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dovetail.server.access.caller import Caller
from dovetail.server.meter import Happening
from dovetail.server.store.tables import (
    agents,
    attempts,
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
from dovetail.server.tasks.attempts import BEGINNING_VERBS, ended_attempt
from dovetail.server.tasks.changes import field_changes
from dovetail.server.tasks.notices import NoticeContext
from dovetail.server.tasks.requests import ChangeOptions, Notify
from dovetail.server.tasks.states import RETRIED

# A holder's progress leaves the etag, by which others change the task meanwhile; so does what comes
# too late to change anything, and the usage of sub-tasks.
_WITHOUT_VERSION = frozenset({TaskVerb.HEARTBEAT, TaskVerb.KEEP_LATE_RESULT, TaskVerb.SPEND_BUDGET})


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Who does what, and with which options; about which attempt, if not the task's last one."""

    caller: Caller
    verb: TaskVerb
    options: ChangeOptions
    attempt: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChange:
    """A task as it now is, the receipts of the notices about it, and the number of its event.

    A change that changed nothing has neither.
    """

    task: Task
    notices: tuple[Receipt, ...] = ()
    event_number: int = 0


def record_change(
    transaction: Transaction,
    action: Action,
    before: Task | None,
    after: Task,
    cascade_ids: frozenset[str] = frozenset(),
) -> TaskChange:
    """Write a new task (`before` is None) or a changed one, with its event and notices.

    The tasks that depend on it are updated in the same commit, but for those of `cascade_ids`,
    which the same call changes itself.
    """
    caller, options = action.caller, action.options
    team = transaction.team
    agents.touch(transaction, caller.agent_id)
    if options.acknowledge:
        deliveries.acknowledge_each(transaction, caller.agent_id, options.acknowledge)
    event_number = team.next_event()
    numbers = {"event_count": after.event_count + 1}
    if action.verb not in _WITHOUT_VERSION:
        numbers |= {"version": after.version + 1, "update_time": team.stamp}
    if before and after.lease_token != before.lease_token:
        numbers["lease_event"] = event_number
    if action.verb in BEGINNING_VERBS:
        numbers["start_event"] = event_number
    task = replace(after, **numbers)
    if before is None:
        tasks.insert(transaction, task)
    else:
        tasks.save(transaction, task)
    former = before.assignee_id if before else ""
    context = NoticeContext(
        verb=action.verb,
        task=task,
        former_assignee_id=former if former != task.assignee_id else "",
        actor_id=caller.agent_id,
        reason=options.reason,
        attempt=task.attempt if action.attempt is None else action.attempt,
    )
    written = _notify(transaction, action, context, event_number)
    event = TaskEvent(
        number=event_number,
        task_id=task.task_id,
        verb=action.verb,
        actor_id=caller.agent_id,
        from_state=int(before.state) if before else 0,
        to_state=int(task.state),
        assignee_id=task.assignee_id,
        former_assignee_id=context.former_assignee_id,
        reason=options.reason,
        create_time=team.stamp,
        message_number=written[0].message_number if written else None,
        repeat=options.repeat,
        generation=task.event_count,
        attempt=context.attempt,
        changes_json=field_changes(before, task) if before else None,
    )
    events.append(transaction, event)
    ended = ended_attempt(before, task, event) if before else None
    if ended:
        attempts.append(transaction, ended)
    _count(transaction, action.verb, task)
    if task.state is TaskState.PENDING and not task.waiting_for_count:
        transaction.ring(queues.name(task.assignee_id))
    if before and before.state is not task.state:
        written += _update_dependents(transaction, action, before, event, cascade_ids)
    return TaskChange(task=task, notices=written, event_number=event_number)


def _count(transaction: Transaction, verb: TaskVerb, task: Task) -> None:
    """Count what an operator watches: leases that were lost, attempts that are followed by more."""
    if verb is TaskVerb.EXPIRE_LEASE:
        transaction.count(Happening.LEASE_LOST)
    if verb in RETRIED and task.state is TaskState.PENDING:
        transaction.count(Happening.TASK_RETRY)


def _update_dependents(
    transaction: Transaction,
    action: Action,
    before: Task,
    event: TaskEvent,
    cascade_ids: frozenset[str],
) -> tuple[Receipt, ...]:
    """What a change of state means for the tasks that depend on it: a count, an event, a notice.

    The counts change in this commit, so that a task that became ready is ready. A bounded number of
    tasks gets event and notice in it; the rest by the lease monitor, in commits that follow, from a
    follow-up that is written here. This recurses into `record_change`, and ends there: the state
    of a dependent does not change, so it has no dependents to update.
    """
    team_id, task_id = action.caller.team_id, before.task_id
    state = TaskState(event.to_state)
    completed = int(state is TaskState.COMPLETED) - int(before.state is TaskState.COMPLETED)
    verb = _VERB_OF_DEPENDENTS.get(state)
    if not (completed or verb) or not dependencies.any_dependents(transaction, task_id):
        return ()
    if completed:
        dependencies.adjust_waiting(transaction, task_id, -completed)
    if verb is None:
        return ()
    follow_up = FollowUp(
        team_id=team_id,
        event_number=event.number,
        task_id=task_id,
        verb=verb.name,
        actor_id=action.caller.agent_id,
        notify=int(action.options.notify),
        after_number=0,
    )
    most = transaction.followers_left
    found = _dependents(transaction, follow_up, Window(most=most + 1))
    if len(found) > most:
        after_number = found[most - 1].number if most else 0
        follow_ups.add(transaction, replace(follow_up, after_number=after_number))
    now = found[:most]
    transaction.followers_left -= len(now)
    options = ChangeOptions(notify=action.options.notify)
    consequence = Action(caller=action.caller, verb=verb, options=options)
    return tuple(
        receipt
        for task in now
        if task.task_id not in cascade_ids
        for receipt in record_change(transaction, consequence, task, task).notices
    )


def continue_follow_up(transaction: Transaction, event_number: int) -> bool:
    """Record as many consequences of a follow-up as a unit may; returns whether there are more."""
    follow_up = follow_ups.find(transaction, event_number)
    if follow_up is None:  # Another server was first.
        return False
    task = tasks.find(transaction, follow_up.task_id)
    if task is None or _verb_after(task.state) != follow_up.verb:  # It was reopened meanwhile.
        follow_ups.remove(transaction, follow_up)
        return False
    most = transaction.followers_left
    window = Window(most=most, after=follow_up.after_number)
    found = _dependents(transaction, follow_up, window)
    verb, caller = (
        TaskVerb[follow_up.verb],
        Caller(team_id=transaction.team_id, agent_id=follow_up.actor_id),
    )
    consequence = Action(
        caller=caller, verb=verb, options=ChangeOptions(notify=Notify(follow_up.notify))
    )
    for task in found:
        if not _was_notified(transaction, follow_up, task):
            record_change(transaction, consequence, task, task)
    if len(found) < most:
        follow_ups.remove(transaction, follow_up)
        return False
    follow_ups.move(transaction, follow_up, found[-1].number)
    return True


def _dependents(snapshot: Snapshot, follow_up: FollowUp, window: Window) -> list[Task]:
    """The next tasks to record it for: all that wait, or those that wait for nothing more."""
    find = dependencies.dependents
    if follow_up.verb == TaskVerb.BECOME_READY.name:
        find = dependencies.ready_dependents
    return find(snapshot, follow_up.task_id, window)


def _was_notified(snapshot: Snapshot, follow_up: FollowUp, task: Task) -> bool:
    """Whether a later completion recorded already that this task is ready."""
    if follow_up.verb != TaskVerb.BECOME_READY.name:
        return False
    last = events.last(snapshot, task.task_id)
    return last.verb is TaskVerb.BECOME_READY and last.number > follow_up.event_number


_VERB_OF_DEPENDENTS = {
    TaskState.COMPLETED: TaskVerb.BECOME_READY,
    TaskState.FAILED: TaskVerb.FAIL_DEPENDENCY,
    TaskState.CANCELLED: TaskVerb.FAIL_DEPENDENCY,
}


def _verb_after(state: TaskState) -> str:
    return _VERB_OF_DEPENDENTS[state].name if state in _VERB_OF_DEPENDENTS else ""


def notices_of(snapshot: Snapshot, event: TaskEvent) -> tuple[Receipt, ...]:
    """The receipts of an event's notices: one message, or two with consecutive numbers."""
    if event.message_number is None:
        return ()
    first, second = event.message_number, event.message_number + 1
    receipts: list[Receipt] = []
    for number in (first, second):
        event_number, recipient_ids = messages.notice_of(snapshot, number)
        if event_number == event.number:
            receipts += deliveries.receipts(snapshot, number, recipient_ids)
    return tuple(receipts)


def _notify(
    transaction: Transaction, action: Action, context: NoticeContext, event_number: int
) -> tuple[Receipt, ...]:
    if action.options.notify is Notify.NONE:
        return ()
    written: list[Receipt] = []
    for new in notices.compose(context, event_number):
        # Those who were removed are passed by: a change of work never fails because of an inbox.
        last_sequences = agents.last_sequences(transaction, new.recipient_ids)
        known = tuple(each for each in new.recipient_ids if each in last_sequences)
        if known:
            sent = replace(new, recipient_ids=known) if known != new.recipient_ids else new
            written += messages.append(transaction, sent, last_sequences).receipts
    return tuple(written)
