"""The state machine of a task: one table, which the code, the docs and the tests read."""

from __future__ import annotations

from enum import Enum, StrEnum

from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.store.records import Task, TaskState

PENDING, IN_PROGRESS = TaskState.PENDING, TaskState.IN_PROGRESS
COMPLETED, FAILED, CANCELLED = TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED


class Verb(StrEnum):
    """What can be done to a task."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REOPEN = "reopen"


# From which state a verb leads to which. Where there is no entry the state refuses the verb.
TRANSITIONS: dict[Verb, dict[TaskState, TaskState]] = {
    Verb.UPDATE: {PENDING: PENDING, IN_PROGRESS: IN_PROGRESS},
    Verb.DELETE: {
        PENDING: PENDING,
        COMPLETED: COMPLETED,
        FAILED: FAILED,
        CANCELLED: CANCELLED,
    },
    Verb.ASSIGN: {PENDING: PENDING},
    Verb.UNASSIGN: {PENDING: PENDING},
    Verb.START: {PENDING: IN_PROGRESS},
    Verb.COMPLETE: {IN_PROGRESS: COMPLETED},
    Verb.FAIL: {PENDING: FAILED, IN_PROGRESS: FAILED},
    Verb.CANCEL: {PENDING: CANCELLED, IN_PROGRESS: CANCELLED},
    Verb.REOPEN: {COMPLETED: PENDING, FAILED: PENDING, CANCELLED: PENDING},
}

# What `force` allows besides: the work of the present holder is taken away.
FORCED: dict[Verb, dict[TaskState, TaskState]] = {
    Verb.ASSIGN: {IN_PROGRESS: PENDING},
    Verb.UNASSIGN: {IN_PROGRESS: PENDING},
}


class Part(Enum):
    """A part that an agent can have in a task."""

    CREATOR = "creator"
    ASSIGNEE = "assignee"


CREATOR, ASSIGNEE = (Part.CREATOR,), (Part.ASSIGNEE,)

# Whose own a task is for a verb, where that matters: the parts that an agent must have one of.
PARTS: dict[Verb, dict[TaskState, tuple[Part, ...]]] = {
    **{
        verb: dict.fromkeys(TaskState, CREATOR)
        for verb in (
            *(Verb.UPDATE, Verb.DELETE, Verb.ASSIGN, Verb.UNASSIGN),
            *(Verb.CANCEL, Verb.REOPEN),
        )
    },
    Verb.COMPLETE: dict.fromkeys(TaskState, CREATOR + ASSIGNEE),
    Verb.FAIL: {
        **dict.fromkeys(TaskState, CREATOR + ASSIGNEE),
        PENDING: CREATOR,
        IN_PROGRESS: ASSIGNEE,
    },
}


def owners(verb: Verb, task: Task) -> tuple[str, ...] | None:
    """The agents whose own the task is for a verb; None where it is anybody's."""
    parts = PARTS.get(verb, {}).get(task.state)
    if parts is None:
        return None
    agents = {Part.CREATOR: task.creator_id, Part.ASSIGNEE: task.assignee_id}
    return tuple(agents[part] for part in parts)


def next_state(verb: Verb, task: Task, *, force: bool = False) -> TaskState:
    """Where the verb leads, or FailedPreconditionError with the verbs that the state allows."""
    state = TRANSITIONS[verb].get(task.state)
    forced = FORCED.get(verb, {}).get(task.state)
    if state is not None:
        return state
    if forced is not None and force:
        return forced
    allowed = [known.value for known, moves in TRANSITIONS.items() if task.state in moves]
    hint = "; with force it may" if forced is not None else ""
    raise FailedPreconditionError(
        Reason.TASK_STATE,
        f"cannot {verb} task {task.task_id!r}: it is {task.state.name}{hint}."
        f" Allowed: {', '.join(allowed)}",
        metadata={
            "task_id": task.task_id,
            "state": task.state.name,
            "allowed_verbs": ",".join(allowed),
            "force_allows": str(forced is not None).lower(),
        },
    )
