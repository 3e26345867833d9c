"""The two services, and which of them serves at an address."""

from __future__ import annotations

from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dovetail.client import Tls
from dovetail.client.connection import channel_to
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

SECONDS = 3.0

SERVICES = {
    "messaging": messaging_pb2.DESCRIPTOR.services_by_name["MessagingService"].full_name,
    "tasks": tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name,
}


def other_than(service: str) -> str:
    """The other one of the two."""
    (other,) = SERVICES.keys() - {service}
    return other


async def health(channel: grpc.aio.Channel, service: str) -> int:
    """The status of a service at the end of a channel. Raises AioRpcError."""
    stub = cast(Any, health_pb2_grpc.HealthStub(channel))
    request = health_pb2.HealthCheckRequest(service=SERVICES[service])
    return (await stub.Check(request, timeout=SECONDS)).status


async def knows(channel: grpc.aio.Channel, service: str) -> bool:
    """Whether what responds at the end of a channel knows a service."""
    try:
        await health(channel, service)
    except grpc.aio.AioRpcError:
        return False
    return True


async def other_service(service: str, address: str, tls: Tls | None) -> str:
    """The service at an address that was called as another one; empty if it is not the other."""
    other = other_than(service)
    async with channel_to(address, tls) as channel:
        is_other = not await knows(channel, service) and await knows(channel, other)
    return other if is_other else ""
