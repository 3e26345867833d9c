"""A program of its own that asks for little, and expects to be served whatever others send.

Arguments: address of messaging, address of tasks, a token or "". It prints "ready", goes on until
its standard input ends, and then prints what it saw, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import Metadata, caller

PAUSE_SECONDS = 0.02
DEADLINE_SECONDS = 60.0
AGENT, TEAM = "bystander", "quiet"


async def main(messaging: str, tasks: str, token: str) -> None:
    metadata = (("authorization", f"Bearer {token}"),) if token else caller(AGENT, TEAM)
    async with (
        grpc.aio.insecure_channel(messaging) as to_messaging,
        grpc.aio.insecure_channel(tasks) as to_tasks,
    ):
        inbox = messaging_pb2_grpc.MessagingServiceStub(to_messaging)
        work = tasks_pb2_grpc.TaskServiceStub(to_tasks)
        await inbox.RegisterAgent(m.RegisterAgentRequest(agent_id=AGENT), metadata=metadata)
        print("ready", flush=True)
        end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        sent, made, waits, errors = list[str](), list[str](), list[float](), list[str]()
        while not end.done():
            send = m.SendMessageRequest(recipient_ids=[AGENT], body="note")
            create = t.CreateTaskRequest(title="note", assignee_id=AGENT)
            calls: tuple[Any, ...] = ((inbox.SendMessage, send), (work.CreateTask, create))
            for method, request in calls:
                began = time.perf_counter()
                try:
                    call: Any = method(request, metadata=metadata, timeout=DEADLINE_SECONDS)
                    answer = await call
                except grpc.aio.AioRpcError as error:
                    errors.append(f"{error.code().name} {error.details()}")
                    continue
                finally:
                    waits.append(time.perf_counter() - began)
                if method is inbox.SendMessage:
                    sent.append(answer.message_id)
                else:
                    made.append(answer.task.task_id)
                await asyncio.sleep(PAUSE_SECONDS)
        lost = [each for each in sent if not await _has_message(inbox, each, metadata)]
        lost += [each for each in made if not await _has_task(work, each, metadata)]
        kept = len(sent) + len(made)
        print(json.dumps({"waits": waits, "errors": errors, "lost": lost, "kept": kept}))


async def _has_message(inbox: Any, message_id: str, metadata: Metadata) -> bool:
    request = m.GetMessageRequest(message_id=message_id)
    return (await inbox.GetMessage(request, metadata=metadata)).record.message.body == "note"


async def _has_task(work: Any, task_id: str, metadata: Metadata) -> bool:
    request = t.GetTaskRequest(task_id=task_id)
    return (await work.GetTask(request, metadata=metadata)).task.title == "note"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
