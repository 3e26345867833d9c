"""The state machine of a task: tables, which the code, the docs and the tests read."""

from __future__ import annotations

from enum import Enum

from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState

PENDING, IN_PROGRESS = TaskState.PENDING, TaskState.IN_PROGRESS
INPUT_REQUIRED = TaskState.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED


# From which state a verb leads to which. Where there is no entry the state refuses the verb.
TRANSITIONS: dict[TaskVerb, dict[TaskState, TaskState]] = {
    TaskVerb.UPDATE: {
        PENDING: PENDING,
        IN_PROGRESS: IN_PROGRESS,
        INPUT_REQUIRED: INPUT_REQUIRED,
    },
    TaskVerb.DELETE: {
        PENDING: PENDING,
        COMPLETED: COMPLETED,
        FAILED: FAILED,
        CANCELLED: CANCELLED,
    },
    TaskVerb.ASSIGN: {PENDING: PENDING},
    TaskVerb.UNASSIGN: {PENDING: PENDING},
    TaskVerb.CLAIM: {PENDING: IN_PROGRESS},
    TaskVerb.START: {PENDING: IN_PROGRESS},
    TaskVerb.HEARTBEAT: {IN_PROGRESS: IN_PROGRESS, INPUT_REQUIRED: INPUT_REQUIRED},
    TaskVerb.RELEASE: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
    TaskVerb.REQUEST_INPUT: {IN_PROGRESS: INPUT_REQUIRED},
    TaskVerb.PROVIDE_INPUT: {INPUT_REQUIRED: IN_PROGRESS},
    TaskVerb.COMPLETE: {IN_PROGRESS: COMPLETED},
    TaskVerb.FAIL: {PENDING: FAILED, IN_PROGRESS: FAILED, INPUT_REQUIRED: FAILED},
    TaskVerb.CANCEL: {PENDING: CANCELLED, IN_PROGRESS: CANCELLED, INPUT_REQUIRED: CANCELLED},
    TaskVerb.REOPEN: {COMPLETED: PENDING, FAILED: PENDING, CANCELLED: PENDING},
    TaskVerb.EXPIRE_LEASE: {IN_PROGRESS: FAILED},
}

# What `force` allows besides: the work of the present holder is taken away.
FORCED: dict[TaskVerb, dict[TaskState, TaskState]] = {
    TaskVerb.ASSIGN: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
    TaskVerb.UNASSIGN: {IN_PROGRESS: PENDING, INPUT_REQUIRED: PENDING},
}

# Where a verb leads instead while the task has attempts left.
RETRIED: dict[TaskVerb, dict[TaskState, TaskState]] = {
    TaskVerb.FAIL: {IN_PROGRESS: PENDING},
    TaskVerb.EXPIRE_LEASE: {IN_PROGRESS: PENDING},
}

# What happens to a task without a call that is for it.
SYSTEM_VERBS = frozenset(
    {
        TaskVerb.EXPIRE_LEASE,
        TaskVerb.BECOME_READY,
        TaskVerb.FAIL_DEPENDENCY,
        TaskVerb.BECOME_OVERDUE,
        TaskVerb.KEEP_LATE_RESULT,
        TaskVerb.SPEND_BUDGET,
    }
)

# While a task has a lease, these need its token.
LEASE_VERBS = frozenset(
    {TaskVerb.HEARTBEAT, TaskVerb.RELEASE, TaskVerb.REQUEST_INPUT, TaskVerb.COMPLETE, TaskVerb.FAIL}
)


class TaskRole(Enum):
    """A part that an agent can have in a task."""

    CREATOR = "creator"
    ASSIGNEE = "assignee"
    ASKED = "the agent that was asked"


_CREATOR, _ASSIGNEE, _ASKED = (TaskRole.CREATOR,), (TaskRole.ASSIGNEE,), (TaskRole.ASKED,)
_BOTH = _CREATOR + _ASSIGNEE

# Whose own a task is for a verb, where that matters: the parts that an agent must have one of.
OWNERS: dict[TaskVerb, dict[TaskState, tuple[TaskRole, ...]]] = {
    TaskVerb.UPDATE: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.DELETE: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.ASSIGN: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.UNASSIGN: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.CANCEL: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.REOPEN: dict.fromkeys(TaskState, _CREATOR),
    TaskVerb.HEARTBEAT: dict.fromkeys(TaskState, _ASSIGNEE),
    TaskVerb.RELEASE: dict.fromkeys(TaskState, _ASSIGNEE),
    TaskVerb.REQUEST_INPUT: dict.fromkeys(TaskState, _ASSIGNEE),
    TaskVerb.PROVIDE_INPUT: dict.fromkeys(TaskState, _ASKED),
    TaskVerb.COMPLETE: dict.fromkeys(TaskState, _BOTH),
    TaskVerb.FAIL: {
        **dict.fromkeys(TaskState, _BOTH),
        PENDING: _CREATOR,
        IN_PROGRESS: _ASSIGNEE,
        INPUT_REQUIRED: _ASSIGNEE,
    },
}


def owners(verb: TaskVerb, task: Task) -> tuple[str, ...] | None:
    """The agents whose own the task is for a verb; None where it is anybody's."""
    parts = OWNERS.get(verb, {}).get(task.state)
    if parts is None:
        return None
    agents = {
        TaskRole.CREATOR: task.creator_id,
        TaskRole.ASSIGNEE: task.assignee_id,
        TaskRole.ASKED: task.question_agent_id,
    }
    return tuple(agents[part] for part in parts)


def next_state(verb: TaskVerb, task: Task, *, force: bool = False) -> TaskState:
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
        f"cannot {verb.words} task {task.task_id!r}: it is {task.state.name}{hint}."
        f" Allowed: {', '.join(each.words for each in allowed)}",
        metadata={
            "task_id": task.task_id,
            "state": task.state.name,
            "allowed_verbs": ",".join(each.name for each in allowed),
            "force_allows": str(forced is not None).lower(),
        },
    )


def allowed_verbs(state: TaskState) -> list[TaskVerb]:
    """What callers may do in a state."""
    return [
        verb for verb, moves in TRANSITIONS.items() if state in moves and verb not in SYSTEM_VERBS
    ]
