"""The errors of Dovetail, each a class named for its status. Nothing of gRPC is here.

DovetailError
├── InvalidArgumentError     the request is wrong, whatever the state
├── NotFoundError            something it names does not exist
├── AlreadyExistsError       something it creates exists
├── UnauthenticatedError     the caller is not known
├── PermissionDeniedError    the caller may not do this
├── FailedPreconditionError  the state does not allow it
├── AbortedError             another change came first
├── OutOfRangeError          a position beyond the legal range
├── ResourceExhaustedError   a limit or the disk is full
├── UnavailableError         try again: the outcome is unknown
└── InternalError            a fault of ours: the outcome is unknown
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

DOMAIN = "dovetail.dev"


class Reason(StrEnum):
    """The closed list of reasons; `docs/reference/errors.md` says what to do about each."""

    INVALID_FIELDS = "INVALID_FIELDS"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    REQUEST_LATE = "REQUEST_LATE"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    INVALID_CALLER = "INVALID_CALLER"
    CALLER_AGENT_REQUIRED = "CALLER_AGENT_REQUIRED"
    CREDENTIAL_REQUIRED = "CREDENTIAL_REQUIRED"
    CREDENTIAL_UNKNOWN = "CREDENTIAL_UNKNOWN"
    CREDENTIAL_ENDED = "CREDENTIAL_ENDED"
    CALLER_MISMATCH = "CALLER_MISMATCH"
    ROLE_REFUSED = "ROLE_REFUSED"
    NOT_YOURS = "NOT_YOURS"
    TEAM_NOT_FOUND = "TEAM_NOT_FOUND"
    CREDENTIAL_NOT_FOUND = "CREDENTIAL_NOT_FOUND"
    CREDENTIAL_NOT_ROTATABLE = "CREDENTIAL_NOT_ROTATABLE"
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    AGENT_HAS_WORK = "AGENT_HAS_WORK"
    GROUP_NOT_FOUND = "GROUP_NOT_FOUND"
    NO_RECIPIENTS = "NO_RECIPIENTS"
    TOO_MANY_RECIPIENTS = "TOO_MANY_RECIPIENTS"
    TOO_MANY_GROUPS = "TOO_MANY_GROUPS"
    MESSAGE_NOT_FOUND = "MESSAGE_NOT_FOUND"
    ATTACHMENT_NOT_FOUND = "ATTACHMENT_NOT_FOUND"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    DELIVERY_ACKNOWLEDGED = "DELIVERY_ACKNOWLEDGED"
    NOTICE_NOT_WITHDRAWABLE = "NOTICE_NOT_WITHDRAWABLE"
    LOOP_SUSPECTED = "LOOP_SUSPECTED"
    TASK_EXISTS = "TASK_EXISTS"
    TASK_STATE = "TASK_STATE"
    ASSIGNED_TO_ANOTHER = "ASSIGNED_TO_ANOTHER"
    TASK_NOT_READY = "TASK_NOT_READY"
    BUDGET_SPENT = "BUDGET_SPENT"
    TASK_DEPENDED_ON = "TASK_DEPENDED_ON"
    DEPENDENCY_CYCLE = "DEPENDENCY_CYCLE"
    PARENT_CYCLE = "PARENT_CYCLE"
    LEASE_TOKEN_REQUIRED = "LEASE_TOKEN_REQUIRED"
    LEASE_LOST = "LEASE_LOST"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    TOO_MANY_TASKS = "TOO_MANY_TASKS"
    TOO_MANY_BUCKETS = "TOO_MANY_BUCKETS"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    CURSOR_IN_FUTURE = "CURSOR_IN_FUTURE"
    CURSOR_TOO_OLD = "CURSOR_TOO_OLD"
    INBOX_FULL = "INBOX_FULL"
    TEAM_FULL = "TEAM_FULL"
    QUERY_TOO_LONG = "QUERY_TOO_LONG"
    SEARCH_NOT_READY = "SEARCH_NOT_READY"
    STORE_FULL = "STORE_FULL"
    STORE_BUSY = "STORE_BUSY"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SERVER_STOPPING = "SERVER_STOPPING"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, kw_only=True)
class FieldViolation:
    """One field of a request that is wrong, and what would be right."""

    field: str
    description: str


class DovetailError(Exception):
    """A refusal or failure: a reason, a sentence for people, and details for programs."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        """Create an error; `retry_after` is in seconds, None if a retry does not help."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgumentError(DovetailError):
    """The request is wrong, whatever the state."""


class NotFoundError(DovetailError):
    """Something that the request names does not exist."""


class AlreadyExistsError(DovetailError):
    """Something that the request creates exists already."""


class UnauthenticatedError(DovetailError):
    """The caller is not known: a token is missing, unknown, or has ended."""


class PermissionDeniedError(DovetailError):
    """The caller is known, and may not do this."""


class FailedPreconditionError(DovetailError):
    """The state does not allow the request."""


class AbortedError(DovetailError):
    """Another change came first."""


class OutOfRangeError(DovetailError):
    """A position lies beyond the legal range."""


class ResourceExhaustedError(DovetailError):
    """A limit or the disk is full; nothing was written."""


class UnavailableError(DovetailError):
    """The store or the server is not available now; the outcome is unknown."""


class InternalError(DovetailError):
    """A fault of ours; the outcome is unknown."""
