"""Changing a task: what every verb has in common, from finding the task to writing the change."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import (
    AbortedError,
    FailedPreconditionError,
    NotFoundError,
    Reason,
)
from dovetail.server.preconditions import check_reached, check_same_request
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, events, tasks
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.recording import Action, TaskChange
from dovetail.server.tasks.requests import ChangeOptions, Lease
from dovetail.server.tasks.states import LEASE_VERBS, next_state, owners

Alter = Callable[[Transaction, Task, int], Task | None]
"""From a task and the time now to the task as it shall be; None: nothing changes."""

Then = Callable[[Transaction, Action, TaskChange], TaskChange]
"""What else is done in the same commit."""


def _nothing(_: Checks) -> None:
    """Nothing more to check."""


def _no_more(_: Transaction, __: Action, changed: TaskChange) -> TaskChange:
    """Nothing more to do."""
    return changed


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeRequest:
    """A change of one task to be made: who does what, to which, and what comes of it.

    `check` records what is wrong with the request; `then` does what else belongs to the commit.
    """

    act: Action
    task_id: str
    alter: Alter
    check: Callable[[Checks], None] = _nothing
    then: Then = _no_more


async def change_task(store: Store, wanted: ChangeRequest) -> TaskChange:
    """Change one task: find it, alter it, and write what changed with event and notices."""
    with Checks() as check:
        check.id("task_id", wanted.task_id)
        wanted.act.options.check(check)
        wanted.check(check)
    return await store.write(wanted.act.caller.team_id, lambda t: change_in(t, wanted))


def change_in(transaction: Transaction, wanted: ChangeRequest) -> TaskChange:
    """The same within a transaction, for a request that was checked. Refuses before it writes."""
    act, task_id = wanted.act, wanted.task_id
    caller, options = act.caller, act.options
    earlier = find_repeat(transaction, caller, options)
    if earlier:
        return earlier
    found = tasks.find(transaction, caller.team_id, task_id)
    if found and found.delete_time and act.verb is TaskVerb.DELETE:
        check_access(caller, act.verb, found)
        return TaskChange(task=found)
    task = require_task(transaction, caller.team_id, task_id)
    if act.verb in LEASE_VERBS:
        _check_lease(transaction, caller.team_id, task, options.lease_token)
    check_access(caller, act.verb, task)
    _check_etag(task, options.etag)
    check_acknowledged(transaction, caller, options)
    altered = wanted.alter(transaction, task, transaction.team(caller.team_id).stamp)
    if altered is None:
        return TaskChange(task=task)
    return wanted.then(transaction, act, recording.record_change(transaction, act, task, altered))


def load_for_heartbeat(transaction: Transaction, act: Action, task_id: str) -> Task:
    """A task whose holder lives, as it shall be."""
    task = require_task(transaction, act.caller.team_id, task_id)
    _check_lease(transaction, act.caller.team_id, task, act.options.lease_token)
    check_access(act.caller, act.verb, task)
    next_state(act.verb, task)
    return transitions.renew_lease(task, transaction.team(act.caller.team_id).stamp)


def etag(task: Task) -> str:
    """The etag of a task: another one after every change."""
    return f"v{task.version}"


def new_lease(duration: int) -> Lease:
    """A lease with a token that nobody can guess."""
    return Lease(token=secrets.token_urlsafe(16), duration=duration)


def require_task(snapshot: Snapshot, team_id: str, task_id: str, field: str = "task_id") -> Task:
    """A task that was not deleted."""
    task = tasks.find(snapshot, team_id, task_id)
    if task is None or task.delete_time is not None:
        raise task_not_found(field, task_id, deleted=task is not None)
    return task


def task_not_found(field: str, task_id: str, *, deleted: bool = False) -> NotFoundError:
    """The answer where a request names a task that is not there."""
    return NotFoundError(
        Reason.TASK_NOT_FOUND,
        f"{field}: no task {task_id!r}" + (", it was deleted" if deleted else ""),
        metadata={"task_id": task_id, "deleted": str(deleted).lower()},
    )


def require_agent(snapshot: Snapshot, caller: Caller, agent_id: str) -> None:
    """An agent must be known; the caller becomes known by this very call."""
    if agent_id not in ("", caller.agent_id):
        agents.require(snapshot, caller.team_id, [agent_id])


def check_access(caller: Caller, verb: TaskVerb, task: Task) -> None:
    """Refuse what is another's."""
    owner_ids = owners(verb, task)
    if owner_ids is not None:
        caller.require_own(f"task {task.task_id!r}", *owner_ids)


def check_acknowledged(snapshot: Snapshot, caller: Caller, options: ChangeOptions) -> None:
    """Refuse to acknowledge what the caller's inbox has not reached."""
    if options.acknowledge:
        agent_id = caller.require_agent("acknowledging")
        last = agents.require(snapshot, caller.team_id, [agent_id])[agent_id]
        check_reached(max(options.acknowledge), last)


def find_repeat(snapshot: Snapshot, caller: Caller, options: ChangeOptions) -> TaskChange | None:
    """What an earlier request with this id did, with the task as it is now."""
    if options.repeat is None:
        return None
    event = events.find_repeat(snapshot, caller.team_id, caller.agent_id, options.repeat)
    if event is None or event.repeat is None:
        return None
    check_same_request(options.repeat, event.repeat.request_hash)
    task = require_task(snapshot, caller.team_id, event.task_id)
    return TaskChange(
        task=task,
        notices=recording.notices_of(snapshot, caller.team_id, event),
        event_number=event.number,
    )


def _check_lease(snapshot: Snapshot, team_id: str, task: Task, token: str) -> None:
    """A task that is held is its holder's alone; a token that holds nothing tells its bearer so."""
    if token and not secrets.compare_digest(token.encode(), task.lease_token.encode()):
        last = events.last(snapshot, team_id, task.task_id)
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


def _check_etag(task: Task, expected: str) -> None:
    if expected and expected != etag(task):
        raise AbortedError(
            Reason.ETAG_MISMATCH,
            f"etag: task {task.task_id!r} has changed: its etag is {etag(task)!r},"
            f" not {expected!r}; read it again",
            metadata={"task_id": task.task_id, "etag": etag(task)},
        )
