"""A failed call as the end of a command: its exit code, and the line on standard error."""

from __future__ import annotations

from dovetail import client
from dovetail.cli.output.exit_codes import (
    FAILED,
    INVALID,
    NO_ANSWER,
    NOT_FOUND,
    REFUSED,
    Cause,
    CommandError,
)

EXIT_CODES: dict[type[client.DovetailError], int] = {
    client.NotFoundError: NOT_FOUND,
    client.AlreadyExistsError: REFUSED,
    client.FailedPreconditionError: REFUSED,
    client.AbortedError: REFUSED,
    client.OutOfRangeError: REFUSED,
    client.PermissionDeniedError: REFUSED,
    client.UnauthenticatedError: REFUSED,
    client.InvalidArgumentError: INVALID,
    client.UnavailableError: NO_ANSWER,
    client.DeadlineExceededError: NO_ANSWER,
    client.CallCancelledError: NO_ANSWER,
}
"""Other errors end with FAILED."""

NEXT_STEPS = {
    "AGENT_NOT_FOUND": "See all agents: dovetail agent list. Add one: dovetail agent register",
    "MESSAGE_NOT_FOUND": "See all messages: dovetail message list",
    "TASK_NOT_FOUND": "See all tasks: dovetail task list",
    "TASK_EXISTS": "Choose another --id, or leave it out",
    "TASK_STATE": "See its state: dovetail task show",
    "TASK_NOT_READY": "See what it waits for: dovetail task graph",
    "TASK_DEPENDED_ON": "See what waits for it: dovetail task graph. Or: dovetail task cancel",
    "DEPENDENCY_CYCLE": "Leave out one --depends-on of that path",
    "LEASE_TOKEN_REQUIRED": "Only its holder may: --lease-token, or DOVETAIL_LEASE_TOKEN. To take"
    " it away: dovetail task assign --force, or unassign --force",
    "LEASE_LOST": "Stop working on it. See its state: dovetail task show",
    "TOO_MANY_TASKS": "See how tasks depend on each other: dovetail task graph",
    "ETAG_MISMATCH": "Read it again: dovetail task show",
    "TOO_MANY_BUCKETS": "Use a longer --bucket",
    "ASSIGNED_TO_ANOTHER": "Give it to another: dovetail task assign",
    "REQUEST_ID_REUSED": "Use a new --request-id for a new request",
    "STORE_FULL": "Make room on the server's disk; nothing was written",
    "CALLER_AGENT_REQUIRED": "Use an agent's token, which an admin creates: dovetail token create"
    " --agent AGENT. On servers without credentials: --as AGENT",
    "CREDENTIAL_REQUIRED": "Name the file of your token: --token-file FILE, or DOVETAIL_TOKEN_FILE",
    "CREDENTIAL_UNKNOWN": "See which token is used: dovetail config. Ask an admin for another",
    "CREDENTIAL_ENDED": "Ask an admin for another: dovetail token create, or dovetail token rotate",
    "CALLER_MISMATCH": "Leave out --as and --team (see dovetail config): the token has both",
    "ROLE_REFUSED": "Use a token of another role: --token-file FILE. An admin creates one",
    "NOT_YOURS": "Use the token of its owner, or of an operator: --token-file FILE",
    "TEAM_NOT_FOUND": "See all teams: dovetail team list. Add one: dovetail team create",
    "CREDENTIAL_NOT_FOUND": "See all credentials: dovetail token list",
    "CREDENTIAL_NOT_ROTATABLE": "Create another: dovetail token create",
    "INTERNAL": "The server's log says more",
}


START = "Start it with: dovetail up"
MORE_TIME = "Check before you repeat it, or allow more time: --timeout"


def command_error(error: client.DovetailError) -> CommandError:
    """The end of a command, made from the error of a failed call."""
    code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)
    message, hint = explain(error)
    wrong = [{"field": each.field, "description": each.description} for each in error.violations]
    cause = Cause(reason=error.reason, violations=wrong, metadata=error.metadata)
    return CommandError(message, code, hint=hint, cause=cause)


def describe(error: client.DovetailError) -> str:
    """What is wrong, and the reason in brackets, without a hint."""
    message, _ = explain(error)
    return f"{message} [{error.reason}]" if error.reason else message


def explain(error: client.DovetailError) -> tuple[str, str]:
    """What is wrong, and a hint what to do next; empty if none is known."""
    if error.reason:
        wrong = "; ".join(f"{fault.field}: {fault.description}" for fault in error.violations)
        return wrong or str(error), NEXT_STEPS.get(error.reason, "")
    if isinstance(error, client.UnavailableError):
        message = str(error).removesuffix(f" {START}")
        return message, START if message.endswith("running?") else ""
    if isinstance(error, client.DeadlineExceededError):
        doubt = "the call may have taken effect, or still do"
        return f"no answer from {error.address} in time: {doubt}", MORE_TIME
    return f"{error} [{type(error).__name__}]", ""
