"""Attempts as values: what of a task's change ends one, and the one that lasts."""

from __future__ import annotations

import hashlib

from dovetail.server.store.tables.attempts import Attempt, AttemptEnd
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.tasks import Task

BEGINNING_VERBS = frozenset({TaskVerb.CLAIM, TaskVerb.START})

ENDS = {
    TaskVerb.COMPLETE: AttemptEnd.COMPLETED,
    TaskVerb.FAIL: AttemptEnd.FAILED,
    TaskVerb.EXPIRE_LEASE: AttemptEnd.LEASE_LOST,
    TaskVerb.RELEASE: AttemptEnd.RELEASED,
    TaskVerb.ASSIGN: AttemptEnd.TAKEN_AWAY,
    TaskVerb.UNASSIGN: AttemptEnd.TAKEN_AWAY,
    TaskVerb.CANCEL: AttemptEnd.CANCELLED,
}
"""How an attempt ended, by the verb that ended it."""

ENDS_BY_OTHERS = frozenset({AttemptEnd.LEASE_LOST, AttemptEnd.TAKEN_AWAY, AttemptEnd.CANCELLED})
"""Of these the holder may not know yet: it may still bring a result, which is kept as late."""

_FAILURES = frozenset({AttemptEnd.FAILED, AttemptEnd.LEASE_LOST})


def token_hash(token: str) -> str:
    """What is kept of the token of a lease, to know its holder by; empty without one."""
    return hashlib.blake2b(token.encode(), digest_size=16).hexdigest() if token else ""


def present_attempt(task: Task) -> Attempt | None:
    """The attempt that lasts, if an agent is at work."""
    if not task.is_held or task.start_time is None:
        return None
    return Attempt(
        task_id=task.task_id,
        start_event=task.start_event,
        attempt=task.attempt,
        holder_id=task.assignee_id,
        start_time=task.start_time,
        progress_percent=task.progress_percent,
        progress_note=task.progress_note,
        usage_json=task.attempt_usage_json,
    )


def ended_attempt(before: Task, after: Task, event: TaskEvent) -> Attempt | None:
    """The attempt that a change ended, or None."""
    if not before.is_held or after.is_held:
        return None
    ending = ENDS[event.verb]
    text, data_json = "", None
    if ending in _FAILURES:
        # Of a task that has failed for good it is the outcome, of one that is retried the last one.
        text, data_json = after.last_failure_text, after.last_failure_json
        if after.has_ended:
            text, data_json = after.outcome_text, after.outcome_json
    assert before.start_time is not None
    return Attempt(
        task_id=before.task_id,
        start_event=before.start_event,
        attempt=before.attempt,
        holder_id=before.assignee_id,
        start_time=before.start_time,
        end_event=event.number,
        end_time=event.create_time,
        ending=ending,
        reason=event.reason,
        failure_text=text,
        failure_json=data_json,
        # Only a retryable failure counts.
        retryable=after.failed_attempts > before.failed_attempts,
        progress_percent=before.progress_percent,
        progress_note=before.progress_note,
        token_hash=token_hash(before.lease_token),
        usage_json=after.attempt_usage_json,
    )
