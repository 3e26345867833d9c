"""What the contract says of tasks, typed by hand: all tests expect this, and nothing else.

Nothing here is read from the server's own tables; `tests/tasks/test_states.py` compares the two.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.tasks.v1 import tasks_pb2 as pb

PENDING = pb.TASK_STATE_PENDING
IN_PROGRESS = pb.TASK_STATE_IN_PROGRESS
INPUT_REQUIRED = pb.TASK_STATE_INPUT_REQUIRED
COMPLETED = pb.TASK_STATE_COMPLETED
FAILED = pb.TASK_STATE_FAILED
CANCELLED = pb.TASK_STATE_CANCELLED
STATES = {
    "PENDING": PENDING,
    "IN_PROGRESS": IN_PROGRESS,
    "INPUT_REQUIRED": INPUT_REQUIRED,
    "COMPLETED": COMPLETED,
    "FAILED": FAILED,
    "CANCELLED": CANCELLED,
}
HELD = (IN_PROGRESS, INPUT_REQUIRED)
ENDED = (COMPLETED, FAILED, CANCELLED)

# Where each verb leads from each state. A dash: the state refuses the verb. "!" is with force,
# "~" with attempts left. A deleted task stays in its state.
TRANSITIONS = """
    verb           PENDING      IN_PROGRESS     INPUT_REQUIRED  COMPLETED    FAILED       CANCELLED
    update         PENDING      IN_PROGRESS     INPUT_REQUIRED  -            -            -
    delete         PENDING      -               -               COMPLETED    FAILED       CANCELLED
    assign         PENDING      -               -               -            -            -
    assign!        PENDING      PENDING         PENDING         -            -            -
    unassign       PENDING      -               -               -            -            -
    unassign!      PENDING      PENDING         PENDING         -            -            -
    claim          IN_PROGRESS  -               -               -            -            -
    start          IN_PROGRESS  -               -               -            -            -
    heartbeat      -            IN_PROGRESS     INPUT_REQUIRED  -            -            -
    release        -            PENDING         PENDING         -            -            -
    request-input  -            INPUT_REQUIRED  -               -            -            -
    provide-input  -            -               IN_PROGRESS     -            -            -
    complete       -            COMPLETED       -               -            -            -
    fail           FAILED       FAILED          FAILED          -            -            -
    fail~          -            PENDING         -               -            -            -
    cancel         CANCELLED    CANCELLED       CANCELLED       -            -            -
    reopen         -            -               -               PENDING      PENDING      PENDING
    expire-lease   -            FAILED          -               -            -            -
    expire-lease~  -            PENDING         -               -            -            -
"""
HEAD, *ROWS = [line.split() for line in TRANSITIONS.strip().splitlines()]
LEADS = {
    (row[0], state): cell for row in ROWS for state, cell in zip(HEAD[1:], row[1:], strict=True)
}
"""The state to which a row of the table leads from a state, or a dash."""


def row_of(verb: str) -> str:
    """What a verb is called here, of its name in the contract."""
    return verb.lower().replace("_", "-")


def leads(row: str, state: str) -> str:
    """Where a verb leads from a state that allows it; with "!" or "~" also as without."""
    marked = LEADS[row, state]
    return LEADS[row.rstrip("!~"), state] if marked == "-" else marked


# The notices of a change: its verb, each notice's, who gets it. None goes to who made the change.
_NOTICES = """
    create           ASSIGN           assignee
    assign           ASSIGN           assignee
    assign           UNASSIGN         former
    unassign         UNASSIGN         former
    update           UPDATE           assignee
    delete           DELETE           assignee
    claim            -
    start            -
    heartbeat        -
    release          -
    request-input    REQUEST_INPUT    asked
    provide-input    PROVIDE_INPUT    assignee
    complete         COMPLETE         assignee creator
    fail             FAIL             assignee creator
    fail~            RETRY            creator
    cancel           CANCEL           assignee creator
    reopen           REOPEN           assignee creator
    expire-lease     EXPIRE_LEASE     assignee former creator
    become-ready     BECOME_READY     assignee
    fail-dependency  FAIL_DEPENDENCY  creator
    become-overdue   BECOME_OVERDUE   assignee creator
    keep-late-result KEEP_LATE_RESULT creator
    spend-budget     SPEND_BUDGET     creator
"""
NOTICES: dict[str, list[tuple[str, list[str]]]] = {}
for _change, _verb, *_audience in map(str.split, _NOTICES.strip().splitlines()):
    NOTICES.setdefault(_change, []).extend([(_verb, _audience)] if _audience else [])

WITHDRAWN_BY_CANCEL = (
    *("ASSIGN", "UPDATE", "REOPEN", "BECOME_READY", "BECOME_OVERDUE"),
    *("REQUEST_INPUT", "PROVIDE_INPUT"),
)
"""The notices of a task that its cancelling takes back from those who have not read them."""

LEASE_VERBS = ("heartbeat", "release", "request-input", "complete", "fail")
"""What needs the token of the task's lease, while there is one."""

REQUESTS: dict[str, Any] = {
    "update": pb.UpdateTaskRequest,
    "delete": pb.DeleteTaskRequest,
    "assign": pb.AssignTaskRequest,
    "unassign": pb.UnassignTaskRequest,
    "start": pb.StartTaskRequest,
    "heartbeat": pb.HeartbeatTaskRequest,
    "release": pb.ReleaseTaskRequest,
    "request-input": pb.RequestTaskInputRequest,
    "provide-input": pb.ProvideTaskInputRequest,
    "complete": pb.CompleteTaskRequest,
    "fail": pb.FailTaskRequest,
    "cancel": pb.CancelTaskRequest,
    "reopen": pb.ReopenTaskRequest,
}
# Which steps bring a new, unassigned task into a state.
STEPS = {
    PENDING: (),
    IN_PROGRESS: ("start",),
    INPUT_REQUIRED: ("start", "request-input"),
    COMPLETED: ("start", "complete"),
    FAILED: ("start", "fail"),
    CANCELLED: ("cancel",),
}


def request(verb: str, task_id: str, **fields: Any) -> Any:
    """A request that does something to a task; what is required has a default."""
    if verb == "update":
        values = fields.pop("values", {"title": "another title"})
        task = pb.Task(task_id=task_id, **values)
        return pb.UpdateTaskRequest(task=task, update_mask=FieldMask(paths=values), **fields)
    if verb == "fail":
        fields.setdefault("failure", pb.TaskFailure(message="it broke"))
    if verb in ("request-input", "provide-input"):
        fields.setdefault("text", "which one?" if verb == "request-input" else "this one")
    return REQUESTS[verb](task_id=task_id, **fields)
