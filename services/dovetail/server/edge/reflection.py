"""Reflection as tools use it: v1 and v1alpha, with methods as symbols.

grpcio-reflection has only v1alpha, and finds no methods. Both versions have the same messages under
other names, so the bytes of one are valid for the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

ALPHA = reflection.SERVICE_NAME
V1_PACKAGE = "grpc.reflection.v1"
V1_FILE = "grpc/reflection/v1/reflection.proto"
NAMES = ("grpc.reflection.v1.ServerReflection", ALPHA)


class _Reflection(cast(Any, reflection).aio.ReflectionServicer):
    """Finds the file of a method through its service."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        parent: Any = super()
        find = parent._file_containing_symbol
        found = find(request, fully_qualified_name)
        service, _, _ = fully_qualified_name.rpartition(".")
        if found.HasField("error_response") and self._has_method(fully_qualified_name):
            return find(request, service)
        return found

    def _has_method(self, name: str) -> bool:
        service, _, method = name.rpartition(".")
        try:
            return method in self._pool.FindServiceByName(service).methods_by_name
        except KeyError:
            return False


def _add_v1_file() -> None:
    """Add the file of v1, which tools ask for: that of v1alpha under the other name."""
    pool = descriptor_pool.Default()
    with contextlib.suppress(KeyError):
        pool.FindFileByName(V1_FILE)
        return
    alpha = reflection_pb2.DESCRIPTOR.serialized_pb
    file = descriptor_pb2.FileDescriptorProto.FromString(alpha)
    text = str(json_format.MessageToJson(file)).replace(file.package, V1_PACKAGE)
    json_format.Parse(text, file := descriptor_pb2.FileDescriptorProto())
    file.name = V1_FILE
    pool.AddSerializedFile(file.SerializeToString())


def add_reflection(names: Sequence[str], server: grpc.aio.Server) -> None:
    """Add reflection, which lists these services and itself."""
    _add_v1_file()
    servicer = _Reflection((*names, *NAMES))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in NAMES:
        handlers = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((handlers,))
