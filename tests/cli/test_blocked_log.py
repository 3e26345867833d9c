"""A log that nobody reads stops no call, and neither does a flood of refusals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import identity
from support.processes import ServerProcess, free_port
from support.refusals import error_info, failure

CALLS = 300
END_SECONDS = 20


@contextmanager
def unread(command: tuple[str, ...], store: str) -> Generator[subprocess.Popen[bytes]]:
    """A command whose output goes into one small pipe that nobody empties."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dovetail.cli", *command, "--store", store],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pipesize=4096,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def refused_calls(stub: messaging_pb2_grpc.MessagingServiceAsyncStub, count: int) -> None:
    """Make calls that are refused, one after another: each is answered by Dovetail."""
    for _ in range(count):
        request = m.GetAgentRequest(agent_id="nobody")
        error = await failure(stub.GetAgent(request, timeout=END_SECONDS))
        assert error_info(error).reason == "AGENT_NOT_FOUND"


@pytest.mark.parametrize("name", ["serve", "up"])
async def test_a_server_whose_output_nobody_reads_goes_on_and_ends(
    tmp_path: Path, name: str
) -> None:
    address = f"127.0.0.1:{free_port()}"
    listen = {
        "serve": ("serve", "messaging", "--listen", address),
        "up": ("up", "--messaging-listen", address, "--tasks-listen", "127.0.0.1:0"),
    }[name]
    data = ("--data-dir", str(tmp_path))
    with unread((*listen, *data), f"sqlite:///{tmp_path}/store.db") as process:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = messaging_pb2_grpc.MessagingServiceStub(channel)
            request = m.RegisterAgentRequest(agent_id="bob")
            await stub.RegisterAgent(
                request, metadata=identity("bob"), wait_for_ready=True, timeout=END_SECONDS
            )
            await refused_calls(stub, CALLS)
            for _ in range(50):  # gRPC's core would write a line for each.
                call = stub.GetAgent(
                    m.GetAgentRequest(agent_id="bob"), compression=grpc.Compression.Gzip
                )
                assert (await failure(call)).code() is grpc.StatusCode.UNIMPLEMENTED
            await stub.GetAgent(m.GetAgentRequest(agent_id="bob"), timeout=END_SECONDS)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, END_SECONDS)


async def test_refusals_beyond_the_lines_of_a_second_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = ServerProcess("messaging", f"sqlite:///{tmp_path}/store.db", log)
    server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = messaging_pb2_grpc.MessagingServiceStub(channel)
            await asyncio.gather(*(refused_calls(stub, 1) for _ in range(CALLS)))
    finally:
        server.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "refused"]
    left_out = [line["count"] for line in lines if "left out" in line["event"]]
    assert left_out
    assert len(told) + sum(left_out) == CALLS
