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
from dovetail.cli.output.hints import Explanation, refusal

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


START = "Start it with: dovetail up"
ADDRESS = "See which address is used: dovetail config"
MORE_TIME = "Check before you repeat it, or allow more time: --timeout"


def command_error(error: client.DovetailError) -> CommandError:
    """The end of a command, made from the error of a failed call."""
    code = next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), FAILED)
    found = explain(error)
    wrong = [{"field": each.field, "description": each.description} for each in error.violations]
    cause = Cause(reason=error.reason, violations=wrong, metadata=error.metadata)
    return CommandError(found.message, code, hint=found.hint, cause=cause)


def describe(error: client.DovetailError) -> str:
    """What is wrong, and the reason in brackets, without a hint."""
    message = explain(error).message
    return f"{message} [{error.reason}]" if error.reason else message


def explain(error: client.DovetailError) -> Explanation:
    """What is wrong, and a hint what to do next; empty if none is known."""
    if error.reason:
        return refusal(error)
    if isinstance(error, client.UnavailableError):
        message = str(error).removesuffix(f" {START}")
        if not message.endswith("running?"):
            return Explanation(message=message)
        return Explanation(message=message, hint=START if message != str(error) else ADDRESS)
    if isinstance(error, client.DeadlineExceededError):
        doubt = "the call may have taken effect, or still do"
        message = f"no answer from {error.address} in time: {doubt}"
        return Explanation(message=message, hint=MORE_TIME)
    return Explanation(message=f"{error} [{type(error).__name__}]")


def is_refusal_of_admin(error: client.DovetailError) -> bool:
    """Whether a call was refused because an admin made it: an admin sees no team."""
    return (error.reason, error.metadata.get("role")) == ("ROLE_REFUSED", "ADMIN")
