"""Loading a task to change it: what every verb asks first, in one read of its row."""

from __future__ import annotations

import secrets

from dovetail.server import preconditions
from dovetail.server.access.caller import Caller
from dovetail.server.errors import (
    AbortedError,
    FailedPreconditionError,
    NotFoundError,
    Reason,
)
from dovetail.server.preconditions import check_etag, check_reached, check_same_request
from dovetail.server.store.tables import agents, deliveries, dependencies, events, tasks
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Need, Snapshot
from dovetail.server.tasks import recording
from dovetail.server.tasks.recording import Action, TaskChange
from dovetail.server.tasks.requests import ChangeOptions, Lease
from dovetail.server.tasks.states import LEASE_VERBS, owners

# These may change what waits for the task.
_ENDING_VERBS = frozenset(
    {
        TaskVerb.COMPLETE,
        TaskVerb.FAIL,
        TaskVerb.CANCEL,
        TaskVerb.REOPEN,
        TaskVerb.EXPIRE_LEASE,
    }
)


def load_for_change(snapshot: Snapshot, action: Action, task_id: str) -> Task:
    """The task, if the caller may do this to it: its lease, its rights, its etag, in this order.

    The lease comes first, so that a former holder learns that it lost the task, and not that the
    task is another agent's by now. Raises NotFoundError, AbortedError, FailedPreconditionError,
    PermissionDeniedError, and OutOfRangeError for sequences to acknowledge.
    """
    caller, options = action.caller, action.options
    task = tasks.find(snapshot, task_id)
    if task is None:
        raise task_not_found("task_id", task_id)
    if task.delete_time is not None:
        if action.verb is not TaskVerb.DELETE:
            raise task_not_found("task_id", task_id, deleted=True)
        check_access(caller, action.verb, task)
        return task  # Deleting again changes nothing.
    if action.verb in LEASE_VERBS:
        _check_lease(snapshot, task, options.lease_token)
    check_access(caller, action.verb, task)
    check_etag("etag", task.task_id, task.version, options.etag)
    check_acknowledged(snapshot, caller, options)
    return task


def needs(action: Action, *task_ids: str) -> list[Need]:
    """What a unit needs that changes these tasks: them, who is told, and the request's repeat."""
    caller, options = action.caller, action.options
    found = [*agents.need([caller.agent_id]), *events.need(caller.agent_id, options.repeat)]
    for task_id in task_ids:
        found.append(tasks.need(task_id, then=_parties))
        if action.verb in _ENDING_VERBS:
            found.append(dependencies.need(task_id))
    spans = deliveries.spans(options.acknowledge)
    return found + deliveries.need(caller.agent_id, spans)


def _parties(task: Task) -> list[Need]:
    return agents.need({task.creator_id, task.assignee_id, task.asked_id})


def etag(task: Task) -> str:
    """The etag of a task: another one after every change."""
    return preconditions.etag(task.version)


def new_lease(duration: int) -> Lease:
    """A lease with a new random token."""
    return Lease(token=secrets.token_urlsafe(16), duration=duration)


def require_task(snapshot: Snapshot, task_id: str, field: str = "task_id") -> Task:
    """The task, which must exist and not be deleted."""
    task = tasks.find(snapshot, task_id)
    if task is None or task.delete_time is not None:
        raise task_not_found(field, task_id, deleted=task is not None)
    return task


def task_not_found(field: str, task_id: str, *, deleted: bool = False) -> NotFoundError:
    """The error for a task that does not exist."""
    return NotFoundError(
        Reason.TASK_NOT_FOUND,
        f"{field}: no task {task_id!r}" + (", it was deleted" if deleted else ""),
        metadata={"task_id": task_id, "deleted": str(deleted).lower()},
    )


def require_history(snapshot: Snapshot, task_id: str) -> None:
    """Refuse a task that never was; empty: any. A deleted one has a history too."""
    if task_id and tasks.find(snapshot, task_id) is None:
        raise task_not_found("filter.task_id", task_id)


def require_agent(snapshot: Snapshot, caller: Caller, agent_id: str) -> None:
    """Refuse an unknown agent. The caller itself is registered by this very call."""
    if agent_id not in ("", caller.agent_id):
        agents.require(snapshot, [agent_id])


def check_access(caller: Caller, verb: TaskVerb, task: Task) -> None:
    """Refuse an agent that has no part in the task that this verb requires."""
    owner_ids = owners(verb, task)
    if owner_ids is not None:
        caller.require_own(f"task {task.task_id!r}", *owner_ids)


def check_acknowledged(snapshot: Snapshot, caller: Caller, options: ChangeOptions) -> None:
    """Refuse to acknowledge sequences that the caller's inbox has not reached."""
    if options.acknowledge:
        agent_id = caller.require_agent("acknowledging")
        last = agents.require(snapshot, [agent_id])[agent_id]
        check_reached(max(options.acknowledge), last)


def find_repeat(snapshot: Snapshot, action: Action) -> TaskChange | None:
    """The change that an earlier request with this id made, with the task as it is now."""
    caller, repeat = action.caller, action.options.repeat
    if repeat is None:
        return None
    event = events.find_repeat(snapshot, caller.agent_id, repeat)
    if event is None or event.repeat is None:
        return None
    check_same_request(repeat, event.repeat.request_hash)
    task = require_task(snapshot, event.task_id)
    return TaskChange(
        task=task,
        notices=recording.notices_of(snapshot, event),
        event_number=event.number,
    )


def _check_lease(snapshot: Snapshot, task: Task, token: str) -> None:
    """Refuse all but the holder of the lease; a former holder learns what became of the task."""
    # Without a lease no token is needed: a holder that started without one is not fenced off.
    if token and not secrets.compare_digest(token.encode(), task.lease_token.encode()):
        last = events.last(snapshot, task.task_id)
        raise AbortedError(
            Reason.LEASE_LOST,
            f"lease_token: the lease of task {task.task_id!r} is lost: it is {task.state.name},"
            f" last changed by {last.verb.words} of {last.actor_id!r}",
            metadata={
                "task_id": task.task_id,
                "state": task.state.name,
                "last_verb": last.verb.name,
                "last_actor_id": last.actor_id,
            },
        )
    if task.lease_token and not token:
        raise FailedPreconditionError(
            Reason.LEASE_TOKEN_REQUIRED,
            f"task {task.task_id!r} is held under a lease: only the holder of its lease_token may"
            " do this",
            metadata={"task_id": task.task_id, "assignee_id": task.assignee_id},
        )
