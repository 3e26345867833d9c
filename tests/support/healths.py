"""Waiting for what a server says of its health."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.processes import ServerProcess
from support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def until_health(server: ServerProcess, status: int) -> None:
    """Wait until the health of a server's service is this."""
    async with asyncio.timeout(60), grpc.aio.insecure_channel(server.address) as channel:
        stub = cast(Any, health_pb2_grpc.HealthStub(channel))
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        while (await watch.read()).status != status:
            pass
        watch.cancel()


async def until_log(server: ServerProcess, text: str) -> None:
    """Wait until a server's log has a text."""
    await until(lambda: text in server.log.read_text())
