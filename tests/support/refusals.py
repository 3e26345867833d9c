"""Reading the errors of calls that must fail."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


async def failure(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error of a call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status, reason and metadata of the error of a call."""
    error = await failure(call)
    info = error_info(error)
    return error.code(), info.reason, dict(info.metadata)


async def faults(call: Awaitable[Any]) -> set[str]:
    """The fields for which a call is refused."""
    error = await failure(call)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    return set(bad_fields(error))


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of an error; it fails where an error has none."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), error
    return info


def bad_fields(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """The field violations of an error: descriptions by field."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    found = error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        if detail.Unpack(found):
            break
    return {violation.field: violation.description for violation in found.field_violations}
