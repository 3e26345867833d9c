"""The errors that a call raises: one class per status.

DovetailError
├── InvalidArgumentError     the request is wrong, whatever the state
├── NotFoundError            something it names does not exist
├── AlreadyExistsError       something it creates already exists
├── UnauthenticatedError     the server does not know who calls
├── PermissionDeniedError    the caller may not do this
├── FailedPreconditionError  the state does not allow it
├── AbortedError             another caller was first
│   └── LeaseLostError       the caller does not, or no longer, hold the task
├── OutOfRangeError          a position beyond the legal range
├── ResourceExhaustedError   a limit or the disk is full
├── UnimplementedError       the server does not know the method
├── DeadlineExceededError    no response in time
├── UnavailableError         the server or its store cannot be reached now
├── CallCancelledError       the server cancelled the call
├── InternalError            a fault of the server
├── UnknownError             a fault of something between client and server
└── DataLossError            a response was lost or garbled

Only an error with a `reason` was raised by a Dovetail server. Every other came from a library or
a proxy, whatever its status, and its outcome is unknown. `outcome_unknown` tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "dovetail.dev"


@dataclass(frozen=True, kw_only=True)
class FieldViolation:
    """One wrong field of a request, and what would be right."""

    field: str
    description: str


class DovetailError(Exception):
    """A call failed. Its text is the server's message; the attributes are for programs.

    `reason` is one of the documented reasons, or empty if a Dovetail server did not raise it.
    `retry_after` is in seconds, or None if the server does not suggest a retry. `address` is the
    address of the server that was called, if known. `tls_fault` explains how TLS keeps a server
    from being reached; empty if TLS is not the cause. `rpc_error` is gRPC's own error, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        """Make an error."""
        super().__init__(message)
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.address = ""
        self.tls_fault = ""
        self.rpc_error: grpc.RpcError | None = None

    @property
    def outcome_unknown(self) -> bool:
        """Whether the call may have taken effect: then repeat it, with the same `request_id`.

        False only for an error that a Dovetail server raised (it has a `reason`) with any status
        but UNAVAILABLE and INTERNAL: then nothing was written.
        """
        return not self.reason or isinstance(self, (UnavailableError, InternalError))

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed if it is repeated unchanged."""
        return not self.reason or isinstance(self, UnavailableError)


class InvalidArgumentError(DovetailError):
    """The request is wrong, whatever the state; `violations` name each field."""


class NotFoundError(DovetailError):
    """Something that the request names does not exist."""


class AlreadyExistsError(DovetailError):
    """Something that the request creates already exists."""


class UnauthenticatedError(DovetailError):
    """The server does not know who calls."""


class PermissionDeniedError(DovetailError):
    """The caller may not do this."""


class FailedPreconditionError(DovetailError):
    """The state does not allow the request."""


class AbortedError(DovetailError):
    """Another caller was first."""


class LeaseLostError(AbortedError):
    """The caller does not, or no longer, hold the task; `metadata` has its last change."""


class OutOfRangeError(DovetailError):
    """A position lies beyond the legal range."""


class ResourceExhaustedError(DovetailError):
    """A limit or the disk is full; nothing was written."""


class UnimplementedError(DovetailError):
    """The server does not know the method: it is another service, or an older release."""


class DeadlineExceededError(DovetailError):
    """No response in time; the outcome is unknown."""


class UnavailableError(DovetailError):
    """The server or its store cannot be reached now; the outcome is unknown."""


class CallCancelledError(DovetailError):
    """The server cancelled the call; the outcome is unknown."""


class InternalError(DovetailError):
    """A fault of the server; the outcome is unknown."""


class UnknownError(DovetailError):
    """A fault of something between client and server; the outcome is unknown."""


class DataLossError(DovetailError):
    """A response was lost or garbled; the outcome is unknown."""


CLASSES: dict[grpc.StatusCode, type[DovetailError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: AbortedError,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRangeError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNKNOWN: UnknownError,
    grpc.StatusCode.DATA_LOSS: DataLossError,
}

BY_REASON: dict[str, type[DovetailError]] = {"LEASE_LOST": LeaseLostError}
"""Reasons with a class of their own, a subclass of that of their status."""

BY_NUMBER = {code.value[0]: kind for code, kind in CLASSES.items()}


def from_status(
    number: int, message: str, *, reason: str, metadata: Mapping[str, str]
) -> DovetailError:
    """The typed error of an outcome that names the number of a status."""
    kind = BY_REASON.get(reason) or BY_NUMBER[number]
    return kind(message, reason=reason, metadata=metadata)


def from_rpc_error(error: grpc.RpcError) -> DovetailError:
    """The typed error of a failed gRPC call, of grpc or of grpc.aio."""
    call = cast(Any, error)
    details = _Details(call.trailing_metadata() or ())
    kind = BY_REASON.get(details.info.reason) or CLASSES[call.code()]
    failure = kind(
        call.details() or call.code().name,
        reason=details.info.reason,
        metadata=details.info.metadata,
        violations=(
            FieldViolation(field=violation.field, description=violation.description)
            for violation in details.bad_request.field_violations
        ),
        retry_after=details.retry_after,
    )
    failure.rpc_error = error
    return failure


class _Details:
    """The details of an error that a server sent beside its status and message."""

    def __init__(self, trailers: Iterable[tuple[str, str | bytes]]) -> None:
        self.info = error_details_pb2.ErrorInfo()
        self.bad_request = error_details_pb2.BadRequest()
        self._retry_info = error_details_pb2.RetryInfo()
        for detail in full_status(trailers).details:
            for known in (self.info, self.bad_request, self._retry_info):
                detail.Unpack(known)  # Returns False and does nothing if the type is another.
        if self.info.domain != DOMAIN:  # From a proxy or library, which has reasons of its own.
            self.info.Clear()

    @property
    def retry_after(self) -> float | None:
        if not self._retry_info.HasField("retry_delay"):
            return None
        return self._retry_info.retry_delay.ToMicroseconds() / 1e6


def full_status(trailers: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    """The full status; empty if something between client and server dropped or garbled it."""
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()
