"""How a request is read: after its caller was authorized, within a time, few large ones at once.

Every method is served on a stream of bytes, the unary ones too: gRPC then starts the handler at the
call's first headers. Until a handler reads, HTTP/2's flow control keeps all but the first 64 KiB of
a request with its sender. So what an unknown caller sends is never held here, nor parsed. This
breaks if gRPC's window grows by itself (`grpc.http2.bdp_probe`, off in `runtime.OPTIONS`).

All of it belongs to the event loop. What it bounds, in bytes: 64 requests of 4 MiB that are being
read or wait for room, and 16 MiB of large ones that run. The numbers are chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from google.protobuf import descriptor_pool
from grpc.aio import EOF, ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.bounds import check_counts
from dovetail.server.edge.budget import Budget
from dovetail.server.edge.shares import Shares
from dovetail.server.edge.turns import Turns
from dovetail.server.errors import InvalidArgumentError, Reason, UnavailableError

REQUEST_BYTES_MAX = 4 * 1024 * 1024
READS_MAX = 64
"""Requests that are read at once. Small ones take no time; a slow one may hold 4 MiB meanwhile."""

READ_SAFE_SECONDS = 1.0
"""What a slow one has in any case; then it gives way to one that waits, if all turns are taken."""

READS_OF_ONE_MAX = 16
"""Of these, of one credential; without credentials, of one connection. A caller that sends slowly
on purpose delays only itself."""

SMALL_BYTES_MAX = 256 * 1024
"""Of a request whose call may wait as long as its caller wants, or go on without end: as a large
one, it would keep its part of LARGE_BYTES_TOTAL for as long."""

LARGE_BYTES_TOTAL = 16 * 1024 * 1024
"""Bytes of larger requests whose calls run at once: parsed, one may be up to 70 times its size."""

READ_SECONDS = 20.0

Context: TypeAlias = ServicerContext[Any, Any]
Deserializer = Callable[[bytes], Any]


class Intake:
    """Reads the requests of one server."""

    def __init__(self, seconds: float = READ_SECONDS) -> None:
        """Give each request `seconds` to be read and parsed."""
        self._seconds = seconds
        self._reads = Turns(READS_MAX, READ_SAFE_SECONDS)
        self._shares = Shares(READS_OF_ONE_MAX)
        self._large = Budget(LARGE_BYTES_TOTAL)

    def request(self, context: Context, deserialize: Deserializer, bytes_max: int) -> Reading:
        """The request of a call, of at most `bytes_max`, while the block of the result lasts."""
        return Reading(self, context, deserialize, bytes_max)

    async def read(self, context: Context, bytes_max: int) -> tuple[bytes, int]:
        """The bytes of a request, and how many of them count as large: those must be released.

        Raises InvalidArgumentError for one that is missing or too large, and UnavailableError for
        one that does not arrive in time.
        """
        try:
            async with asyncio.timeout(self._seconds) as limit:
                return await self._take_turns(context, bytes_max, limit)
        except TimeoutError as error:
            raise UnavailableError(
                Reason.REQUEST_LATE,
                f"the request was not read whole within {self._seconds:g} s, or was slow while"
                " others waited, so that nothing was done: the connection is slow, or the server"
                " is busy with large requests; try again, with less in one request",
                retry_after=1.0,
            ) from error

    def release(self, held: int) -> None:
        """Return what a request held of LARGE_BYTES_TOTAL."""
        self._large.release(held)

    async def _take_turns(
        self, context: Context, bytes_max: int, limit: asyncio.Timeout
    ) -> tuple[bytes, int]:
        # The sender's own turn comes first: what one sender has beyond its share waits there, and
        # takes no place in the queue that all share. The peer of a connection is its address and
        # port, so a caller without credentials may have as many shares as connections.
        sender = current_caller.get().credential_id or context.peer()
        await self._shares.take(sender)
        try:
            await self._reads.take(limit)
            try:
                return await self._receive(context, bytes_max, limit)
            finally:
                self._reads.release(limit)
        finally:
            self._shares.release(sender)

    async def _receive(
        self, context: Context, bytes_max: int, limit: asyncio.Timeout
    ) -> tuple[bytes, int]:
        payload = await context.read()
        if not isinstance(payload, bytes):
            assert payload is EOF
            raise _missing()
        # Read whole, so it does not give way any more: it would have to be sent again. The turn is
        # kept until there is room for it, or requests that were read and are not counted yet would
        # pile up beyond 64. Whoever waits here waits for calls to end, which need no turn: there is
        # no deadlock.
        self._reads.keep(limit)
        _check_size(payload, bytes_max)
        held = len(payload) if len(payload) > SMALL_BYTES_MAX else 0
        await self._large.take(held)
        return payload, held


class Reading:
    """A request, read when a block begins and released when it ends.

    A class and no generator, which would cost every call several times as much.
    """

    __slots__ = ("_bytes_max", "_context", "_deserialize", "_held", "_intake")

    def __init__(
        self, intake: Intake, context: Context, deserialize: Deserializer, bytes_max: int
    ) -> None:
        self._intake = intake
        self._context = context
        self._deserialize = deserialize
        self._bytes_max = bytes_max
        self._held = 0

    async def __aenter__(self) -> Any:
        """The request. Raises as `Intake.read`, and InvalidArgumentError for a malformed one."""
        # The bytes have no other name: the call may run for long, and needs the message alone.
        payload, self._held = await self._intake.read(self._context, self._bytes_max)
        try:
            return _parse(payload, self._deserialize)
        except BaseException:
            self._intake.release(self._held)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._intake.release(self._held)


def _missing() -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.MALFORMED_REQUEST,
        "the call ended without a request: send one message, which may be empty, before its end",
    )


def may_wait(method: str) -> bool:
    """Whether a call of a method may last as long as its caller wants, or goes on without end."""
    service, _, name = method.removeprefix("/").rpartition("/")
    found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return found.server_streaming or "max_wait" in found.input_type.fields_by_name


def request_bytes_max(method: str) -> int:
    """How many bytes a request of a method may have: fewer if its call may wait."""
    return SMALL_BYTES_MAX if may_wait(method) else REQUEST_BYTES_MAX


def _check_size(payload: bytes, bytes_max: int) -> None:
    if len(payload) > bytes_max:
        raise InvalidArgumentError(
            Reason.REQUEST_TOO_LARGE,
            f"the request has {len(payload):,} bytes, at most {bytes_max:,} are read of this"
            " method's",
            metadata={"bytes": str(len(payload)), "most": str(bytes_max)},
        )


def _parse(payload: bytes, deserialize: Deserializer) -> Any:
    try:
        request = deserialize(payload)
    except Exception as error:
        # protobuf's errors have no common class.
        raise InvalidArgumentError(
            Reason.MALFORMED_REQUEST,
            f"the request is not a message of this method, or has text that is not UTF-8: {error}",
        ) from error
    check_counts(request)
    return request
