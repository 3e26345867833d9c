"""Callers that call every method in every way, and note what is wrong with the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from dovetail.admin.v1 import admin_pb2
from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.intake import REQUEST_BYTES_MAX
from dovetail.tasks.v1 import tasks_pb2
from fuzz.values import TEXTS, Known, Maker, mutated
from support.http2 import message, raw_connection
from support.pair import Metadata

SERVED = {
    "messaging": (messaging_pb2, admin_pb2),
    "tasks": (tasks_pb2, admin_pb2),
}
"""The services of each server."""

POLITE = (1.0, 1.0, 0.98, 0.9, 0.3)
RAW_SECONDS = 2.0
STREAM_SECONDS = 0.1
PATIENCE_SECONDS = 1.0
"""How long one who waits for work or messages stays."""

SHOWN_BYTES = 200
SELDOM = ("DeleteTask", "RevokeCredential", "CancelTask")
OFTEN = ("SendMessage", "CreateTask", "ClaimTask", "RequestInput", "ProvideInput")
"""What makes that of which other calls speak."""

METADATA_BYTES = 7_500
"""With gRPC's own, and what each counts for besides, more is above its limit of 8 KiB."""

LARGE = (REQUEST_BYTES_MAX - 1_000, REQUEST_BYTES_MAX + 1, REQUEST_BYTES_MAX + 3 * 1024 * 1024)
CODES = grpc.StatusCode


@dataclass(kw_only=True)
class Findings:
    """What came of the calls."""

    calls: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def clear(self) -> None:
        """Count anew; what is wrong stays."""
        self.calls.clear()
        self.answered.clear()
        self.outcomes.clear()


@dataclass(frozen=True, kw_only=True)
class Way:
    """How one call is made."""

    path: str
    payload: bytes
    metadata: Metadata = ()
    timeout: float | None = None
    compressed: bool = False
    leaves_after: float | None = None

    def __str__(self) -> str:
        shown = self.payload[:SHOWN_BYTES].hex() + ("…" if len(self.payload) > SHOWN_BYTES else "")
        return (
            f"{self.path} timeout={self.timeout} compressed={self.compressed}"
            f" leaves_after={self.leaves_after} metadata={str(self.metadata)[:SHOWN_BYTES]}"
            f" payload[{len(self.payload)}]={shown}"
        )


class Fuzzer:
    """One who calls one server after another, by a seed of its own."""

    def __init__(
        self, seed: str, addresses: dict[str, str], callers: Sequence[Metadata], known: Known
    ) -> None:
        """Call the servers at these addresses; each of `callers` is the metadata of one."""
        self._random = Random(seed)
        self._addresses = addresses
        self._callers = callers
        self._known = known
        self._methods = [
            (server, method)
            for server, modules in SERVED.items()
            for module in modules
            for service in module.DESCRIPTOR.services_by_name.values()
            for method in service.methods
            for _ in range(_weight(method))
        ]

    async def run(self, findings: Findings, end: float) -> None:
        """Call until this time of the loop."""
        clock = asyncio.get_running_loop().time
        own = (("grpc.use_local_subchannel_pool", 1),)
        channels = {
            server: grpc.aio.insecure_channel(address, options=own)
            for server, address in self._addresses.items()
        }
        try:
            while clock() < end:
                server, method = self._random.choice(self._methods)
                if self._random.random() < 0.02:
                    await self._send_frames(server, method)
                else:
                    await self._call(channels[server], method, findings)
        finally:
            for channel in channels.values():
                await channel.close()

    async def _call(
        self, channel: grpc.aio.Channel, method: MethodDescriptor, findings: Findings
    ) -> None:
        way = self._way(method)
        findings.calls[way.path] += 1
        rpc = channel.unary_stream if method.server_streaming else channel.unary_unary
        compression = grpc.Compression.Gzip if way.compressed else None
        call: Any = rpc(way.path, _same, _same)(
            way.payload, metadata=way.metadata, timeout=way.timeout, compression=compression
        )
        leaving = asyncio.get_running_loop().call_later(
            way.leaves_after or PATIENCE_SECONDS, call.cancel
        )
        try:
            answers = await self._answers(call, method)
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            findings.outcomes["left"] += 1
        except grpc.aio.AioRpcError as error:
            outcome = judged(error, way)
            findings.outcomes[outcome] += 1
            if outcome.startswith("WRONG"):
                findings.wrong.append(f"{outcome}: {str(error.details())[:SHOWN_BYTES]} to {way}")
        else:
            findings.answered[way.path] += 1
            findings.outcomes["answered"] += 1
            for answer in answers:
                self._known.learn(answer)
        finally:
            leaving.cancel()
            call.cancel()

    async def _answers(self, call: Any, method: MethodDescriptor) -> list[Any]:
        kind: Any = method.output_type._concrete_class  # type: ignore[attr-defined]
        if not method.server_streaming:
            return [kind.FromString(await call)]
        found: list[Any] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(STREAM_SECONDS):
                while (answer := await call.read()) is not grpc.aio.EOF:
                    found.append(kind.FromString(answer))
        return found

    def _way(self, method: MethodDescriptor) -> Way:
        random = self._random
        maker = Maker(random, self._known, random.choice(POLITE))
        kind: Any = method.input_type._concrete_class  # type: ignore[attr-defined]
        payload = maker.message(method.input_type, kind).SerializeToString()
        roll = random.random()
        if roll < 0.1:
            payload = mutated(random, payload)
        elif roll < 0.105:
            payload = _large(random, method, payload)
        roll = random.random()
        return Way(
            path=f"/{method.containing_service.full_name}/{method.name}",
            payload=payload,
            metadata=self._metadata(),
            timeout=random.choice((0.0, 0.001, 0.02)) if roll < 0.04 else None,
            leaves_after=random.choice((0.0, 0.001, 0.02)) if 0.04 < roll < 0.08 else None,
            compressed=0.08 < roll < 0.1,
        )

    def _metadata(self) -> Metadata:
        random = self._random
        roll = random.random()
        if roll < 0.85:
            return random.choice(self._callers)
        odd = random.choice(TEXTS)[:2_000].encode()
        return random.choice(
            (
                (),
                (("authorization", "Bearer dovetail_nobody"),),
                (("authorization", "Basic YTpi"),),
                (("dovetail-agent-bin", odd), ("dovetail-team-bin", odd)),
                (*random.choice(self._callers), ("dovetail-agent-bin", b"\xff\xfe")),
                (*random.choice(self._callers), ("dovetail-team", "another")),
                (*random.choice(self._callers), ("x-request-id", "!" * random.choice((64, 65)))),
                (*random.choice(self._callers), ("grpc-previous-rpc-attempts", "3")),
                tuple((f"key-{number}", "x" * 90) for number in range(30)),
            )
        )

    async def _send_frames(self, server: str, method: MethodDescriptor) -> None:
        """What no library sends: half a body, none, another length, frames out of place."""
        random = self._random
        path = f"/{method.containing_service.full_name}/{method.name}"
        headers = random.choice(([], [("grpc-encoding", "gzip")], [("grpc-timeout", "1x")]))
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with (
                asyncio.timeout(RAW_SECONDS),
                raw_connection(self._addresses[server]) as raw,
            ):
                raw.call(1, path, *headers)
                size = random.choice((0, 1, 1_000, 4_000_000, 2**31))
                raw.send(1, message(random.randbytes(random.choice((0, 100))), size=size))
                if random.random() < 0.5:
                    raw.finish(1, random.randbytes(3))
                raw.call(3, path, *headers)
                if random.random() < 0.1:
                    raw.finish(5, b"on a stream that nobody began")
                await raw.until_ended(random.choice((1, 3)))


def _weight(method: MethodDescriptor) -> int:
    """How often a method is called. What ends something is called seldom, or nothing lives."""
    if method.name in SELDOM or method.containing_service.name == "AdminService":
        return 1
    return 8 if method.name in OFTEN else 4


def judged(error: grpc.aio.AioRpcError, way: Way) -> str:
    """What an error is: known, of the caller's own making, gRPC's own by contract, or wrong."""
    reason = _reason(error)
    if error.code() in (CODES.INTERNAL, CODES.UNKNOWN):
        return f"WRONG {error.code().name} {reason}"
    if reason:
        return reason
    if way.timeout is not None and error.code() is CODES.DEADLINE_EXCEEDED:
        return "its own deadline"
    if way.compressed and error.code() is CODES.UNIMPLEMENTED:
        return "compressed"
    if len(way.payload) > REQUEST_BYTES_MAX and error.code() is CODES.RESOURCE_EXHAUSTED:
        return "above gRPC's own limit"
    size = sum(len(key) + len(value) for key, value in way.metadata)
    if size > METADATA_BYTES and error.code() is CODES.RESOURCE_EXHAUSTED:
        return "more metadata than gRPC takes"
    return f"WRONG {error.code().name} without ErrorInfo"


def _reason(error: grpc.aio.AioRpcError) -> str:
    """The reason in the ErrorInfo of Dovetail, or nothing."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = error_details_pb2.ErrorInfo()
    if status is None or not any(detail.Unpack(info) for detail in status.details):
        return ""
    return info.reason if info.domain == "dovetail.dev" else ""


def _large(random: Random, method: MethodDescriptor, payload: bytes) -> bytes:
    """A request as large as is read, or larger, of very many very small parts."""
    texts = [each for each in method.input_type.fields if each.type == each.TYPE_STRING]
    number = random.choice(texts).number if texts else 1
    part = random.choice((bytes((number << 3 | 2 if number < 16 else 10, 0)), b"\x0a\x02\x0a\x00"))
    return payload + part * (random.choice(LARGE) // len(part))


def _same(content: bytes) -> bytes:
    return content
