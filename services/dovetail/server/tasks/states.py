"""The state machine of a task: tables, which the code, the docs and the tests read."""

from __future__ import annotations

from enum import Enum, StrEnum

from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.store.records import Task, TaskState

PENDING, IN_PROGRESS = TaskState.PENDING, TaskState.IN_PROGRESS
INPUT_REQUIRED = TaskState.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED


class Verb(StrEnum):
    """What can be done to a task, and what befalls it."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    CLAIM = "claim"
    START = "start"
    HEARTBEAT = "heartbeat"
    RELEASE = "release"
    REQUEST_INPUT = "request-input"
    PROVIDE_INPUT = "provide-input"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REOPEN = "reopen"
    LOSE_LEASE = "lose-lease"
    BECOME_READY = "become-ready"
    LOSE_DEPENDENCY = "lose-dependency"
    BECOME_OVERDUE = "become-overdue"


# From which state a verb leads to which. Where there is no entry the state refuses the verb.
TRANSITIONS: dict[Verb, dict[TaskState, TaskState]] = {
    Verb.UPDATE: {
        PENDING: PENDING,
        IN_PROGRESS: IN_PROGRESS,
        INPUT_REQUIRED: INPUT_REQUIRED,
    },
    Verb.DELETE: {
        PENDING: PENDING,
        COMPLETED: COMPLETED,
        FAILED: FAILED,
        CANCELLED: CANCELLED,
    },
    Verb.ASSIGN: {PENDING: PENDING},
    Verb.UNASSIGN: {PENDING: PENDING},
    Verb.CLAIM: {PENDING: IN_PROGRESS},
    Verb.START: {PENDING: IN_PROGRESS},
    Verb.HEARTBEAT: {IN_PROGRESS: IN_PROGRESS, INPUT_REQUIRED: INPUT_REQUIRED},
    Verb.RELEASE: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
    Verb.REQUEST_INPUT: {IN_PROGRESS: INPUT_REQUIRED},
    Verb.PROVIDE_INPUT: {INPUT_REQUIRED: IN_PROGRESS},
    Verb.COMPLETE: {IN_PROGRESS: COMPLETED},
    Verb.FAIL: {PENDING: FAILED, IN_PROGRESS: FAILED, INPUT_REQUIRED: FAILED},
    Verb.CANCEL: {PENDING: CANCELLED, IN_PROGRESS: CANCELLED, INPUT_REQUIRED: CANCELLED},
    Verb.REOPEN: {COMPLETED: PENDING, FAILED: PENDING, CANCELLED: PENDING},
    Verb.LOSE_LEASE: {IN_PROGRESS: FAILED},
}

# What `force` allows besides: the work of the present holder is taken away.
FORCED: dict[Verb, dict[TaskState, TaskState]] = {
    Verb.ASSIGN: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
    Verb.UNASSIGN: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
}

# Where a verb leads instead while the task has attempts left.
RETRIED: dict[Verb, dict[TaskState, TaskState]] = {
    Verb.FAIL: {IN_PROGRESS: PENDING},
    Verb.LOSE_LEASE: {IN_PROGRESS: PENDING},
}

# What befalls a task without a caller's doing.
BEFALLS = frozenset({Verb.LOSE_LEASE, Verb.BECOME_READY, Verb.LOSE_DEPENDENCY, Verb.BECOME_OVERDUE})

# What a task under a lease grants to the holder of its token alone.
HOLDERS = frozenset({Verb.HEARTBEAT, Verb.RELEASE, Verb.REQUEST_INPUT, Verb.COMPLETE, Verb.FAIL})


class Part(Enum):
    """A part that an agent can have in a task."""

    CREATOR = "creator"
    ASSIGNEE = "assignee"
    ASKED = "the agent that was asked"


_CREATOR, _ASSIGNEE, _ASKED = (Part.CREATOR,), (Part.ASSIGNEE,), (Part.ASKED,)
_BOTH = _CREATOR + _ASSIGNEE

# Whose own a task is for a verb, where that matters: the parts that an agent must have one of.
PARTS: dict[Verb, dict[TaskState, tuple[Part, ...]]] = {
    Verb.UPDATE: dict.fromkeys(TaskState, _CREATOR),
    Verb.DELETE: dict.fromkeys(TaskState, _CREATOR),
    Verb.ASSIGN: dict.fromkeys(TaskState, _CREATOR),
    Verb.UNASSIGN: dict.fromkeys(TaskState, _CREATOR),
    Verb.CANCEL: dict.fromkeys(TaskState, _CREATOR),
    Verb.REOPEN: dict.fromkeys(TaskState, _CREATOR),
    Verb.HEARTBEAT: dict.fromkeys(TaskState, _ASSIGNEE),
    Verb.RELEASE: dict.fromkeys(TaskState, _ASSIGNEE),
    Verb.REQUEST_INPUT: dict.fromkeys(TaskState, _ASSIGNEE),
    Verb.PROVIDE_INPUT: dict.fromkeys(TaskState, _ASKED),
    Verb.COMPLETE: dict.fromkeys(TaskState, _BOTH),
    Verb.FAIL: {
        **dict.fromkeys(TaskState, _BOTH),
        PENDING: _CREATOR,
        IN_PROGRESS: _ASSIGNEE,
        INPUT_REQUIRED: _ASSIGNEE,
    },
}


def owners(verb: Verb, task: Task) -> tuple[str, ...] | None:
    """The agents whose own the task is for a verb; None where it is anybody's."""
    parts = PARTS.get(verb, {}).get(task.state)
    if parts is None:
        return None
    agents = {
        Part.CREATOR: task.creator_id,
        Part.ASSIGNEE: task.assignee_id,
        Part.ASKED: task.question_agent_id,
    }
    return tuple(agents[part] for part in parts)


def next_state(verb: Verb, task: Task, *, force: bool = False) -> TaskState:
    """Where the verb leads, or FailedPreconditionError with the verbs that the state allows."""
    state = TRANSITIONS[verb].get(task.state)
    forced = FORCED.get(verb, {}).get(task.state)
    if state is not None:
        return state
    if forced is not None and force:
        return forced
    allowed = allowed_verbs(task.state)
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


def allowed_verbs(state: TaskState) -> list[str]:
    """What callers may do in a state."""
    return [
        verb.value for verb, moves in TRANSITIONS.items() if state in moves and verb not in BEFALLS
    ]
