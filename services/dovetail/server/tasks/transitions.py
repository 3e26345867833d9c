"""Transitions: the task after a change, as a new value. Nothing here reads or writes a store."""

from __future__ import annotations

from dataclasses import replace

from dovetail.server.store.tables import attachments, input_options
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.tasks.questions import Answer, Question
from dovetail.server.tasks.requests import BACKOFF_MICROS_MAX, Lease, Outcome
from dovetail.server.tasks.states import RETRIED, next_state

LEASE_LOST_TEXT = "the holder's lease was lost: for its whole duration there was no heartbeat"


def is_ready(task: Task, now: int) -> bool:
    """Whether it may be started."""
    due = task.schedule_time is None or task.schedule_time <= now
    return task.state is TaskState.PENDING and not task.waiting_for_count and due


def start(task: Task, verb: TaskVerb, agent_id: str, lease: Lease | None, now: int) -> Task:
    """Move a task to IN_PROGRESS for its assignee or, without one, for `agent_id`."""
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
        attempt_usage_json=None,
    )
    return grant_lease(begun, lease, now) if lease else begun


def grant_lease(task: Task, lease: Lease, now: int) -> Task:
    """Grant a new lease, from `now` on."""
    return replace(
        task,
        lease_token=lease.token,
        lease_duration=lease.duration,
        lease_count=task.lease_count + 1,
        lease_expire_time=now + lease.duration,
    )


def renew_lease(task: Task, now: int) -> Task:
    """Extend the lease to a whole duration from `now`; while INPUT_REQUIRED it cannot expire."""
    runs = bool(task.lease_token) and task.state is TaskState.IN_PROGRESS
    return replace(
        task,
        lease_count=task.lease_count + 1,
        lease_expire_time=now + task.lease_duration if runs else None,
    )


def clear_lease(task: Task) -> Task:
    """End the lease, and the open question."""
    # The fence. An empty token equals no holder's token, and the next lease has a token of its own:
    # from here on every verb of a holder (`LEASE_VERBS`) that brings the old token fails with
    # LEASE_LOST (`loading.py`). Only a repeat of a call that succeeded before is still answered.
    return replace(task, lease_token="", lease_duration=0, lease_expire_time=None, asked_id="")


def return_to_pending(task: Task, state: TaskState) -> Task:
    """Make the task PENDING again; one that came from the pool goes back there."""
    returned = replace(clear_lease(task), state=state, start_time=None)
    return unassign(returned) if task.pooled else returned


def unassign(task: Task) -> Task:
    """Remove the assignee: the task is in the pool."""
    return replace(task, assignee_id="", assign_time=None, pooled=False)


def assign(task: Task, assignee_id: str, now: int, *, force: bool) -> Task:
    """Set the assignee of a task that is or, with `force`, becomes PENDING; it leaves the pool."""
    state = next_state(TaskVerb.ASSIGN, task, force=force)
    pending = return_to_pending(replace(task, pooled=False), state)
    return replace(pending, assignee_id=assignee_id, assign_time=now)


def ask(task: Task, state: TaskState, question: Question, now: int) -> Task:
    """Open a question; while it is open the lease has no end. `limit_wait` sets its deadline."""
    return replace(
        task,
        state=state,
        asked_id=question.agent_id,
        question_agent_id=question.agent_id,
        question_text=question.text,
        question_json=question.data_json,
        question_options_json=input_options.encode(question.options),
        question_deadline_time=None,
        default_answer=question.default_answer,
        ask_time=now,
        answered=False,
        answer_text="",
        answer_json=None,
        answer_option="",
        answer_is_default=False,
        lease_expire_time=None,
        away_told=False,
    )


def limit_wait(task: Task, within: int | None, clock: int) -> Task:
    """Set until when the open question waits for an answer; None: without end."""
    return task if within is None else replace(task, question_deadline_time=clock + within)


def resume(task: Task, state: TaskState, answer: Answer, now: int) -> Task:
    """Answer the open question, and renew the lease."""
    answered = replace(
        task,
        state=state,
        asked_id="",
        answered=True,
        answer_text=answer.text,
        answer_json=answer.data_json,
        answer_option=answer.option,
        answer_is_default=answer.is_default,
        input_wait=task.input_wait + max(1, now - (task.ask_time or now)),
    )
    return renew_lease(answered, now)


def finish(task: Task, state: TaskState, outcome: Outcome, now: int) -> Task:
    """End the task in `state`, with its outcome."""
    return replace(
        clear_lease(task),
        state=state,
        outcome_text=outcome.text,
        outcome_json=outcome.data_json,
        outcome_attachments_json=attachments.encode(outcome.attachments),
        end_time=now,
    )


def fail_attempt(task: Task, verb: TaskVerb, outcome: Outcome, now: int) -> Task:
    """Fail an attempt: PENDING while a retryable failure leaves attempts, otherwise FAILED."""
    state = next_state(verb, task)
    again = RETRIED[verb].get(task.state) if outcome.retryable else None
    counted = replace(task, failed_attempts=task.failed_attempts + bool(outcome.retryable))
    if again is None or counted.failed_attempts >= task.max_attempts:
        return finish(counted, state, outcome, now)
    # Whoever tries again may read why this attempt failed.
    told = replace(counted, last_failure_text=outcome.text, last_failure_json=outcome.data_json)
    return return_to_pending(told, again)


def delay_retry(task: Task, clock: int) -> Task:
    """Delay the retry by the backoff, if there is a retry."""
    pause = 0 if task.has_ended else retry_delay(task)
    return replace(task, schedule_time=clock + pause) if pause else task


def retry_delay(task: Task) -> int:
    """How long the next attempt waits, in microseconds: doubles each time, up to a day."""
    doublings = min(task.failed_attempts - 1, 40)
    return min(task.initial_backoff << doublings, BACKOFF_MICROS_MAX)


def reopen(task: Task) -> Task:
    """Make an ended task PENDING, as if it had never been started."""
    return replace(
        return_to_pending(task, next_state(TaskVerb.REOPEN, task)),
        schedule_time=None if task.failed_attempts else task.schedule_time,
        outcome_text="",
        outcome_json=None,
        outcome_attachments_json="",
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
    """Mark the task as overdue-notified."""
    return replace(task, overdue_told=True)
