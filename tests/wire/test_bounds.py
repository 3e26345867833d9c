"""What a request may hold: counted before anything looks at it, so that nobody else waits."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.edge.bounds import MAXIMA, REQUEST_VALUES_MAX, STRUCT_VALUES_MAX
from dovetail.tasks.v1 import tasks_pb2
from support import warm
from support.pair import Pair, identity
from support.refusals import error_info
from support.servers import Servers, channel, serving
from support.soak import SOAK
from wire.calling import ALICE, answer_to, error_of
from wire.filled import METHODS, PLACES, collections, filled

REFUSALS = ("INVALID_FIELDS", "ROLE_REFUSED", "REQUEST_TOO_LARGE")
PATIENCE_SECONDS = 0.5 if SOAK else 1.0
"""What another caller may wait; in other runs than soaks, for how long a server may work meanwhile.

A soak has the machine for itself, and goes by the clock. Elsewhere much runs beside a test, so CPU
time is measured, which that does not stretch.
"""


def clock_of(process: subprocess.Popen[bytes] | warm.Process | None = None) -> Callable[[], float]:
    """The clock by which waiting for a server is measured; by default, for one of this process."""
    if SOAK:
        return time.monotonic
    if process is None:
        return time.process_time
    server = psutil.Process(process.pid)
    return lambda: sum(server.cpu_times()[:2])


def test_every_list_and_map_of_every_request_has_a_bound() -> None:
    found = {
        path[-1].full_name
        for method in METHODS.values()
        for path in collections(method.input_type)
        if not path[-1].full_name.startswith("google.protobuf.Struct.")
        and not path[-1].full_name.startswith("google.protobuf.ListValue.")
    }
    assert found == set(MAXIMA)


async def test_no_list_or_map_filled_to_the_limit_keeps_others_waiting(
    sqlite_url: str, tmp_path: pathlib.Path
) -> None:
    """Each of them, at servers of their own process, while another caller asks for little."""
    requests = [(name, filled(path)) for name, path in PLACES]
    waits: list[float] = []
    async with (
        serving(sqlite_url, tmp_path) as servers,
        channel(servers.messaging) as to_messaging,
        channel(servers.tasks) as to_tasks,
    ):
        await servers.register("alice")
        clocks = [clock_of(each.process) for each in servers.both]
        for name, request in requests * (10 if SOAK else 1):
            tasks = name.split(".")[1] == "tasks"
            clock = clocks[tasks]
            refused = asyncio.create_task(
                answer_to(
                    to_tasks if tasks else to_messaging,
                    name,
                    METHODS[name].server_streaming,
                    request,
                    ALICE,
                )
            )
            while not refused.done():
                began = clock()
                await (list_tasks if tasks else get_agent)(servers)
                waits.append(clock() - began)
            assert error_info(refused.result()).reason in REFUSALS, name
    assert sorted(waits)[len(waits) * 99 // 100] < PATIENCE_SECONDS


async def get_agent(servers: Servers) -> None:
    request = messaging_pb2.GetAgentRequest(agent_id="alice")
    await servers.messaging_stub.GetAgent(request, metadata=ALICE)


async def list_tasks(servers: Servers) -> None:
    await servers.tasks_stub.ListTasks(tasks_pb2.ListTasksRequest(), metadata=ALICE)


def with_values(count: int) -> Struct:
    """A Struct that holds so many values, the list around them among them."""
    made = Struct()
    made.update({"k": [None] * (count - 1)})
    return made


@pytest.mark.parametrize("extra", [0, 1])
async def test_structured_data_holds_ten_thousand_values(sqlite_pair: Pair, extra: int) -> None:
    request = messaging_pb2.SendMessageRequest(
        recipient_ids=["alice"], data=with_values(STRUCT_VALUES_MAX + extra)
    )
    if not extra:
        await sqlite_pair.messaging.SendMessage(request, metadata=ALICE)
        answer = await sqlite_pair.messaging.ReceiveMessages(
            messaging_pb2.ReceiveMessagesRequest(), metadata=ALICE
        )
        assert answer.deliveries[0].message.data == request.data
        return
    error = await error_of(sqlite_pair, "SendMessage", request)
    assert error_info(error).metadata["field"] == "data"
    assert "10,000 values" in str(error.details())


async def test_the_structured_data_of_a_batch_is_bounded_together(sqlite_pair: Pair) -> None:
    task = tasks_pb2.CreateTaskRequest(title="x", input=with_values(STRUCT_VALUES_MAX))
    count = REQUEST_VALUES_MAX // STRUCT_VALUES_MAX
    fits = tasks_pb2.BatchCreateTasksRequest(requests=[task] * count)
    await sqlite_pair.tasks.BatchCreateTasks(fits, metadata=ALICE)
    error = await error_of(
        sqlite_pair,
        "BatchCreateTasks",
        tasks_pb2.BatchCreateTasksRequest(requests=[task] * (count + 1)),
    )
    assert error_info(error).metadata["field"] == f"requests[{count}].input"


@pytest.mark.parametrize("number", [2**53, -(2**53), 9007199254740993, 1e300])
async def test_a_whole_number_that_a_double_cannot_tell_is_refused(
    sqlite_pair: Pair, number: float
) -> None:
    request = messaging_pb2.SendMessageRequest(recipient_ids=["alice"])
    request.data.update({"ids": {"deep": [1, number]}})
    error = await error_of(sqlite_pair, "SendMessage", request)
    assert "as text" in str(error.details())


@pytest.mark.parametrize("number", [2**53 - 1, -(2**53) + 1, 0.5, 1e-300])
async def test_a_number_that_a_double_can_tell_comes_back_as_it_was(
    sqlite_pair: Pair, number: float
) -> None:
    request = messaging_pb2.SendMessageRequest(recipient_ids=["alice"])
    request.data.update({"n": number})
    await sqlite_pair.messaging.SendMessage(request, metadata=ALICE)
    answer = await sqlite_pair.messaging.ReceiveMessages(
        messaging_pb2.ReceiveMessagesRequest(), metadata=ALICE
    )
    assert answer.deliveries[-1].message.data["n"] == number


async def test_one_message_with_much_data_to_many_streams_keeps_nobody_waiting(
    sqlite_pair: Pair,
) -> None:
    names = [f"r{number}" for number in range(50)]
    for name in names:
        register = messaging_pb2.RegisterAgentRequest(agent_id=name)
        await sqlite_pair.messaging.RegisterAgent(register, metadata=identity(name))

    async def first(name: str) -> messaging_pb2.SubscribeInboxResponse:
        stream = sqlite_pair.messaging.SubscribeInbox(
            messaging_pb2.SubscribeInboxRequest(), metadata=identity(name)
        )
        async for response in stream:
            if response.deliveries:
                stream.cancel()
                return response
        raise AssertionError("the stream ended")

    streams = [asyncio.create_task(first(name)) for name in names]
    request = messaging_pb2.SendMessageRequest(
        recipient_ids=names, data=with_values(STRUCT_VALUES_MAX)
    )
    await sqlite_pair.messaging.SendMessage(request, metadata=identity("r0"))
    waits: list[float] = []
    clock = clock_of()
    while not all(stream.done() for stream in streams):
        began = clock()
        await sqlite_pair.messaging.GetAgent(messaging_pb2.GetAgentRequest(agent_id="r0"))
        waits.append(clock() - began)
    assert all(stream.result().deliveries[0].message.data == request.data for stream in streams)
    assert sorted(waits)[len(waits) * 99 // 100] < PATIENCE_SECONDS
