"""Late results: what a holder brings after others ended its attempt is refused, and kept.

One of two refusals that write; the other is the loop guard's (`messaging/loops.py`). A unit that
raises must not have written (`store/units.py`), so a unit returns this refusal as its value, and
the rule raises it after the commit (`change_or_raise`).
"""

from __future__ import annotations

from dataclasses import replace

from dovetail.server.errors import AbortedError, DovetailError, Reason
from dovetail.server.store.tables import attachments, attempts, tasks
from dovetail.server.store.tables.attempts import LateResult
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Transaction
from dovetail.server.tasks.attempts import ENDS_BY_OTHERS, token_hash
from dovetail.server.tasks.loading import load_for_change
from dovetail.server.tasks.recording import Action, TaskChange, record_change
from dovetail.server.tasks.requests import REASON_CHARACTERS_MAX, ChangeOptions, Outcome

KEPT = "late_result_kept"
"""In the metadata of the refusal: whether what was brought is kept."""


def load_or_keep(
    transaction: Transaction, action: Action, task_id: str, outcome: Outcome
) -> Task | AbortedError:
    """The task, to end an attempt with an outcome; or the refusal, if the outcome is kept as late.

    Raises what `load_for_change` raises, then nothing was written.
    """
    try:
        return load_for_change(transaction, action, task_id)
    except AbortedError as refusal:
        if refusal.reason is not Reason.LEASE_LOST:
            raise
        if not _keep(transaction, action, task_id, outcome):
            refusal.metadata[KEPT] = "false"
            raise
        return AbortedError(
            Reason.LEASE_LOST,
            f"{refusal.message}; what was brought is kept as a late result of its attempt",
            metadata={**refusal.metadata, KEPT: "true"},
        )


def change_or_raise(change: TaskChange | DovetailError) -> TaskChange:
    """The change that a unit made; raises the refusal that it returned instead."""
    if isinstance(change, DovetailError):
        raise change
    return change


def _keep(transaction: Transaction, action: Action, task_id: str, outcome: Outcome) -> bool:
    """Keep an outcome as the late result of its attempt; returns whether the attempt has one now.

    The first one stays, so a repeat writes nothing.
    """
    caller, options = action.caller, action.options
    found = attempts.find_held(transaction, task_id, token_hash(options.lease_token))
    if found is None or found.holder_id != caller.agent_id or found.ending not in ENDS_BY_OTHERS:
        return False
    if found.late:
        return True
    late = LateResult(
        verb=action.verb,
        time=transaction.team.stamp,
        text=outcome.text,
        data_json=outcome.data_json,
        retryable=outcome.retryable,
        attachments_json=attachments.encode(outcome.attachments),
    )
    attempts.save(transaction, replace(found, late=late))
    attachments.add_to_task(transaction, task_id, found.start_event, outcome.attachments)
    task = tasks.find(transaction, task_id)
    assert task is not None
    shown = outcome.text[:REASON_CHARACTERS_MAX]
    keeping = Action(
        caller=caller,
        verb=TaskVerb.KEEP_LATE_RESULT,
        options=ChangeOptions(notify=options.notify, reason=shown),
        attempt=found.attempt,
    )
    record_change(transaction, keeping, task, task)
    return True
