"""Health checks: SERVING while the store responds, otherwise and at the end NOT_SERVING."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dovetail.server.errors import DovetailError
from dovetail.server.store.store import Store

SERVICE_NAME = health.SERVICE_NAME
# Chosen: a store that hangs is noticed within PERIOD + TIMEOUT, which is below the five seconds of
# docs/promises.md.
PERIOD_SECONDS = 1.0
TIMEOUT_SECONDS = 3.0

log = structlog.get_logger("dovetail.health")


class Health:
    """The health of a server by the name of each of its services, and as a whole (no name)."""

    def __init__(self, server: grpc.aio.Server, store: Store, services: Sequence[str]) -> None:
        """Answer health checks on `server`."""
        self._checks = cast(Any, health).aio.HealthServicer()
        cast(Any, health_pb2_grpc).add_HealthServicer_to_server(self._checks, server)
        self._store = store
        self._names = ("", *services, SERVICE_NAME)

    async def watch(self) -> None:
        """Set SERVING, then follow the store, until cancelled."""
        await self._set_status(health_pb2.HealthCheckResponse.SERVING)
        self._store.meter.store_responded(True)
        healthy = True
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            now_healthy = await self._store_responds()
            self._store.meter.store_responded(now_healthy)
            if now_healthy != healthy:
                healthy = now_healthy
                await self._change(healthy)

    async def shut_down(self) -> None:
        """Set NOT_SERVING for good."""
        await self._checks.enter_graceful_shutdown()

    async def _change(self, healthy: bool) -> None:
        if healthy:
            log.info("the store responds again", store=self._store.address)
            await self._set_status(health_pb2.HealthCheckResponse.SERVING)
        else:
            log.error("the store does not respond", store=self._store.address)
            await self._set_status(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _set_status(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self._checks.set(name, status)

    async def _store_responds(self) -> bool:
        with contextlib.suppress(DovetailError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._store.ping()
                return True
        return False
