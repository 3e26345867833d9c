"""Whether a server answers at an address, and whether it is the one that is looked for."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dovetail.cli.options import Servers
from dovetail.client import Tls
from dovetail.client.connection import channel_to
from dovetail.client.security import is_local
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

SECONDS = 3.0
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
WITHOUT_PROXY = ("no_grpc_proxy", "no_proxy")
"""The variables that gRPC reads; of the second it takes the first that is set."""

SERVICES = {
    "messaging": messaging_pb2.DESCRIPTOR.services_by_name["MessagingService"].full_name,
    "tasks": tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name,
}


class Health(StrEnum):
    """What is found at an address."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    ANOTHER = "another program"
    BEHIND_PROXY = "no answer by way of a proxy"
    ENCRYPTED = "speaks TLS"
    UNTRUSTED = "not trusted"
    NOBODY = "nobody"
    UNREACHABLE = "unreachable"


EXPLANATIONS = {
    Health.SERVING: "",
    Health.NOT_SERVING: "its store does not answer, or it is stopping: its log says more",
    Health.ANOTHER: "something else answers there, the other service, or one without TLS",
    Health.BEHIND_PROXY: "calls to other machines go by way of the proxy that http_proxy (or"
    " https_proxy, grpc_proxy) names, and it leads to no answer: name this host in no_proxy to go"
    " there directly",
    Health.ENCRYPTED: "it speaks TLS: say whom to trust, with --tls-ca FILE or --tls",
    Health.UNTRUSTED: "it speaks TLS, but this side does not trust its certificate (--tls-ca), or"
    " it wants to see one (--tls-client-cert)",
    Health.NOBODY: "nothing listens there. Start it with: dovetail up",
    Health.UNREACHABLE: "there is no way to this address",
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What was found, and how long the answer took."""

    service: str
    address: str
    health: Health
    seconds: float


async def probe(service: str, address: str, tls: Tls | None) -> Probe:
    """Ask for the health of a service at an address."""
    begin = time.perf_counter()
    health = await _health(SERVICES[service], address, tls)
    seconds = time.perf_counter() - begin
    return Probe(service=service, address=address, health=health, seconds=seconds)


async def probe_all(servers: Servers) -> list[Probe]:
    """Ask at every address of both services; several stand between commas."""
    probes = [
        probe(service, address.strip(), servers.tls)
        for service, addresses in (("messaging", servers.messaging), ("tasks", servers.tasks))
        for address in addresses.split(",")
    ]
    return await asyncio.gather(*probes)


async def _health(name: str, address: str, tls: Tls | None) -> Health:
    async with channel_to(address, tls) as channel:
        stub = cast(Any, health_pb2_grpc.HealthStub(channel))
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            answer = await stub.Check(request, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return Health.BEHIND_PROXY if _proxied(address) else await _listener(address, tls)
            return Health.ANOTHER
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return Health.SERVING if serving else Health.NOT_SERVING


def _proxied(address: str) -> bool:
    """Whether gRPC goes by way of a proxy to this address; never to what is on this machine."""
    if is_local(address) or not any(map(os.environ.get, PROXIES)):
        return False
    direct = next(filter(None, map(os.environ.get, WITHOUT_PROXY)), "")
    host = address.rpartition(":")[0].strip("[]")
    return not any(host.endswith(end.strip()) for end in direct.split(",") if end.strip())


async def _listener(address: str, tls: Tls | None) -> Health:
    """Why gRPC got no answer: does anything take connections there, and with TLS?"""
    host, _, port = address.rpartition(":")
    place = host.strip("[]")
    try:
        await _connect(place, int(port))
    except ConnectionRefusedError:
        return Health.NOBODY
    except (OSError, ValueError):
        return Health.UNREACHABLE
    try:
        await _connect(place, int(port), ssl=_trust_anybody(), server_hostname=place)
    except OSError:
        return Health.ANOTHER
    return Health.UNTRUSTED if tls else Health.ENCRYPTED


async def _connect(host: str, port: int, **how: Any) -> None:
    """See whether a connection can be made, and hang up. TimeoutError is an OSError too."""
    async with asyncio.timeout(SECONDS):
        _, writer = await asyncio.open_connection(host, port, **how)
    writer.transport.abort()


def _trust_anybody() -> ssl.SSLContext:
    """Enough to see whether TLS is spoken; nothing is told to whoever speaks it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def is_here(address: str) -> bool:
    """Whether an address can only be this machine's."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(OSError, ValueError):
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    return host == "::1" or address.startswith("unix:")
