"""Moves: a task as it shall be after a change. From values to values, without a store."""

from __future__ import annotations

from dataclasses import replace

from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.tasks.requests import LONGEST_BACKOFF, Lease, Outcome
from dovetail.server.tasks.states import RETRIED, next_state

LEASE_LOST = "the holder's lease was lost: for its whole duration there was no heartbeat"


def is_ready(task: Task, now: int) -> bool:
    """Whether it may be started."""
    due = task.schedule_time is None or task.schedule_time <= now
    return task.state is TaskState.PENDING and not task.waiting_for_count and due


def start(task: Task, verb: TaskVerb, agent_id: str, lease: Lease | None, now: int) -> Task:
    """In progress, its assignee's or the caller's, held by a lease or not."""
    pooled = task.pooled or not task.assignee_id
    assignee_id = task.assignee_id or agent_id
    begun = replace(
        task,
        state=next_state(verb, task),
        assignee_id=assignee_id,
        assign_time=(task.assign_time or now) if assignee_id else None,
        pooled=pooled and bool(assignee_id),
        start_time=now,
        attempt=task.attempt + 1,
        progress_percent=None,
        progress_note="",
    )
    return grant_lease(begun, lease, now) if lease else begun


def grant_lease(task: Task, lease: Lease, now: int) -> Task:
    """Held by a new lease."""
    return replace(
        task,
        lease_token=lease.token,
        lease_duration=lease.duration,
        lease_count=task.lease_count + 1,
        lease_expire_time=now + lease.duration,
    )


def renew_lease(task: Task, now: int) -> Task:
    """Held for its lease's length again; while the clock is stopped it has no end."""
    runs = bool(task.lease_token) and task.state is TaskState.IN_PROGRESS
    return replace(
        task,
        lease_count=task.lease_count + 1,
        lease_expire_time=now + task.lease_duration if runs else None,
    )


def clear_lease(task: Task) -> Task:
    """Held by nobody, with no question open."""
    return replace(task, lease_token="", lease_duration=0, lease_expire_time=None, asked_id="")


def return_to_pending(task: Task, state: TaskState) -> Task:
    """Pending again; back in the pool if it came from there."""
    returned = replace(clear_lease(task), state=state, start_time=None)
    return unassign(returned) if task.pooled else returned


def unassign(task: Task) -> Task:
    """In the pool."""
    return replace(task, assignee_id="", assign_time=None, pooled=False)


def finish(task: Task, state: TaskState, outcome: Outcome, now: int) -> Task:
    """Over, with how it ended."""
    return replace(
        clear_lease(task),
        state=state,
        outcome_text=outcome.text,
        outcome_json=outcome.data_json,
        end_time=now,
    )


def fail_attempt(task: Task, verb: TaskVerb, outcome: Outcome, now: int) -> Task:
    """One attempt less: to be tried again while some are left, otherwise over."""
    state = next_state(verb, task)
    again = RETRIED[verb].get(task.state) if outcome.retryable else None
    counted = replace(task, failed_attempts=task.failed_attempts + bool(outcome.retryable))
    if again is None or counted.failed_attempts >= task.max_attempts:
        return finish(counted, state, outcome, now)
    # Whoever tries again may read why this attempt failed.
    told = replace(counted, last_failure_text=outcome.text, last_failure_json=outcome.data_json)
    return return_to_pending(told, again)


def delay_retry(task: Task, clock: int) -> Task:
    """To be tried again only after the backoff, if it is to be tried again."""
    pause = 0 if task.has_ended else retry_delay(task)
    return replace(task, schedule_time=clock + pause) if pause else task


def retry_delay(task: Task) -> int:
    """How long the next attempt waits, in microseconds: doubling, up to a day."""
    doublings = min(task.failed_attempts - 1, 40)
    return min(task.initial_backoff << doublings, LONGEST_BACKOFF)


def reopen(task: Task) -> Task:
    """Pending, as if it had never been begun."""
    return replace(
        return_to_pending(task, next_state(TaskVerb.REOPEN, task)),
        schedule_time=None if task.failed_attempts else task.schedule_time,
        outcome_text="",
        outcome_json=None,
        last_failure_text="",
        last_failure_json=None,
        attempt=0,
        failed_attempts=0,
        end_time=None,
        progress_percent=None,
        progress_note="",
        overdue_told=False,
    )


def mark_overdue(task: Task) -> Task:
    """Late, and told so."""
    return replace(task, overdue_told=True)
