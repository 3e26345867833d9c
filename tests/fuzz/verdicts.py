"""What an error may be. Whatever is not on this list is wrong.

INTERNAL and UNKNOWN never are; every other error carries Dovetail's ErrorInfo, but for these, which
gRPC itself makes before Dovetail is asked, or which the caller made itself.
"""

from __future__ import annotations

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from dovetail.server.runtime import RECEIVE_BYTES_MAX
from fuzz.cases import Case

CODES = grpc.StatusCode
NEVER = (CODES.INTERNAL, CODES.UNKNOWN, CODES.DATA_LOSS)
METADATA_BYTES = 8_192
"""Of a call, by gRPC's own way of counting, which the text of its refusal tells."""

METADATA_REFUSED = "received metadata size exceeds"


def judged(error: grpc.aio.AioRpcError, case: Case) -> str:
    """What an error is: its reason, of the caller's own making, gRPC's by contract, or WRONG."""
    code, reason = error.code(), _reason(rpc_status.from_call(error))  # type: ignore[arg-type]
    if code in NEVER:
        return f"WRONG {code.name} {reason}"
    return (
        reason
        or _allowed(code, str(error.details()), case)
        or (f"WRONG {code.name} without ErrorInfo")
    )


def _allowed(code: grpc.StatusCode, details: str, case: Case) -> str:
    """Why an error without ErrorInfo is right, or nothing."""
    if case.timeout is not None and code is CODES.DEADLINE_EXCEEDED:
        return "its own deadline"
    if case.compressed and code is CODES.UNIMPLEMENTED:
        return "compressed"
    if code is CODES.RESOURCE_EXHAUSTED:
        if len(case.payload) > RECEIVE_BYTES_MAX:
            return "above gRPC's own limit"
        if _metadata_bytes(case) > METADATA_BYTES and details.startswith(METADATA_REFUSED):
            return "more metadata than gRPC takes"
    return ""


def _metadata_bytes(case: Case) -> int:
    """As HTTP/2 counts, of bytes in base64 where they are written so; and what every call has."""
    usual = 600
    return usual + sum(
        32 + len(key) + len(value) * (4 if key.endswith("-bin") else 3) // 3
        for key, value in case.metadata
    )


def judged_frames(status: int, details: bytes, allowed: int) -> str:
    """The same of an answer to frames: `allowed` is the status that gRPC itself may make."""
    if status in [code.value[0] for code in NEVER] and (details or status != allowed):
        return f"WRONG status {status}"
    try:
        reason = _reason(status_pb2.Status.FromString(details))
    except DecodeError:
        return f"WRONG details of status {status}"
    if reason or not status:
        return reason or "answered"
    return "gRPC's own" if status == allowed else f"WRONG status {status} without ErrorInfo"


def _reason(status: status_pb2.Status | None) -> str:
    """The reason in the ErrorInfo of Dovetail, or nothing."""
    info = error_details_pb2.ErrorInfo()
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return ""
    return info.reason if info.domain == "dovetail.dev" else ""
