"""From our errors to gRPC's statuses, with details that programs can read: one table."""

from __future__ import annotations

from typing import Any, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from dovetail.server import errors
from dovetail.server.errors import DOMAIN, DovetailError

STATUS_CODES: dict[type[DovetailError], grpc.StatusCode] = {
    errors.InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AbortedError: grpc.StatusCode.ABORTED,
    errors.OutOfRangeError: grpc.StatusCode.OUT_OF_RANGE,
    errors.ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.UnavailableError: grpc.StatusCode.UNAVAILABLE,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}

# All details travel in trailing metadata, of which peers accept 8 KiB in all: above it they vanish.
# These bounds are chosen so that the largest error stays below.
VIOLATIONS_MAX = 10
TEXT_BYTES_MAX = 300
METADATA_BYTES_MAX = 2_100


def to_status(error: DovetailError) -> grpc.Status:
    """The status of an error, with ErrorInfo, BadRequest and RetryInfo."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason.value,
            domain=DOMAIN,
            metadata={
                key: _cut(value, METADATA_BYTES_MAX // max(1, len(error.metadata)))
                for key, value in error.metadata.items()
            },
        )
    ]
    if error.violations:
        details.append(_bad_request(error))
    if error.retry_after is not None:
        delay = Duration(nanos=int(error.retry_after % 1 * 1e9), seconds=int(error.retry_after))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(
        code=STATUS_CODES[type(error)].value[0], message=_cut(error.message, 3 * TEXT_BYTES_MAX)
    )
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return cast(Any, rpc_status).to_status(status)


def _bad_request(error: DovetailError) -> error_details_pb2.BadRequest:
    shown = [
        error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field, TEXT_BYTES_MAX),
            description=_cut(violation.description, TEXT_BYTES_MAX),
        )
        for violation in error.violations[:VIOLATIONS_MAX]
    ]
    return error_details_pb2.BadRequest(field_violations=shown)


def _cut(text: str, bytes_: int) -> str:
    """Text of a bounded size in UTF-8."""
    whole = text.encode()
    return text if len(whole) <= bytes_ else whole[: bytes_ - 3].decode(errors="ignore") + "…"
