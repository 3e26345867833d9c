"""Whether a server responds at an address, and whether it is the expected one."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from dovetail.cli import services
from dovetail.cli.options.calling import Servers
from dovetail.cli.servers.health import Health, Probe
from dovetail.cli.services import SECONDS
from dovetail.client import Tls
from dovetail.client.connection import channel_to
from dovetail.client.security import is_local

PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
WITHOUT_PROXY = ("no_grpc_proxy", "no_proxy")
"""The variables that gRPC reads; of WITHOUT_PROXY it uses the first that is set."""


async def probe(service: str, address: str, tls: Tls | None) -> Probe:
    """Check the health of a service at an address."""
    begin = time.perf_counter()
    health = await _health(service, address, tls)
    seconds = time.perf_counter() - begin
    return Probe(service=service, address=address, health=health, seconds=seconds)


async def probe_all(servers: Servers, only: str | None = None) -> list[Probe]:
    """Check every address of both services, or of one; several are separated by commas."""
    probes = [
        probe(service, address.strip(), servers.tls)
        for service, addresses in (("messaging", servers.messaging), ("tasks", servers.tasks))
        if only in (None, service)
        for address in addresses.split(",")
    ]
    return await asyncio.gather(*probes)


async def _health(service: str, address: str, tls: Tls | None) -> Health:
    async with channel_to(address, tls) as channel:
        try:
            status = await services.health(channel, service)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return Health.BEHIND_PROXY if _proxied(address) else await _listener(address, tls)
            is_other = await services.knows(channel, services.other_than(service))
            return Health.OTHER_SERVICE if is_other else Health.ANOTHER
    serving = status == health_pb2.HealthCheckResponse.SERVING
    return Health.SERVING if serving else Health.NOT_SERVING


def _proxied(address: str) -> bool:
    """Whether gRPC calls this address through a proxy; never on this machine."""
    if is_local(address) or not any(map(os.environ.get, PROXIES)):
        return False
    direct = next(filter(None, map(os.environ.get, WITHOUT_PROXY)), "")
    host = address.rpartition(":")[0].strip("[]")
    return not any(host.endswith(end.strip()) for end in direct.split(",") if end.strip())


async def _listener(address: str, tls: Tls | None) -> Health:
    """Why gRPC got no response: whether anything listens there, and with TLS."""
    name, _, port = address.rpartition(":")
    host = name.strip("[]")
    try:
        await _connect(host, int(port))
    except ConnectionRefusedError:
        return Health.NOT_RUNNING
    except (OSError, ValueError):
        return Health.UNREACHABLE
    try:
        await _connect(host, int(port), ssl=_trust_any(), server_hostname=host)
    except OSError:
        return Health.ANOTHER
    return Health.UNTRUSTED if tls else Health.ENCRYPTED


async def _connect(host: str, port: int, **how: Any) -> None:
    """Connect, and close the connection. A TimeoutError is an OSError too."""
    async with asyncio.timeout(SECONDS):
        _, writer = await asyncio.open_connection(host, port, **how)
    writer.transport.abort()


def _trust_any() -> ssl.SSLContext:
    """A context to find out whether a server speaks TLS; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def is_here(address: str) -> bool:
    """Whether an address is certainly on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(OSError, ValueError):
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    return host == "::1" or address.startswith("unix:")
