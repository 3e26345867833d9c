"""A program: agents that claim tasks, and do with them all that holders do, until its input closes.

`python claimer.py HOST:PORT LEASE_SECONDS LOG AGENT…` writes to LOG, and to the disk, what it was
told before it acts on it: a JSON array a line,

    ["given", AGENT, TASK, TOKEN, ATTEMPT]     a claim was answered
    ["completed", AGENT, TASK, TOKEN]          a completion was acknowledged
    ["refused", AGENT, TASK, TOKEN]            a verb was refused LEASE_LOST

It fails with the first answer that is neither good nor LEASE_LOST.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc

KEY = "dovetail-agent"
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
)
OUTCOME_UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
WAIT_SECONDS = 5
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.02
MOST_TASKS = 4


class Log:
    """What was told, on disk when `write` returns."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *lines: Sequence[object]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        os.write(self._file, text.encode())
        os.fsync(self._file)


class Claimer:
    """One agent."""

    def __init__(self, agent_id: str, stub: Any, lease_seconds: float, log: Log) -> None:
        self._agent_id = agent_id
        self._stub = stub
        self._log = log
        self._random = random.Random(f"{agent_id} {os.getpid()}")
        self._lease = Duration()
        self._lease.FromMilliseconds(round(lease_seconds * 1_000))

    async def work(self) -> None:
        """Claim and act, for ever."""
        while True:
            claimed = await self._claim()
            given = [("given", *self._hold(each), each.task.attempt) for each in claimed]
            if given:
                self._log.write(*given)
            await self._act(claimed)

    async def _claim(self) -> list[pb.ClaimedTask]:
        request = pb.ClaimTaskRequest(
            max_wait=Duration(seconds=WAIT_SECONDS),
            max_tasks=self._random.randint(1, MOST_TASKS),
            lease_duration=self._lease,
        )
        return list((await self._insist(self._stub.ClaimTask, request)).tasks)

    async def _act(self, claimed: list[pb.ClaimedTask]) -> None:
        """Complete most; give some back, fail some, leave some without a word."""
        finished: list[pb.ClaimedTask] = []
        for each in claimed:
            match self._random.randrange(100):
                case 0:
                    pass
                case 1 | 2:
                    request = pb.ReleaseTaskRequest(**_held(each), reason="not now")
                    await self._do(self._stub.ReleaseTask, request, each)
                case 3 | 4:
                    failure = pb.TaskFailure(message="not this time", retryable=True)
                    request = pb.FailTaskRequest(**_held(each), failure=failure)
                    await self._do(self._stub.FailTask, request, each)
                case 5 | 6 | 7 | 8 | 9:
                    await self._do(
                        self._stub.HeartbeatTask, pb.HeartbeatTaskRequest(**_held(each)), each
                    )
                    finished.append(each)
                case _:
                    finished.append(each)
        await self._complete(finished)

    async def _complete(self, finished: list[pb.ClaimedTask]) -> None:
        requests = [_completion(each) for each in finished]
        if len(requests) > 1 and self._random.random() < 0.5:
            batch = pb.BatchCompleteTasksRequest(requests=requests)
            answer = await self._insist(self._stub.BatchCompleteTasks, batch)
            for each, outcome in zip(finished, answer.outcomes, strict=True):
                reason = outcome.refusal.reason if outcome.HasField("refusal") else ""
                self._told(each, reason)
        else:
            for each, request in zip(finished, requests, strict=True):
                await self._do(self._stub.CompleteTask, request, each, done="completed")

    async def _do(self, method: Any, request: Any, each: pb.ClaimedTask, done: str = "") -> None:
        """Use a verb of holders, and write down what was answered."""
        try:
            await self._insist(method, request)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.ABORTED:
                raise
            self._log.write(("refused", *self._hold(each)))
            return
        if done:
            self._log.write((done, *self._hold(each)))

    def _told(self, each: pb.ClaimedTask, reason: str) -> None:
        """Write down the outcome of a completion."""
        if reason not in ("", "LEASE_LOST"):
            raise RuntimeError(f"{each.task.task_id}: {reason}")
        self._log.write(("refused" if reason else "completed", *self._hold(each)))

    def _hold(self, each: pb.ClaimedTask) -> tuple[str, str, str]:
        return self._agent_id, each.task.task_id, each.lease_token

    async def _insist(self, method: Any, request: Any) -> Any:
        """Repeat a call until its outcome is known."""
        metadata = ((KEY, self._agent_id),)
        while True:
            try:
                return await method(
                    request, metadata=metadata, timeout=PATIENCE_SECONDS, wait_for_ready=True
                )
            except grpc.aio.AioRpcError as error:
                if error.code() not in OUTCOME_UNKNOWN:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)


def _held(each: pb.ClaimedTask) -> dict[str, Any]:
    return {"task_id": each.task.task_id, "lease_token": each.lease_token}


def _completion(each: pb.ClaimedTask) -> pb.CompleteTaskRequest:
    """A completion whose request_id tells by which lease it was made."""
    return pb.CompleteTaskRequest(**_held(each), request_id=each.lease_token)


async def claim(address: str, lease_seconds: float, log: Log, agent_ids: Sequence[str]) -> None:
    """Have agents work until the input closes."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = tasks_pb2_grpc.TaskServiceStub(channel)
        working = [
            asyncio.create_task(Claimer(agent_id, stub, lease_seconds, log).work())
            for agent_id in agent_ids
        ]
        end = asyncio.create_task(_input_closes())
        done, _ = await asyncio.wait((*working, end), return_when=asyncio.FIRST_COMPLETED)
        for each in done - {end}:
            each.result()
        for each in working:
            each.cancel()
        await asyncio.wait(working)


async def _input_closes() -> None:
    """Wait for the end of the input; not on a thread, which would outlive a failure."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(claim(sys.argv[1], float(sys.argv[2]), Log(sys.argv[3]), sys.argv[4:]))
