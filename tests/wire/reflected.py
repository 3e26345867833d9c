"""What servers tell of themselves by reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2


async def ask(
    channel: grpc.aio.Channel,
    version: str = "grpc.reflection.v1alpha.ServerReflection",
    **fields: Any,
) -> reflection_pb2.ServerReflectionResponse:
    """One question, one answer."""

    async def questions() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(**fields)

    call: Any = channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    async for answer in call(questions()):
        return answer
    raise AssertionError("reflection does not answer")


async def services(channel: grpc.aio.Channel) -> set[str]:
    """The names of all services of a server."""
    answer = await ask(channel, list_services="")
    return {service.name for service in answer.list_services_response.service}


async def methods(channel: grpc.aio.Channel) -> list[tuple[str, bool]]:
    """The path of every method of Dovetail's own, and whether it answers a stream."""
    found: list[tuple[str, bool]] = []
    for name in await services(channel):
        if name.startswith("dovetail."):
            answer = await ask(channel, file_containing_symbol=name)
            file = FileDescriptorProto.FromString(
                answer.file_descriptor_response.file_descriptor_proto[0]
            )
            found += [
                (f"/{name}/{method.name}", method.server_streaming)
                for service in file.service
                for method in service.method
            ]
    return found
