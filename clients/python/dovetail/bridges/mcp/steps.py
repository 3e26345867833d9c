"""What a failed call means to a model: what is wrong, and the next step by a tool."""

from __future__ import annotations

from dovetail import client
from dovetail.bridges.fences import one_line

TEXT_CHARACTERS = 1_000
TELL = "Tell your user."
CORRECT = "Correct it and call again."

STEPS = {
    "AGENT_NOT_FOUND": "list_agents shows the ids.",
    "MESSAGE_NOT_FOUND": "receive_messages shows the ids.",
    "ATTACHMENT_NOT_FOUND": "Take one that it has.",
    "LOOP_SUSPECTED": "Do not go on with this exchange. If it is new work, leave out reply_to."
    f" Else: {TELL}",
    "TASK_NOT_FOUND": "list_tasks shows the ids.",
    "TASK_EXISTS": "get_task shows it.",
    "TASK_STATE": "get_task shows what happened to it.",
    "TASK_NOT_READY": "get_task shows what it waits for; claim_task without a task_id takes a ready"
    " one.",
    "ASSIGNED_TO_ANOTHER": "Leave it to its assignee, or take it: update_task reassign.",
    "LEASE_LOST": "Stop working on it. get_task shows whose it is; claim_task takes it if it is"
    " ready.",
    "LEASE_TOKEN_REQUIRED": "Another session holds it. If that was yours and has ended, its lease"
    " expires within minutes: then claim_task takes it. To take it away: update_task reassign.",
    "BUDGET_SPENT": "Ask its creator for a larger budget: send_message.",
    "REQUEST_ID_REUSED": "Use another request_id: this one was used for other content.",
    "ETAG_MISMATCH": "Read it again: get_task.",
    "DEPENDENCY_CYCLE": "Leave out one of depends_on.",
    "PARENT_CYCLE": "Choose another parent.",
    "REQUEST_TOO_LARGE": "Send less, or say where the content is.",
    "REQUEST_LATE": "Try again.",
    "INVALID_FIELDS": CORRECT,
    "TOO_MANY_TASKS": "Finish or cancel some first.",
    "STORE_BUSY": "Try again in a minute.",
    "SERVER_STOPPING": "Try again in a minute.",
    "STORE_UNAVAILABLE": f"Try again in a minute. If it goes on: {TELL}",
    "CALLER_AGENT_REQUIRED": f"This session has no agent: start it with DOVETAIL_AGENT. {TELL}",
}
"""One next step for a reason. Of all others a model can only tell."""

SILENT = f"The servers do not answer. Try again in a minute. If it goes on: {TELL}"
UNKNOWN = (
    "No answer in time: it may have been done. Look first (get_task, list_tasks), then repeat."
)


class RefusedError(Exception):
    """What a tool cannot do. Its text is all that the model sees, and ends with the next step."""


def explain(error: client.DovetailError) -> str:
    """What is wrong, and the next step."""
    if isinstance(error, client.UnavailableError) and not error.reason:
        return SILENT
    if not error.reason:
        return UNKNOWN
    faults = "; ".join(f"{each.field}: {each.description}" for each in error.violations)
    text = one_line(faults or str(error), TEXT_CHARACTERS).rstrip(".")
    return f"{text}. {STEPS.get(error.reason, TELL)}"
