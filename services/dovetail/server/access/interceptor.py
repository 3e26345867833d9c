"""The seam around every call: who calls, what is too large or garbled, how errors are answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc
import structlog
from grpc.aio import ServerInterceptor, ServicerContext

from dovetail.server.access.audit import Audit
from dovetail.server.access.authentication import Authenticator
from dovetail.server.access.caller import Caller, current_caller
from dovetail.server.access.line_limit import LineLimit
from dovetail.server.edge.intake import Intake, request_bytes_max
from dovetail.server.edge.statuses import STATUS_CODES, to_status
from dovetail.server.errors import (
    DovetailError,
    InternalError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from dovetail.server.store.store import current_permit

OURS = "/dovetail."
REFUSAL_LINES_MAX = 100
"""Lines about refused calls in a second; more are counted, and told at its end."""

CAUSE_CHARACTERS_MAX = 300
CALL_ID_KEY = "x-request-id"
CALL_ID = re.compile(r"[\x21-\x7e]{1,64}")

Context = ServicerContext[Any, Any]
log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.calls")


class CallInterceptor(ServerInterceptor):
    """Makes the caller, guards the request, maps errors, and logs, for Dovetail's own services."""

    def __init__(self, authenticator: Authenticator, audit: Audit, intake: Intake) -> None:
        """Wrap each method once; `authenticator` says who calls, `audit` is told of refusals."""
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._door = _Door(authenticator, audit, intake)

    async def close(self, seconds: float) -> None:
        """Refuse new calls until none has come for a tenth of this time, or for all of it.

        A call that comes while gRPC itself stops ends as CANCELLED, without a word of ours.
        """
        self._door.open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._door.refused:
                    self._door.refused = False
                    await asyncio.sleep(seconds / 10)
        self._door.lines.end_period()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method, wrapped."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(OURS):
            return handler
        if method not in self._wrapped:
            self._wrapped[method] = _wrap(method, handler, self._door)
        return self._wrapped[method]


class _Door:
    """Open until the server stops; then it notes that somebody was refused."""

    def __init__(self, authenticator: Authenticator, audit: Audit, intake: Intake) -> None:
        self.authenticator = authenticator
        self.audit = audit
        self.intake = intake
        self.lines = LineLimit(REFUSAL_LINES_MAX, 1.0, _tell_left_out)
        self.open = True
        self.refused = True

    def pass_through(self) -> None:
        if not self.open:
            self.refused = True
            raise UnavailableError(
                Reason.SERVER_STOPPING,
                "the server is stopping: nothing was done; try again",
                retry_after=0.2,
            )


def _tell_left_out(count: int) -> None:
    log.warning("refused, left out of this log", count=count)


def _wrap(method: str, handler: Any, door: _Door) -> grpc.RpcMethodHandler[Any, Any]:
    deserialize, encode = handler.request_deserializer, handler.response_serializer
    read, most_bytes = door.intake.request, request_bytes_max(method)
    if handler.unary_stream:
        # Encoded here: what a slow reader has yet to take waits as bytes, a fraction of the size.

        async def stream(requests: Any, context: Context) -> AsyncIterator[Any]:
            del requests
            call = _Call(method, context, door)
            try:
                await call.begin()
                async with (
                    read(context, deserialize, most_bytes) as request,
                    contextlib.aclosing(handler.unary_stream(request, context)) as responses,
                ):
                    while True:
                        yield encode(await anext(responses))
            except StopAsyncIteration:
                call.end()
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                await call.fail(error)

        return grpc.stream_stream_rpc_method_handler(cast(Any, stream), None, None)

    async def unary(requests: Any, context: Context) -> Any:
        del requests
        call = _Call(method, context, door)
        try:
            await call.begin()
            async with read(context, deserialize, most_bytes) as request:
                response = await handler.unary_unary(request, context)
        except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
            return await call.fail(error)
        call.end()
        return response

    return grpc.stream_unary_rpc_method_handler(cast(Any, unary), None, encode)


class _Call:
    """One call: its caller, its end. Its id is made when somebody needs it."""

    def __init__(self, method: str, context: Context, door: _Door) -> None:
        self._method = method
        self._context = context
        self._door = door
        self._started = time.monotonic()
        self._metadata = cast("tuple[tuple[str, Any], ...]", context.invocation_metadata() or ())
        self._caller: Caller | None = None

    async def begin(self) -> None:
        """Make the caller known, and refuse who may not call, before anything of it is read."""
        self._door.pass_through()
        authenticator, method, metadata = self._door.authenticator, self._method, self._metadata
        self._caller = authenticator.authenticate_cached(
            method, metadata
        ) or await authenticator.authenticate(method, metadata)
        authenticator.authorize(self._caller, method, metadata)
        current_caller.set(self._caller)
        current_permit.set(self._caller.check_live)

    def end(self) -> None:
        """Log an answer."""
        if log.is_enabled_for(logging.DEBUG):
            self._log().debug("answered")

    async def fail(self, error: Exception) -> None:
        """Answer an error. An unknown one is INTERNAL with an id to find in the log."""
        known = error if isinstance(error, DovetailError) else None
        if known is None or isinstance(known, InternalError):
            call_id = self._call_id()
            self._log(call_id).error("failed", exc_info=error)
            known = InternalError(
                Reason.INTERNAL,
                f"an internal error; the server's log has it under call_id {call_id}",
                metadata={"call_id": call_id},
            )
        else:
            bound = self._log()
            note = bound.warning if isinstance(known, UnavailableError) else bound.info
            cause = str(known.__cause__)[:CAUSE_CHARACTERS_MAX] if known.__cause__ else None
            status = STATUS_CODES[type(known)].name
            if self._door.lines.admits():
                note("refused", status=status, reason=known.reason.value, cause=cause)
            if isinstance(known, (UnauthenticatedError, PermissionDeniedError)):
                self._tell(known)
        status = to_status(known)
        trailers = cast(Any, status.trailing_metadata)
        try:
            await self._context.abort(status.code, status.details, trailers)
        except grpc.aio.InternalError as gone:  # Its caller has left: there is nobody to answer.
            raise asyncio.CancelledError from gone

    def _tell(self, refusal: DovetailError) -> None:
        """Have a refusal on record: who was refused what, and from where."""
        caller = self._caller
        self._door.audit.note(
            "refused",
            method=self._method,
            reason=refusal.reason.value,
            peer=self._context.peer(),
            credential_id=caller.credential_id if caller else "",
            team_id=caller.team_id if caller else "",
            agent_id=caller.agent_id if caller else "",
        )

    def _call_id(self) -> str:
        given = next((value for key, value in self._metadata if key == CALL_ID_KEY), "")
        return given if CALL_ID.fullmatch(given) else uuid.uuid4().hex[:16]

    def _log(self, call_id: str = "") -> structlog.typing.FilteringBoundLogger:
        caller = self._caller
        return log.bind(
            call_id=call_id or self._call_id(),
            method=self._method,
            team_id=caller.team_id if caller else None,
            agent_id=caller.agent_id if caller else None,
            milliseconds=round((time.monotonic() - self._started) * 1_000, 2),
        )
