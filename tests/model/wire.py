"""Both services as a blocking caller sees them, and their answers as the model sees things."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, cast

import grpc

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.messaging.v1 import messaging_pb2_grpc as talk_grpc
from dovetail.server.store.store import Store
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.leases import HeldLease
from dovetail.server.store.transaction import Transaction
from dovetail.server.tasks.claims import lease_monitor
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.tasks.v1 import tasks_pb2_grpc as work_grpc
from dovetail.types.v1 import types_pb2
from model.answers import Delivery
from model.task import Task
from support import event_scan
from support.pair import identity


@dataclass(frozen=True)
class Keeping:
    """The task server's store, and the loop on which it runs."""

    store: Store
    loop: asyncio.AbstractEventLoop


class Wire:
    """Both services."""

    def __init__(self, messaging_address: str, tasks_address: str, keeping: Keeping) -> None:
        self._channels = [grpc.insecure_channel(a) for a in (messaging_address, tasks_address)]
        self._messaging = talk_grpc.MessagingServiceStub(self._channels[0])
        self._tasks = work_grpc.TaskServiceStub(self._channels[1])
        self._keeping = keeping

    def call(self, request: Any, actor: str, team_id: str) -> Any:
        """Make the call that a request is for."""
        ours = request.DESCRIPTOR.file.package.startswith("dovetail.tasks")
        stub = cast(Any, self._tasks if ours else self._messaging)
        method = getattr(stub, request.DESCRIPTOR.name.removesuffix("Request"))
        return method(request, metadata=identity(actor, team_id), timeout=30)

    def inbox(self, agent_id: str, team_id: str) -> list[talk.Delivery]:
        """All of an inbox, as a subscription gives it."""
        stream = self.call(talk.SubscribeInboxRequest(include_acknowledged=True), agent_id, team_id)
        found: list[talk.Delivery] = []
        for response in stream:
            found.extend(response.deliveries)
            if response.mark == talk.STREAM_MARK_CAUGHT_UP:
                stream.cancel()
                return found
        raise AssertionError("the stream ended before it had caught up")

    def lose(self, task_id: str, team_id: str, heartbeats: int) -> bool:
        """Expire a lease as the lease monitor does that saw no heartbeat; returns whether it did.

        It saw the lease before so many heartbeats: where there were any, it must leave it.
        """

        def unit(transaction: Transaction) -> bool:
            task = tasks.find(transaction, task_id)
            assert task is not None
            hold = HeldLease(
                team_id=team_id,
                task_id=task_id,
                token=task.lease_token,
                count=task.lease_count - heartbeats,
                duration=task.lease_duration,
            )
            return lease_monitor._expire_lease(transaction, hold)

        losing = self._keeping.store.write(team_id, unit)
        return asyncio.run_coroutine_threadsafe(losing, self._keeping.loop).result(30)

    def scan(self, team_id: str) -> event_scan.Scan:
        """The tasks of a team, as their events tell of them."""
        scanning = event_scan.scan(self._keeping.store, team_id)
        return asyncio.run_coroutine_threadsafe(scanning, self._keeping.loop).result(30)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


def seen(task: work.Task) -> Task:
    """A task of an answer, as the model sees tasks."""
    return Task(
        task_id=task.task_id,
        title=task.title,
        creator_id=task.creator_id,
        assignee_id=task.assignee_id,
        priority=task.priority,
        depends_on=tuple(task.depends_on),
        max_attempts=task.max_attempts,
        state=task.state,
        attempt=task.attempt,
        failed_attempts=task.failed_attempts,
        pooled=task.pooled,
        leased=task.HasField("lease"),
        progress=task.progress.percent if task.HasField("progress") else None,
        asked_id=task.question.agent_id,
        options=tuple(option.name for option in task.question.options),
        answer=task.answer.text,
        chosen=task.answer.option,
        outcome=task.result.summary or task.failure.message or task.cancel_reason,
        last_failure=task.last_failure.message,
        waiting_for_count=task.waiting_for_count,
        etag=task.etag,
    )


def known(task: Task) -> Task:
    """A task of the model, without what no answer tells."""
    return replace(task, version=0, token="", former={})


def delivered(delivery: talk.Delivery) -> Delivery:
    """A delivery of a stream, as the model sees deliveries."""
    message = delivery.message
    notice = message.notice if message.HasField("notice") else None
    mail_event = message.mail_notice.event
    is_notice = message.kind == talk.MESSAGE_KIND_NOTICE
    assert is_notice == (notice is not None or bool(mail_event))
    return Delivery(
        sender_id=message.sender_id,
        says="" if is_notice else message.body,
        notice=notice,
        mail_event=mail_event,
        acknowledged=delivery.receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED,
    )
