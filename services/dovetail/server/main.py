"""The entry point: builds the service that a config names over its store, and runs it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import structlog

from dovetail.admin.v1 import admin_pb2, admin_pb2_grpc
from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from dovetail.server.access.audit import Audit
from dovetail.server.admin.cleaner import Cleaner
from dovetail.server.admin.credentials import Credentials
from dovetail.server.admin.first_admin import token_in
from dovetail.server.admin.servicer import AdminServicer
from dovetail.server.admin.teams import Teams
from dovetail.server.archives.drafts import new_file
from dovetail.server.archives.exporting import Archived, export_store
from dovetail.server.archives.importing import Imported, ImportRequest, import_file, undo_import
from dovetail.server.config import DEFAULT_PORTS, LOOPBACK, ConfigError, ServerConfig
from dovetail.server.errors import DovetailError
from dovetail.server.indexing import Indexer
from dovetail.server.messaging.agents import Directory
from dovetail.server.messaging.endings import Endings
from dovetail.server.messaging.groups import Groups
from dovetail.server.messaging.handouts import Handouts
from dovetail.server.messaging.inboxes import Inboxes
from dovetail.server.messaging.loops import LoopGuard
from dovetail.server.messaging.mail_monitor import MailMonitor
from dovetail.server.messaging.receiving import Receiver
from dovetail.server.messaging.searches import MessageSearches
from dovetail.server.messaging.servicer import MessagingServicer
from dovetail.server.messaging.servicer import Rules as MessagingRules
from dovetail.server.messaging.subscriptions import Subscriptions
from dovetail.server.open_files import TooFewDescriptorsError, raise_limit
from dovetail.server.presence import Presence
from dovetail.server.readers import Readers
from dovetail.server.runtime import Service, run_server, serve
from dovetail.server.shared_port import check_shareable, reserved
from dovetail.server.store.backups import Content, back_up, restore
from dovetail.server.store.compacting import Compacted, compact
from dovetail.server.store.doctor import Finding, Level, check_store
from dovetail.server.store.engines.base import StoreOpenError
from dovetail.server.store.loop_limits import LoopLimits
from dovetail.server.store.moving.copying import Copied, CopyRequest, Pass, copy_store
from dovetail.server.store.moving.errors import (
    FaultyFileError,
    MoveError,
    MoveRefusedError,
    NotThereError,
)
from dovetail.server.store.rebuilding import rebuild_figures, rebuild_search
from dovetail.server.store.removal.looks import Policy
from dovetail.server.store.store import Store
from dovetail.server.store.tables.message_search import MESSAGES
from dovetail.server.store.tables.task_search import TASKS
from dovetail.server.store.transaction import MICROS
from dovetail.server.streams import Streams
from dovetail.server.tasks.absence import QuestionMonitor
from dovetail.server.tasks.attachments import TaskAttachments
from dovetail.server.tasks.claims.lease_monitor import LeaseMonitor
from dovetail.server.tasks.claims.service import Claims
from dovetail.server.tasks.history import History
from dovetail.server.tasks.managing import Lifecycle
from dovetail.server.tasks.reports import Reports
from dovetail.server.tasks.searches import TaskSearches
from dovetail.server.tasks.servicer import Rules, TaskServicer
from dovetail.server.tasks.watching import Watches
from dovetail.server.tasks.working import Work
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc

__all__ = [
    "DEFAULT_PORTS",
    "LOOPBACK",
    "SERVICES",
    "Archived",
    "Compacted",
    "ConfigError",
    "Content",
    "Copied",
    "CopyRequest",
    "FaultyFileError",
    "Finding",
    "ImportRequest",
    "Imported",
    "Level",
    "MoveError",
    "MoveRefusedError",
    "NotThereError",
    "Pass",
    "ServerConfig",
    "StartError",
    "StoreOpenError",
    "back_up",
    "build",
    "check_shareable",
    "check_store",
    "compact",
    "configure_log",
    "copy_store",
    "export_store",
    "import_file",
    "new_file",
    "rebuild_figures",
    "rebuild_search",
    "reserved",
    "restore",
    "run",
    "run_server",
    "undo_import",
]


log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.server")


class StartError(Exception):
    """A server cannot start; the text says why, and what to do."""


def run(config: ServerConfig, ready: Callable[[str, str, str], None]) -> None:
    """Serve in this process until a signal.

    `ready` receives the addresses of server, store and metrics.
    """
    configure_log(config.worker)
    try:
        raise_limit()
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(config, build, ready))
    except (ConfigError, StoreOpenError, TooFewDescriptorsError) as error:
        raise StartError(str(error)) from error


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop if it is installed (`dovetail[fast]`), else asyncio."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def build(store: Store, config: ServerConfig, audit: Audit) -> Service:
    """Build the service that a config names, with administration beside it, over a store."""
    service = SERVICES[config.service](store, config)
    credentials = Credentials(store, audit)
    administration = AdminServicer(Teams(store, audit, config.rules), credentials)
    policy = Policy(default=config.rules, kept_micros=round(config.kept_seconds * MICROS))
    cleaner = Cleaner(store, policy, config.cleaning_seconds)

    async def prepare() -> None:
        if config.credentials:
            await _ensure_admin(credentials, config.admin_token_file)

    def start() -> None:
        service.start()
        cleaner.start()

    def stop() -> None:
        cleaner.close()
        service.stop()

    def register(server: grpc.aio.Server) -> None:
        service.register(server)
        admin_pb2_grpc.add_AdminServiceServicer_to_server(administration, server)

    admin = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
    return replace(
        service,
        names=(*service.names, admin),
        register=register,
        prepare=prepare,
        start=start,
        stop=stop,
    )


async def _ensure_admin(credentials: Credentials, path: Path | None) -> None:
    """Create the first admin from its token file, if there is none. Raises ConfigError."""
    try:
        if await credentials.has_admin():
            if path:
                log.info("there is an admin already: its token file was not read", file=str(path))
        elif path:
            await credentials.ensure_admin(lambda: token_in(path))
        else:
            log.warning("there is no admin to create credentials: add --admin-token-file FILE")
    except DovetailError as error:
        where = f"--admin-token-file {path}: " if path else ""
        raise ConfigError(f"{where}{error.message}") from error


def _messaging(store: Store, config: ServerConfig) -> Service:
    presence = Presence(store, config.presence_seconds)
    directory = Directory(store, presence)
    inboxes = Inboxes(store, LoopGuard(_loop_limits(config)))
    streams, handouts = _streams(store, config, presence), Handouts(store)
    subscriptions = Subscriptions(store, directory, streams, handouts)
    receiver = Receiver(directory, inboxes, handouts, presence)
    indexer = Indexer(store, MESSAGES)
    servicer = MessagingServicer(
        MessagingRules(
            directory=directory,
            groups=Groups(store),
            inboxes=inboxes,
            subscriptions=subscriptions,
            receiver=receiver,
            endings=Endings(store),
            searches=MessageSearches(store, indexer),
        )
    )
    monitor = MailMonitor(store)

    def register(server: grpc.aio.Server) -> None:
        messaging_pb2_grpc.add_MessagingServiceServicer_to_server(servicer, server)

    def start() -> None:
        handouts.start()
        monitor.start()
        presence.start()
        indexer.start()

    def stop() -> None:
        indexer.close()
        streams.close()
        receiver.close()
        monitor.close()

    async def finish() -> None:
        await handouts.finish()
        await presence.finish()

    name = messaging_pb2.DESCRIPTOR.services_by_name["MessagingService"].full_name
    return Service(names=(name,), register=register, start=start, stop=stop, finish=finish)


def _tasks(store: Store, config: ServerConfig) -> Service:
    shortest = round(config.shortest_lease_seconds * MICROS)
    presence = Presence(store, config.presence_seconds)
    work, monitor = Work(store), LeaseMonitor(store)
    away = _loop_limits(config).away or 0
    questions = QuestionMonitor(store, presence, away, config.away_look_seconds)
    claims = Claims(store, work.release, presence)
    streams = _streams(store, config, presence)
    indexer = Indexer(store, TASKS)
    servicer = TaskServicer(
        Rules(
            lifecycle=Lifecycle(store),
            work=work,
            claims=claims,
            history=History(store),
            watches=Watches(store, streams),
            reports=Reports(store),
            searches=TaskSearches(store, indexer),
            attachments=TaskAttachments(store),
            shortest_lease_micros=shortest,
        )
    )

    def register(server: grpc.aio.Server) -> None:
        tasks_pb2_grpc.add_TaskServiceServicer_to_server(servicer, server)

    name = tasks_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name

    def stop() -> None:
        indexer.close()
        claims.close()
        streams.close()
        monitor.close()
        questions.close()

    def start() -> None:
        # Not earlier: a lease that is timed before its holder can reach the server to renew it
        # would expire too soon.
        monitor.start()
        presence.start()
        questions.start()
        indexer.start()

    return Service(names=(name,), register=register, start=start, stop=stop, finish=presence.finish)


def _loop_limits(config: ServerConfig) -> LoopLimits:
    """The limits of teams that set none."""
    away = config.away_seconds
    return LoopLimits(
        hops=config.loop_hops,
        thread_messages=config.loop_thread_hour,
        depth=config.loop_depth,
        away=None if away is None else round(away * MICROS),
    )


def _streams(store: Store, config: ServerConfig, presence: Presence) -> Streams:
    readers = Readers(config.stall_seconds)
    return Streams(store, readers, presence, config.heartbeat_seconds)


SERVICES = {"messaging": _messaging, "tasks": _tasks}


def configure_log(worker: int = 0) -> None:
    """Structured lines on standard error: for people on a terminal, else JSON.

    Those of a worker have its number.
    """
    people = sys.stderr.isatty()
    # Tracebacks without the values of variables: those may be callers' words or tokens.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            *([_number(worker)] if worker else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # One write for each line, its end included: the audit log's thread may write here too.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _number(worker: int) -> structlog.typing.Processor:
    """Adds a worker's number to each line: not as context, which threads would not have."""

    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {**event, "worker": worker}

    return add
