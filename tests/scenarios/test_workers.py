"""Several processes of each service at one address: they work as one, and any may be killed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count, cycle
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.client import Agent, connect
from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.audit import faults, rows
from support.ledger import Caller, Ledger
from support.pair import identity
from support.processes import ServerProcess
from support.refusals import error_info
from support.servers import Servers, channel, insist
from support.soak import full_or_tenth, only_in_soaks
from support.workers import channels_to_each, serving_with_workers, until_replaced, worker_pids

pytestmark = pytest.mark.soak

WORKERS = 2
CLAIMERS = 4
TASKS = full_or_tenth(2_000)
CALLERS = 64
CONNECTIONS = 16
KILLS = full_or_tenth(20)
WRITES_BEFORE = 200
REFUSALS = full_or_tenth(2_000)


async def test_what_one_worker_writes_wakes_what_waits_in_another(
    store_url: str, tmp_path: Path
) -> None:
    async with serving_with_workers(store_url, tmp_path, WORKERS) as servers:
        await servers.register("alice", "bob")
        pids = [list(worker_pids(each).values()) for each in servers.both]
        async with (
            channels_to_each(servers.messaging, pids[0]) as (reading, sending),
            channels_to_each(servers.tasks, pids[1]) as (claiming, creating),
        ):
            stream = messaging_pb2_grpc.MessagingServiceStub(reading).SubscribeInbox(
                messaging_pb.SubscribeInboxRequest(), metadata=identity("bob")
            )
            assert (await _read(stream)).mark == messaging_pb.STREAM_MARK_CAUGHT_UP
            await messaging_pb2_grpc.MessagingServiceStub(sending).SendMessage(
                messaging_pb.SendMessageRequest(recipient_ids=["bob"], body="hello"),
                metadata=identity("alice"),
            )
            (delivery,) = (await _read(stream)).deliveries
            assert delivery.message.body == "hello"
            waiting = tasks_pb2_grpc.TaskServiceStub(claiming)
            claim = waiting.ClaimTask(
                tasks_pb.ClaimTaskRequest(max_wait=Duration(seconds=50)), metadata=identity("bob")
            )
            # On the same connection, so the claim is there before this returns.
            await waiting.ListTasks(tasks_pb.ListTasksRequest(), metadata=identity("bob"))
            task = tasks_pb.CreateTaskRequest(title="dig", assignee_id="bob")
            await tasks_pb2_grpc.TaskServiceStub(creating).CreateTask(
                task, metadata=identity("alice")
            )
            assert [each.task.title for each in (await claim).tasks] == ["dig"]
            (notice,) = (await _read(stream)).deliveries
            assert notice.message.notice.task_id == "t1"


async def test_a_worker_that_is_killed_costs_repeats_only_and_comes_back(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    ids = [f"agent-{number:02}" for number in range(CALLERS)]
    ledger, chance, killed = Ledger(), random.Random(2), 0
    async with serving_with_workers(store_url, tmp_path, WORKERS) as servers:
        await servers.register(*ids)
        async with _connected(servers, CONNECTIONS) as ways:
            callers = [
                Caller(each, [other for other in ids if other != each], way, ledger)
                for each, way in zip(ids, cycle(ways), strict=False)
            ]
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as working:
                for each in callers:
                    working.create_task(each.work(stop))
                while killed < KILLS or (not ledger.unknown and killed < 10 * KILLS):
                    await ledger.reached(ledger.writes + WRITES_BEFORE)
                    await _kill_a_worker(servers.both[killed % 2], chance)
                    killed += 1
                await ledger.reached(ledger.writes + WRITES_BEFORE)
                stop.set()
            assert faults(store_url) == []
            assert ledger.losses(store_url) == []
            assert all([await each.read_on() for each in callers])
        assert ledger.unknown, "no kill met a call"
        for server in servers.both:
            assert await asyncio.to_thread(server.stop) == 0
    report_figures(
        f"{killed} workers killed, {ledger.writes:,} acknowledged writes by {CALLERS} callers,"
        f" {ledger.unknown:,} unknown outcomes repeated; lost 0, half written 0, gaps 0"
    )


async def test_claims_in_several_workers_share_what_there_is_and_no_two_win_one(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    async with serving_with_workers(store_url, tmp_path, WORKERS) as servers:
        names = [f"claimer-{number}" for number in range(WORKERS * CLAIMERS)]
        await servers.register("alice", *names)
        async with channels_to_each(
            servers.tasks, list(worker_pids(servers.tasks).values())
        ) as channels:
            for first in range(0, TASKS, 100):
                batch = tasks_pb.BatchCreateTasksRequest()
                for number in range(first, first + 100):
                    batch.requests.add(task_id=f"task-{number}", title="work")
                await servers.tasks_stub.BatchCreateTasks(batch, metadata=identity("alice"))
            stubs = [tasks_pb2_grpc.TaskServiceStub(each) for each in channels]
            claims = (_claim_all(stubs[n % WORKERS], name) for n, name in enumerate(names))
            won = dict(zip(names, await asyncio.gather(*claims), strict=True))
        every = Counter(task_id for task_ids in won.values() for task_id in task_ids)
        assert set(every) == {f"task-{number}" for number in range(TASKS)}
        assert set(every.values()) == {1}
        assert all(won.values()), "a claimer starved"
        shares = [sum(len(won[name]) for name in names[n::WORKERS]) for n in range(WORKERS)]
        assert min(shares) >= TASKS // (5 * WORKERS), f"a worker's claims starved: {shares}"
        assert faults(store_url) == []
    report_figures(f"{TASKS:,} tasks, {CLAIMERS} claimers at each worker: shares {shares}")


@only_in_soaks
async def test_workers_that_stop_end_their_streams_with_their_cursor(
    store_url: str, tmp_path: Path
) -> None:
    async with serving_with_workers(store_url, tmp_path, WORKERS) as servers:
        await servers.register("alice", "bob")
        pids = list(worker_pids(servers.messaging).values())
        async with channels_to_each(servers.messaging, pids) as channels:
            streams = [
                messaging_pb2_grpc.MessagingServiceStub(each).SubscribeInbox(
                    messaging_pb.SubscribeInboxRequest(), metadata=identity("bob")
                )
                for each in channels
            ]
            for stream in streams:
                assert (await _read(stream)).mark == messaging_pb.STREAM_MARK_CAUGHT_UP
            servers.messaging.signal(signal.SIGTERM)
            for stream in streams:
                assert (await _read(stream)).mark == messaging_pb.STREAM_MARK_CLOSING
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await stream.read()
                assert error_info(raised.value).reason == "SERVER_STOPPING"
        assert await asyncio.to_thread(servers.messaging.wait) == 0


@only_in_soaks
async def test_callers_of_a_worker_that_is_replaced_notice_nothing(
    sqlite_url: str, tmp_path: Path
) -> None:
    """By hand, one worker after the other: `kill -TERM` of each."""
    async with serving_with_workers(sqlite_url, tmp_path, WORKERS) as servers:
        async with (
            connect("bob", messaging=servers.messaging.address) as bob,
            asyncio.TaskGroup() as working,
        ):
            await bob.register()
            stop, sent = asyncio.Event(), count()
            working.create_task(_send(bob, stop, sent))
            for number, pid in sorted(worker_pids(servers.messaging).items()):
                psutil.Process(pid).terminate()
                await until_replaced(servers.messaging, number, pid)
            stop.set()
        (written,) = rows(sqlite_url, "SELECT COUNT(*) FROM messages")
        assert written == (next(sent),)
        assert faults(sqlite_url) == []
        assert servers.messaging.log.read_text().count('"event": "stopped"') == WORKERS


@only_in_soaks
async def test_workers_write_whole_lines_into_one_audit_log(
    sqlite_url: str, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.log"
    options = ("--credentials", "--audit-log", str(audit))
    async with serving_with_workers(sqlite_url, tmp_path, WORKERS, *options) as servers:
        pids = list(worker_pids(servers.messaging).values())
        async with channels_to_each(servers.messaging, pids) as channels:
            stubs = [messaging_pb2_grpc.MessagingServiceStub(each) for each in channels]
            calls = [_refused(stubs[n % WORKERS], n) for n in range(REFUSALS)]
            for first in range(0, REFUSALS, CALLERS):
                await asyncio.gather(*calls[first : first + CALLERS])
        for server in servers.both:
            assert await asyncio.to_thread(server.stop) == 0
    found = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line["audit"] for line in found] == ["refused"] * REFUSALS


async def _read(stream: grpc.aio.UnaryStreamCall) -> messaging_pb.SubscribeInboxResponse:
    async with asyncio.timeout(60):
        response = await stream.read()
    assert isinstance(response, messaging_pb.SubscribeInboxResponse)
    return response


@asynccontextmanager
async def _connected(servers: Servers, connections: int) -> AsyncGenerator[list[Servers]]:
    """The same servers by so many connections, which the kernel spreads over the workers."""
    async with AsyncExitStack() as opened:
        ways: list[Servers] = []
        for _ in range(connections):
            messaging = await opened.enter_async_context(channel(servers.messaging))
            tasks = await opened.enter_async_context(channel(servers.tasks))
            way = replace(
                servers,
                messaging_stub=messaging_pb2_grpc.MessagingServiceStub(messaging),
                tasks_stub=tasks_pb2_grpc.TaskServiceStub(tasks),
            )
            ways.append(way)
        yield ways


async def _kill_a_worker(server: ServerProcess, chance: random.Random) -> None:
    """kill -9 at some moment, and wait until it is replaced."""
    number, pid = chance.choice(sorted(worker_pids(server).items()))
    await asyncio.sleep(chance.uniform(0, 0.02))
    psutil.Process(pid).kill()
    await until_replaced(server, number, pid)


async def _claim_all(stub: tasks_pb2_grpc.TaskServiceAsyncStub, agent_id: str) -> list[str]:
    """Claim and complete one task after another until there is none."""
    won: list[str] = []
    while True:
        request = tasks_pb.ClaimTaskRequest()
        found = (await insist(stub.ClaimTask, request, agent_id)).tasks
        if not found:
            return won
        (claimed,) = found
        won.append(claimed.task.task_id)
        complete = tasks_pb.CompleteTaskRequest(
            task_id=claimed.task.task_id, lease_token=claimed.lease_token
        )
        await insist(stub.CompleteTask, complete, agent_id)


async def _send(agent: Agent, stop: asyncio.Event, sent: count[int]) -> None:
    while not stop.is_set():
        await agent.send(["bob"], "hello")
        next(sent)


async def _refused(stub: messaging_pb2_grpc.MessagingServiceAsyncStub, number: int) -> None:
    """A call without a token; the names of callers differ in length."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ListAgents(
            messaging_pb.ListAgentsRequest(), metadata=(("x-request-id", "x" * (number % 64 + 1)),)
        )
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
