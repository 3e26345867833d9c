"""The two services, and which of them serves at an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dovetail.client import Tls
from dovetail.client.connection import channel_to, split_addresses
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


async def swapped(address: str, named: Mapping[str, str], tls: Tls | None) -> str:
    """What is wrong if the address of a service is that of the other one; else empty.

    `named` has the addresses of each service, of which `address` was called.
    """
    for service, addresses in named.items():
        each, other = split_addresses(addresses), other_than(service)
        if address == ",".join(each) and await _is_other(service, each[0], tls):
            return f"{each[0]} serves {other}, not {service}: are --messaging and --tasks swapped?"
    return ""


async def _is_other(service: str, address: str, tls: Tls | None) -> bool:
    async with channel_to(address, tls) as channel:
        return not await knows(channel, service) and await knows(channel, other_than(service))
