"""A program: 64 callers that write to one service without a pause, until its input closes.

`python saturate.py messaging|tasks HOST:PORT` prints a line when all have begun, and at the end how
many calls were answered. It fails with the first call that fails.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

import grpc

from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc

CALLERS = 64
KEY = "dovetail-agent"


async def saturate(service: str, address: str) -> None:
    """Call until the input closes."""
    answered, stop = count(), asyncio.Event()
    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as calling:
        for number in range(CALLERS):
            calling.create_task(_call(service, channel, f"busy-{number}", answered, stop))
        await asyncio.to_thread(sys.stdin.buffer.read)
        stop.set()
    print(next(answered), flush=True)


async def _call(
    service: str,
    channel: grpc.aio.Channel,
    agent_id: str,
    answered: count[int],
    stop: asyncio.Event,
) -> None:
    metadata = [(KEY, agent_id)]
    messaging = messaging_pb2_grpc.MessagingServiceStub(channel)
    tasks = tasks_pb2_grpc.TaskServiceStub(channel)
    send = messaging_pb2.SendMessageRequest(recipient_ids=[agent_id], body="x" * 200)
    create = tasks_pb2.CreateTaskRequest(title="work", assignee_id=agent_id)
    while not stop.is_set():
        if service == "messaging":
            await messaging.SendMessage(send, metadata=metadata)
        else:
            await tasks.CreateTask(create, metadata=metadata)
        if next(answered) + 1 == CALLERS:
            print("busy", flush=True)


if __name__ == "__main__":
    asyncio.run(saturate(*sys.argv[1:]))
