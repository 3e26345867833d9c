"""The interceptor around every call: its caller, its request, its errors, its log lines.

All of it runs on the event loop. The order in which a call passes is part of its safety: is the
server open, who calls, may it call, and only then is anything of the request read.
"""

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
from dovetail.server.edge.intake import Intake, may_wait, request_bytes_max
from dovetail.server.edge.joined import Followed, is_followed
from dovetail.server.edge.statuses import STATUS_CODES, to_status
from dovetail.server.errors import (
    DovetailError,
    InternalError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from dovetail.server.meter import UNMETERED, Meter
from dovetail.server.store.units import current_permit

OURS = "/dovetail."
OK, CANCELLED = grpc.StatusCode.OK.name, grpc.StatusCode.CANCELLED.name
REFUSAL_LINES_MAX = 100
"""Lines about refused calls in a second; more are counted, and their number is logged at its end.

Chosen: callers without a token cause such lines, as many as they like.
"""

SLOW_SECONDS = 1.0
"""What a call may take that waits for nothing but the store; a longer one has a line in the log."""

SLOW_LINES_MAX = 10
"""Lines about slow calls in a second: all calls are slow where the disk is."""

CAUSE_CHARACTERS_MAX = 300
CALL_ID_KEY = "x-request-id"
CALL_ID = re.compile(r"[\x21-\x7e]{1,64}")

Context = ServicerContext[Any, Any]
log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.calls")


class CallInterceptor(ServerInterceptor):
    """Finds the caller, reads the request, maps errors, and logs, for Dovetail's own services."""

    def __init__(
        self,
        authenticator: Authenticator,
        audit: Audit,
        intake: Intake,
        meter: Meter = UNMETERED,
    ) -> None:
        """Wrap each method once; `authenticator` finds the caller, `audit` records refusals."""
        # gRPC asks for the handler at every call. It holds only methods that exist, so it is
        # bounded whatever callers ask for.
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._drain = _Drain(authenticator, audit, intake, meter)

    async def close(self, seconds: float) -> None:
        """Refuse new calls until none has come for a tenth of this time, or for all of it.

        A call that comes while gRPC itself stops ends as CANCELLED, without our error details.
        """
        self._drain.is_open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # True at first, so this waits for one tenth at least: calls that were sent before
                # their clients saw NOT_SERVING are still on their way.
                while self._drain.has_refused:
                    self._drain.has_refused = False
                    await asyncio.sleep(seconds / 10)
        self._drain.lines.end_period()
        self._drain.slow_lines.end_period()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method, wrapped."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(OURS):
                return handler
            wrapped = self._wrapped[method] = _wrap(method, handler, self._drain)
        return wrapped


class _Drain:
    """What all calls share; open until the server stops, then it notes that it refused a call."""

    def __init__(
        self, authenticator: Authenticator, audit: Audit, intake: Intake, meter: Meter
    ) -> None:
        self.meter = meter
        self.authenticator = authenticator
        self.audit = audit
        self.intake = intake
        self.lines = LineLimit(REFUSAL_LINES_MAX, 1.0, _log_left_out)
        self.slow_lines = LineLimit(SLOW_LINES_MAX, 1.0, _log_slow_left_out)
        self.is_open = True
        self.has_refused = True
        # The level is set before a server is built (`main.configure_log`), and asked for here: the
        # logger is a proxy, which would be asked at each call.
        self.logs_completed = log.is_enabled_for(logging.DEBUG)

    def check_open(self) -> None:
        if not self.is_open:
            self.has_refused = True
            raise UnavailableError(
                Reason.SERVER_STOPPING,
                "the server is stopping: nothing was done; try again",
                retry_after=0.2,
            )


def _log_left_out(count: int) -> None:
    log.warning("refused, left out of this log", count=count)


def _log_slow_left_out(count: int) -> None:
    log.warning("slow, left out of this log", count=count)


def _wrap(method: str, handler: Any, drain: _Drain) -> grpc.RpcMethodHandler[Any, Any]:
    deserialize, encode = handler.request_deserializer, _encoder(handler.response_serializer)
    read, bytes_max = drain.intake.request, request_bytes_max(method)
    # Both kinds are registered as streams of requests, without a deserializer: otherwise gRPC would
    # read and parse what an unknown caller sends (see `edge/intake.py`).
    if handler.unary_stream:
        # Encoded here, and without a name for the response: what a slow reader has yet to take
        # waits as bytes alone. `async for` would keep both.

        async def stream(requests: Any, context: Context) -> AsyncIterator[Any]:
            del requests
            call = _Call(method, context, drain)
            drain.meter.stream_began(method)
            try:
                await call.begin()
                async with (
                    read(context, deserialize, bytes_max) as request,
                    contextlib.aclosing(handler.unary_stream(request, context)) as responses,
                ):
                    while True:
                        yield encode(await anext(responses))
            except StopAsyncIteration:
                call.end()
            except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
                request = responses = None  # See `_Call.fail`.
                await call.fail(error)
            finally:
                drain.meter.stream_ended(method, call.code)

        return grpc.stream_stream_rpc_method_handler(cast(Any, stream), None, None)

    if is_followed(handler.unary_unary):
        return _wrap_followed(method, handler, drain)

    async def unary(requests: Any, context: Context) -> Any:
        del requests
        call = _Call(method, context, drain)
        try:
            await call.begin()
            async with read(context, deserialize, bytes_max) as request:
                response = await handler.unary_unary(request, context)
        except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
            request = None  # See `_Call.fail`.
            return await call.fail(error)
        else:
            call.end()
            return response
        finally:
            call.count()

    return grpc.stream_unary_rpc_method_handler(cast(Any, unary), None, encode)


def _wrap_followed(method: str, handler: Any, drain: _Drain) -> grpc.RpcMethodHandler[Any, Any]:
    """Wrap a method whose responses are followed by something.

    On the wire it is as any other. But gRPC would write its response after the handler returned,
    and tell nobody whether the connection took it.
    """
    deserialize, encode = handler.request_deserializer, _encoder(handler.response_serializer)
    read, bytes_max = drain.intake.request, request_bytes_max(method)

    async def written(requests: Any, context: Context) -> None:
        del requests
        call = _Call(method, context, drain)
        try:
            await call.begin()
            async with read(context, deserialize, bytes_max) as request:
                answer: Followed = await handler.unary_unary(request, context)
        except Exception as error:  # noqa: BLE001 - the one place where errors become statuses
            request = None  # See `_Call.fail`.
            await call.fail(error)
            return
        else:
            call.end()
        finally:
            call.count()
        await context.write(encode(answer.response))
        # gRPC says so also where the connection broke in that moment. Then it cancels this call in
        # the same step, and the cancellation comes here.
        await asyncio.sleep(0)
        answer.taken()

    return grpc.stream_stream_rpc_method_handler(cast(Any, written), None, None)


def _forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error and its causes passed through, and of what they hold."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def _encoder(serialize: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """What makes bytes of a response; one that is bytes (`edge/joined.py`) is sent as it is."""
    return lambda response: response if isinstance(response, bytes) else serialize(response)


class _Call:
    """One call, from its begin to its end or failure. Its id is made when it is needed."""

    def __init__(self, method: str, context: Context, drain: _Drain) -> None:
        self._method = method
        self._context = context
        self._drain = drain
        self._started = time.monotonic()
        self._metadata = cast("tuple[tuple[str, Any], ...]", context.invocation_metadata() or ())
        self._caller: Caller | None = None
        self.code = CANCELLED
        """The status that it ends with; of a call that ends without `end` and `fail`, CANCELLED."""

    def count(self) -> None:
        """Tell the meter how a call that is no stream ended, and the log if it was slow."""
        seconds = time.monotonic() - self._started
        self._drain.meter.call_ended(self._method, self.code, seconds)
        is_slow = seconds > SLOW_SECONDS and self.code == OK and not may_wait(self._method)
        if is_slow and self._drain.slow_lines.admits():
            self._log().warning("slow")

    async def begin(self) -> None:
        """Find the caller, and refuse one that may not call, before any of its request is read."""
        self._drain.check_open()
        authenticator, method, metadata = self._drain.authenticator, self._method, self._metadata
        # Kept before `authorize`, so that a refusal is logged with the caller's name.
        self._caller = authenticator.authenticate_cached(
            method, metadata
        ) or await authenticator.authenticate(method, metadata)
        authenticator.authorize(self._caller, method, metadata)
        # Not reset at the end: each call runs in a task, and so in a context, of its own.
        current_caller.set(self._caller)
        current_permit.set(self._caller.check_live)

    def end(self) -> None:
        """Log a call that succeeded."""
        self.code = OK
        if self._drain.logs_completed:
            self._log().debug("completed")

    async def fail(self, error: Exception) -> None:
        """End the call with an error. An unknown one is INTERNAL, with an id to find in the log.

        gRPC keeps the exception of `abort` in a circle with its own state of the call, and so all
        frames on the way, until the collector of cycles comes by. So none of them may hold the
        request: refused ones of 4 MiB took gigabytes in the seconds until then.
        """
        # Cancellation is no Exception and never comes here: gRPC itself ends such a call.
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
            if self._drain.lines.admits():
                note("refused", status=status, reason=known.reason.value, cause=cause)
            if isinstance(known, (UnauthenticatedError, PermissionDeniedError)):
                self._audit_refusal(known)
        status = to_status(known)
        self.code = STATUS_CODES[type(known)].name
        self._drain.meter.call_refused(known.reason.value)
        _forget_frames(error)
        trailers = cast(Any, status.trailing_metadata)
        try:
            await self._context.abort(status.code, status.details, trailers)
        except grpc.aio.InternalError as gone:  # The caller has left, and gets no status.
            raise asyncio.CancelledError from gone

    def _audit_refusal(self, refusal: DovetailError) -> None:
        """Record a refusal: which caller, which method, from where."""
        caller = self._caller
        self._drain.audit.record(
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
