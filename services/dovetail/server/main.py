"""The entrance: which service, over which store, at which port."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable

import grpc
import structlog

from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from dovetail.server.config import DEFAULT_PORTS, LOOPBACK, ConfigError, ServerConfig
from dovetail.server.messaging.directory import Directory
from dovetail.server.messaging.inbox import Inboxes
from dovetail.server.messaging.receiving import Receiver
from dovetail.server.messaging.servicer import MessagingServicer
from dovetail.server.messaging.subscription import Subscriptions
from dovetail.server.runtime import Service, running, serve
from dovetail.server.store.database import Store
from dovetail.server.store.doctor import Finding, Level, check_store
from dovetail.server.store.engine import StoreOpenError
from dovetail.server.tasks.lifecycle import Lifecycle
from dovetail.server.tasks.report import Reports
from dovetail.server.tasks.servicer import TaskServicer
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc

__all__ = [
    "DEFAULT_PORTS",
    "LOOPBACK",
    "SERVICES",
    "ConfigError",
    "Finding",
    "Level",
    "ServerConfig",
    "StartError",
    "build",
    "check_store",
    "run",
    "running",
]


class StartError(Exception):
    """A server cannot start; the text says why, and what to do."""


def run(config: ServerConfig, ready: Callable[[str, str], None]) -> None:
    """Serve in this process until a signal. `ready` gets the address and the store's address."""
    _configure_log()
    try:
        asyncio.run(serve(config, build, ready))
    except (ConfigError, StoreOpenError) as error:
        raise StartError(str(error)) from error


def build(store: Store, config: ServerConfig) -> Service:
    """The service that a config names, over a store."""
    return SERVICES[config.service](store, config)


def _messaging(store: Store, config: ServerConfig) -> Service:
    directory, inboxes = Directory(store), Inboxes(store)
    subscriptions = Subscriptions(store, directory, config.heartbeat_seconds)
    receiver = Receiver(store, directory, inboxes)
    servicer = MessagingServicer(directory, inboxes, subscriptions, receiver)

    def add(server: grpc.aio.Server) -> None:
        messaging_pb2_grpc.add_MessagingServiceServicer_to_server(servicer, server)

    def close() -> None:
        subscriptions.close()
        receiver.close()

    name = messaging_pb2.DESCRIPTOR.services_by_name["MessagingService"].full_name
    return Service(name=name, add=add, close=close)


def _tasks(store: Store, config: ServerConfig) -> Service:  # noqa: ARG001
    servicer = TaskServicer(Lifecycle(store), Reports(store))

    def add(server: grpc.aio.Server) -> None:
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(servicer, server)

    name = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name
    return Service(name=name, add=add, close=lambda: None)


SERVICES = {"messaging": _messaging, "tasks": _tasks}


def _configure_log() -> None:
    """Structured lines on standard error: for people on a terminal, else JSON."""
    people = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
