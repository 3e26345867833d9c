"""An agent's side of the talk: the directory, messages, the inbox."""
# ruff: noqa: PLR0913 - a keyword for each field of the contract

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from dovetail.client.claims import ClaimOptions, claim_one
from dovetail.client.configuration import Configuration
from dovetail.client.connection import Access, Addresses, Connection, caller_metadata
from dovetail.client.errors import DeadlineExceededError
from dovetail.client.held import HeldTask
from dovetail.client.inbox import Inbox
from dovetail.client.received import InboxMessage, MessageContent, ReceivedMessage, received
from dovetail.client.security import Tls
from dovetail.client.tasks import Tasks
from dovetail.client.values import struct
from dovetail.client.worker import Handler, Worker, WorkOptions
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.settings import CLIENT
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2

TIMEOUT: float = CLIENT["timeout"].default


@asynccontextmanager
async def connect(
    agent_id: str | None = None,
    *,
    team_id: str | None = None,
    messaging: Addresses | None = None,
    tasks: Addresses | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - each call's, not this function's
    patience: float | None = None,
    token: str = "",
    token_file: Path | str | None = None,
    tls: Tls | None = None,
    insecure: bool | None = None,
) -> AsyncGenerator[Agent]:
    """Be an agent of a team, at the servers of these addresses. Nothing is called yet.

    A call takes at most `timeout` seconds. While a server cannot be reached the call is made again,
    for `patience` seconds (default: the whole `timeout`); that is safe, for every write is made
    with an id by which the server knows a repeat. An agent that is "" may look, and work on tasks,
    but not send. A team that is "" is the team "default", or that of the token.

    What is not given is read as the command line reads it: from the environment (DOVETAIL_AGENT,
    DOVETAIL_TEAM, DOVETAIL_MESSAGING, DOVETAIL_TASKS, DOVETAIL_TIMEOUT and the variables of tokens
    and TLS), else from the configuration file, else it is the default (`dovetail config`).

    Either service may have several addresses, of servers over one store: listed, or separated by
    commas. Calls go to those that are up, in turn.

    Servers that ask for credentials get `token`, or that of `token_file` (mode 0600; read again
    when a server refuses the old one). It says who calls: the ids may be left out. `tls` encrypts;
    a token goes to another machine in the clear only when `insecure` says so. Raises
    ConfigurationError.
    """
    configured = Configuration()
    agent_id = str(configured.value("agent", agent_id))
    timeout = float(configured.value("timeout", timeout))
    access = Access(
        ids=caller_metadata(configured.value("team", team_id), agent_id),
        token=configured.token(token, token_file),
        tls=configured.tls(tls),
        insecure=configured.value("insecure", insecure),
        timeout=timeout,
        patience=timeout if patience is None else patience,
    )
    talk = Connection(configured.value("messaging", messaging), access)
    work = Connection(configured.value("tasks", tasks), access)
    try:
        yield Agent(agent_id, talk, Tasks(work))
    finally:
        await talk.close()
        await work.close()


class Agent:
    """A participant of a team. `tasks` is its side of the work. Every call raises DovetailError."""

    def __init__(self, agent_id: str, connection: Connection, tasks: Tasks) -> None:
        """Use `connect`."""
        self.agent_id = agent_id
        self.tasks = tasks
        self._connection = connection
        self._call = connection.call
        self._stub = messaging_pb2_grpc.MessagingServiceStub(connection.channel)

    async def register(
        self,
        agent_id: str = "",
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> pb.Agent:
        """Make an agent known, by default this one; one that exists stays as it is."""
        request = pb.RegisterAgentRequest(
            agent_id=agent_id, display_name=display_name, labels=labels
        )
        return (await self._call(self._stub.RegisterAgent, request)).agent

    async def agent(self, agent_id: str = "") -> pb.Agent:
        """One agent, by default this one."""
        request = pb.GetAgentRequest(agent_id=agent_id)
        return (await self._call(self._stub.GetAgent, request)).agent

    async def agents(
        self, *, labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> AsyncIterator[pb.Agent]:
        """All agents of the team in order of id, page after page."""
        request = pb.ListAgentsRequest(labels=labels, page_size=page_size)
        while True:
            page = await self._call(self._stub.ListAgents, request)
            for agent in page.agents:
                yield agent
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def send(
        self,
        to: str | Iterable[str],
        body: str = "",
        *,
        subject: str = "",
        data: Mapping[str, Any] | None = None,
        importance: pb.Importance.ValueType = pb.IMPORTANCE_UNSPECIFIED,
        thread_id: str = "",
        in_reply_to: str = "",
        task_id: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> pb.SendMessageResponse:
        """Send a message to one agent or to many. When this returns, it is on the server's disk.

        After an error that leaves the outcome unknown, sending again with the same `request_id`
        sends it once. Without one, a new id serves the repeats of this call.
        """
        request = pb.SendMessageRequest(
            recipient_ids=[to] if isinstance(to, str) else to,
            subject=subject,
            body=body,
            data=struct(data),
            importance=importance,
            thread_id=thread_id,
            in_reply_to=in_reply_to,
            task_id=task_id,
            labels=labels,
            request_id=request_id or str(uuid.uuid4()),
        )
        return await self._call(self._stub.SendMessage, request)

    async def ask(
        self,
        to: str,
        body: str = "",
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of the answer, not of this call
        thread_id: str = "",
        in_reply_to: str = "",
        **content: Unpack[MessageContent],
    ) -> ReceivedMessage:
        """Send a message and wait for the first reply to it, which is then acknowledged.

        No reply is missed, however early it comes. One that is not there `timeout` seconds after
        the message was sent (default: as long as a call) is a DeadlineExceededError; it may still
        come, and asking again with the same `request_id` waits for it without sending again.
        """
        sent = await self.send(to, body, thread_id=thread_id, in_reply_to=in_reply_to, **content)
        timeout = self._connection.timeout if timeout is None else timeout
        since = types_pb2.TimeRange(start_time=sent.create_time)
        replies = pb.MessageFilter(thread_id=sent.thread_id, create_time=since)
        async with self.inbox(include_acknowledged=True, filter=replies) as inbox:
            try:
                async with asyncio.timeout(timeout):
                    reply = await anext(inbox)
                    while reply.in_reply_to != sent.message_id:
                        reply = await anext(inbox)
            except TimeoutError:
                raise DeadlineExceededError(
                    f"no reply to message {sent.message_id} in {timeout:g} s",
                    metadata={"message_id": sent.message_id},
                ) from None
        await reply.acknowledge()
        return reply

    async def reply(
        self, message: InboxMessage, body: str = "", **content: Unpack[MessageContent]
    ) -> pb.SendMessageResponse:
        """Answer the sender of a message, in the same thread. It does not acknowledge."""
        return await self.send(message.sender_id, body, in_reply_to=message.message_id, **content)

    async def receive(
        self,
        agent_id: str = "",
        *,
        max_wait: float = 0.0,
        max_messages: int = 0,
        acknowledge: Iterable[int] = (),
        acknowledge_through: int = 0,
        filter: pb.MessageFilter | None = None,
    ) -> list[ReceivedMessage]:
        """What is not acknowledged in an inbox, by default this agent's: at most `max_messages`.

        When there is nothing, it waits for `max_wait` seconds (50 at most). First it acknowledges
        what it is told to: give it the last sequences, and a loop needs but one call.
        """
        request = pb.ReceiveMessagesRequest(
            agent_id=agent_id,
            acknowledge_sequences=acknowledge,
            acknowledge_through_sequence=acknowledge_through,
            max_messages=max_messages,
            filter=filter,
        )
        clock = asyncio.get_running_loop().time
        end = clock() + max_wait

        def receive(
            request: pb.ReceiveMessagesRequest, **options: Any
        ) -> Awaitable[pb.ReceiveMessagesResponse]:
            """A repeat waits for what is left of the time."""
            request.max_wait.FromTimedelta(timedelta(seconds=max(0.0, end - clock())))
            return self._stub.ReceiveMessages(request, **options)

        answer = await self._call(receive, request, wait=max_wait)
        return [self._received(agent_id, delivery) for delivery in answer.deliveries]

    def inbox(
        self,
        agent_id: str = "",
        *,
        position: pb.StartPosition.ValueType = pb.START_POSITION_UNSPECIFIED,
        after_sequence: int | None = None,
        include_acknowledged: bool = False,
        max_outstanding: int = 0,
        filter: pb.MessageFilter | None = None,
    ) -> Inbox:
        """An inbox, by default this agent's: an async iterator over its messages.

        It begins with everything that is not acknowledged, or at `position`, or after a sequence.
        """
        owner = agent_id or self.agent_id
        request = pb.SubscribeInboxRequest(
            agent_id=owner,
            include_acknowledged=include_acknowledged,
            max_outstanding=max_outstanding,
            filter=filter,
        )
        if after_sequence is not None:
            request.after_sequence = after_sequence
        else:
            request.position = position
        return Inbox(
            self._connection, self._stub.SubscribeInbox, request, partial(self._received, owner)
        )

    async def acknowledge(
        self, sequences: Iterable[int] = (), *, through: int = 0, agent_id: str = ""
    ) -> pb.AcknowledgeMessagesResponse:
        """Say that an inbox, by default this agent's, is done with these, or with all `through`."""
        request = pb.AcknowledgeMessagesRequest(
            agent_id=agent_id, sequences=sequences, through_sequence=through
        )
        return await self._call(self._stub.AcknowledgeMessages, request)

    async def message(self, message_id: str) -> pb.MessageRecord:
        """One message, with what became of it at its first ten recipients."""
        request = pb.GetMessageRequest(message_id=message_id)
        return (await self._call(self._stub.GetMessage, request)).record

    async def receipts(
        self, message_id: str, *, page_size: int = 0
    ) -> AsyncIterator[types_pb2.Receipt]:
        """What became of one message at each of its recipients, page after page."""
        request = pb.ListReceiptsRequest(message_id=message_id, page_size=page_size)
        while True:
            page = await self._call(self._stub.ListReceipts, request)
            for receipt in page.receipts:
                yield receipt
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def messages(
        self,
        *,
        recipient_id: str = "",
        states: Iterable[types_pb2.DeliveryState.ValueType] = (),
        filter: pb.MessageFilter | None = None,
        order: types_pb2.Order.ValueType = types_pb2.ORDER_UNSPECIFIED,
        page_size: int = 0,
    ) -> AsyncIterator[pb.MessageRecord]:
        """The team's messages, or those of one inbox, page after page."""
        request = pb.ListMessagesRequest(
            recipient_id=recipient_id,
            states=states,
            filter=filter,
            order=order,
            page_size=page_size,
        )
        while True:
            page = await self._call(self._stub.ListMessages, request)
            for record in page.records:
                yield record
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def claim(
        self,
        *,
        filter: tasks_pb2.TaskFilter | None = None,
        lease_duration: timedelta | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[HeldTask]:
        """Wait for a ready task, and hold it for the length of the block.

            async with agent.claim() as task:
                task.result(do(task.input))

        Heartbeats go out by themselves, through outages of any length. The end of the block
        completes the task; an exception fails it, to be tried again unless it is a WorkFailedError
        that says otherwise; cancelling releases it. When the lease is lost, or the task cancelled
        or taken away, the block is cancelled and raises LeaseLostError.

        Without a task after `timeout` seconds (default: it waits on) it raises
        DeadlineExceededError.
        """
        return claim_one(
            self.tasks, ClaimOptions(filter=filter, lease_duration=lease_duration), timeout
        )

    async def work(self, handler: Handler, **options: Unpack[WorkOptions]) -> None:
        """Run `handler(task)` on each task that is ready; see WorkOptions.

        What it answers (a str, a Mapping or nothing) is the task's result; otherwise tasks end as
        in `claim`. A handler that is no coroutine function runs in threads. Cancel it to stop: what
        it holds then is finished or released.
        """
        await Worker(self.tasks, handler, **options).run()

    def _received(self, agent_id: str, delivery: pb.Delivery) -> ReceivedMessage:
        """A delivery of an agent's inbox, which this agent answers."""

        async def acknowledge(sequence: int) -> None:
            await self.acknowledge((sequence,), agent_id=agent_id)

        return received(delivery, acknowledge, self.reply)
