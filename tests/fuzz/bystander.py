"""A program of its own that asks for little, and expects to be served whatever others send.

Arguments: address of messaging, address of tasks, a token or "". It prints "ready", goes on until
its standard input ends, and then prints what it saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import Metadata, identity

PAUSE_SECONDS = 0.02
DEADLINE_SECONDS = 60.0
AGENT, TEAM = "bystander", "quiet"
SECRET = "the-bystander-keeps-this-to-itself"
"""In all that it writes: nobody else may be told."""

LEASE_SECONDS = 10
LARGE_EVERY = 40
LARGE = SECRET + "x" * 300_000
"""So large that it shares the room for large requests."""


@dataclass
class Seen:
    """What came of its calls."""

    waits: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])
    sent: list[str] = field(default_factory=list[str])
    made: list[str] = field(default_factory=list[str])


class Bystander:
    """Sends to itself, makes tasks, and holds one under a lease all the time."""

    def __init__(self, inbox: Any, work: Any, metadata: Metadata) -> None:
        self._inbox, self._work, self._metadata = inbox, work, metadata
        self.seen = Seen()

    async def run(self, ended: Callable[[], bool]) -> None:
        """Call until the end."""
        await self._call(self._inbox.RegisterAgent, m.RegisterAgentRequest(agent_id=AGENT))
        held = await self._held()
        print("ready", flush=True)
        for number in count():
            if ended():
                return
            body = SECRET if number % LARGE_EVERY else LARGE
            send = m.SendMessageRequest(recipient_ids=[AGENT], body=body)
            create = t.CreateTaskRequest(title=SECRET, assignee_id=AGENT)
            if sent := await self._call(self._inbox.SendMessage, send):
                self.seen.sent.append(sent.message_id)
            if made := await self._call(self._work.CreateTask, create):
                self.seen.made.append(made.task.task_id)
            await self._call(self._work.HeartbeatTask, held)

    async def _held(self) -> t.HeartbeatTaskRequest:
        """What keeps the lease of a task."""
        create = t.CreateTaskRequest(title=SECRET, assignee_id=AGENT)
        task_id = (await self._call(self._work.CreateTask, create)).task.task_id
        start = t.StartTaskRequest(task_id=task_id, lease_duration=Duration(seconds=LEASE_SECONDS))
        token = (await self._call(self._work.StartTask, start)).lease_token
        return t.HeartbeatTaskRequest(task_id=task_id, lease_token=token)

    async def _call(self, method: Any, request: Any) -> Any:
        began = time.perf_counter()
        try:
            return await method(request, metadata=self._metadata, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            name = request.DESCRIPTOR.name
            self.seen.errors.append(f"{name}: {error.code().name} {error.details()}")
            return None
        finally:
            self.seen.waits.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    async def lost(self) -> list[str]:
        """What was acknowledged, and is not there."""
        kept = [each for each in self.seen.sent if await self._has_message(each)]
        kept += [each for each in self.seen.made if await self._has_task(each)]
        return sorted({*self.seen.sent, *self.seen.made} - {*kept})

    async def _has_message(self, message_id: str) -> bool:
        request = m.GetMessageRequest(message_id=message_id)
        answer = await self._inbox.GetMessage(request, metadata=self._metadata)
        return answer.record.message.body in (SECRET, LARGE)

    async def _has_task(self, task_id: str) -> bool:
        request = t.GetTaskRequest(task_id=task_id)
        return (await self._work.GetTask(request, metadata=self._metadata)).task.title == SECRET


async def main(messaging: str, tasks: str, token: str) -> None:
    """Run the program."""
    metadata = (("authorization", f"Bearer {token}"),) if token else identity(AGENT, TEAM)
    async with (
        grpc.aio.insecure_channel(messaging) as to_messaging,
        grpc.aio.insecure_channel(tasks) as to_tasks,
    ):
        inbox = messaging_pb2_grpc.MessagingServiceStub(to_messaging)
        bystander = Bystander(inbox, tasks_pb2_grpc.TaskServiceStub(to_tasks), metadata)
        end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await bystander.run(end.done)
        seen = bystander.seen
        lost, kept = await bystander.lost(), len(seen.sent) + len(seen.made)
        print(json.dumps({"waits": seen.waits, "errors": seen.errors, "lost": lost, "kept": kept}))


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except BaseException:  # noqa: BLE001 - the thread that reads standard input would go on
        traceback.print_exc()
        os._exit(1)
