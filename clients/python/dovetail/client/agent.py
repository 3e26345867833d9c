"""An agent's calls to messaging: messages, the inbox; the directory is in its base."""
# ruff: noqa: PLR0913 - a keyword for each field of the contract

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Unpack

from dovetail.client.attachments import Attachment, AttachmentLike, loaded
from dovetail.client.choices import MessageChoice, TaskChoice, message_filter
from dovetail.client.claims import ClaimOptions, claim_one
from dovetail.client.connection import Connection
from dovetail.client.directory import Directory
from dovetail.client.drafts import draft_message, new_id
from dovetail.client.errors import DeadlineExceededError
from dovetail.client.held import HeldTask
from dovetail.client.inbox import Inbox
from dovetail.client.message_records import (
    AcknowledgeResult,
    MessageRecord,
    Receipt,
    RejectResult,
    SendResult,
    SentMessage,
    WithdrawResult,
)
from dovetail.client.pages import Pages
from dovetail.client.received import InboxMessage, MessageContent, ReceivedMessage, received
from dovetail.client.records import record
from dovetail.client.search_records import MessageHit
from dovetail.client.tasks import Tasks
from dovetail.client.words import (
    DeliveryState,
    Order,
    StartPosition,
    WordLike,
    number,
    numbers,
)
from dovetail.client.worker import Handler, Worker, WorkOptions
from dovetail.messaging.v1 import messaging_pb2 as pb


class Agent(Directory):
    """A member of a team. `tasks` has its calls to tasks. Every call may raise DovetailError.

    Close it, with `close` or by a block (`async with connect("bob") as bob:`).
    """

    def __init__(self, agent_id: str, connection: Connection, tasks: Tasks) -> None:
        """Use `connect`."""
        super().__init__(connection)
        self.agent_id = agent_id
        self.tasks = tasks

    async def __aenter__(self) -> Agent:
        """Return itself; the end of the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections. Calls under way are cancelled, and open inboxes end."""
        await self._connection.close()
        await self.tasks.connection.close()

    async def send(
        self,
        to: str | Iterable[str] = (),
        body: str = "",
        *,
        groups: Iterable[str] = (),
        subject: str = "",
        data: Mapping[str, Any] | None = None,
        importance: WordLike = 0,
        thread_id: str = "",
        in_reply_to: str = "",
        task_id: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str = "",
        acknowledge: Iterable[int] = (),
        expire: datetime | timedelta | None = None,
        ack_deadline: timedelta | None = None,
        task_etag: str = "",
        cause: int = 0,
        attachments: Iterable[AttachmentLike] = (),
    ) -> SendResult:
        """Send a message to agents, and to the members of `groups`, each once.

        When this returns, it is on the server's disk.

        Each of `attachments` is the path of a file, or an Attachment: its bytes, or a link.
        The sequences in `acknowledge`, of this agent's inbox, are acknowledged in the same commit.
        After an error with an unknown outcome, sending again with the same `request_id` sends the
        message once. Without a `request_id`, a new one covers the repeats within this call.

        It expires at `expire`, or so long from now (with a `request_id` of your own give a time: a
        length is another time in each call). After `ack_deadline` a notice tells who is not done
        with it. If the task `task_id` has changed since `task_etag`, this raises AbortedError.

        `cause` is the sequence in this agent's inbox on which it acts, if it does not reply to it.
        Agents that only answer each other are stopped, where that is limited, by a
        FailedPreconditionError with the reason LOOP_SUSPECTED.
        """
        request = draft_message(
            to,
            body,
            groups=groups,
            subject=subject,
            data=data,
            importance=importance,
            thread_id=thread_id,
            in_reply_to=in_reply_to,
            task_id=task_id,
            labels=labels,
            expire=expire,
            ack_deadline=ack_deadline,
            task_etag=task_etag,
            cause=cause,
            attachments=await loaded(attachments),
        )
        request.request_id = request_id or new_id()
        request.acknowledge_sequences.extend(acknowledge)
        return record(SendResult, await self._call(self._stub.SendMessage, request))

    async def send_many(
        self, drafts: Iterable[pb.SendMessageRequest], *, request_id: str = ""
    ) -> list[SentMessage]:
        """Send up to 1,000 messages in this order, all or none; see `draft_message`.

        Returns their ids and threads, in order. When this returns, all are on the server's disk.
        """
        request = pb.BatchSendMessagesRequest(requests=drafts, request_id=request_id or new_id())
        sent = await self._call(self._stub.BatchSendMessages, request)
        return [record(SentMessage, each) for each in sent.messages]

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
        """Send a message, wait for the first reply to it, acknowledge the reply and return it.

        No reply is missed, however early it comes. Raises DeadlineExceededError if there is none
        `timeout` seconds after sending (default: the timeout of a call); it may still come, and
        asking again with the same `request_id` waits for it without sending again.
        """
        sent = await self.send(to, body, thread_id=thread_id, in_reply_to=in_reply_to, **content)
        timeout = self._connection.timeout if timeout is None else timeout
        async with self.inbox(
            include_acknowledged=True, thread_id=sent.thread_id, created_since=sent.create_time
        ) as inbox:
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
    ) -> SendResult:
        """Reply to the sender of a message, in the same thread. Does not acknowledge it."""
        return await self.send(message.sender_id, body, in_reply_to=message.message_id, **content)

    async def receive(
        self,
        agent_id: str = "",
        *,
        max_wait: float = 0.0,
        max_messages: int = 0,
        acknowledge: Iterable[int] = (),
        acknowledge_through: int = 0,
        **choice: Unpack[MessageChoice],
    ) -> list[ReceivedMessage]:
        """Return up to `max_messages` unacknowledged messages of an inbox, by default this agent's.

        If there is none, wait up to `max_wait` seconds (50 at most). The sequences in
        `acknowledge`, and all up to `acknowledge_through`, are acknowledged first, so a loop that
        passes those of the last call needs no other call.
        """
        request = pb.ReceiveMessagesRequest(
            agent_id=agent_id,
            acknowledge_sequences=acknowledge,
            acknowledge_through_sequence=acknowledge_through,
            max_messages=max_messages,
            filter=message_filter(choice),
        )
        clock = asyncio.get_running_loop().time
        end = clock() + max_wait

        def receive(
            request: pb.ReceiveMessagesRequest, **options: Any
        ) -> Awaitable[pb.ReceiveMessagesResponse]:
            """Make the call; a repeat waits only for the rest of `max_wait`."""
            request.max_wait.FromTimedelta(timedelta(seconds=max(0.0, end - clock())))
            return self._stub.ReceiveMessages(request, **options)

        response = await self._call(receive, request, wait=max_wait)
        return [self._received(agent_id, delivery) for delivery in response.deliveries]

    def inbox(
        self,
        agent_id: str = "",
        *,
        position: WordLike = 0,
        after_sequence: int | None = None,
        include_acknowledged: bool = False,
        max_outstanding: int = 0,
        **choice: Unpack[MessageChoice],
    ) -> Inbox:
        """Return an inbox, by default this agent's: an async iterator over its messages.

        It starts with all unacknowledged messages, or at `position`, or after a sequence.
        """
        owner = agent_id or self.agent_id
        request = pb.SubscribeInboxRequest(
            agent_id=owner,
            include_acknowledged=include_acknowledged,
            max_outstanding=max_outstanding,
            filter=message_filter(choice),
        )
        if after_sequence is not None:
            request.after_sequence = after_sequence
        else:
            request.position = number(StartPosition, position)
        return Inbox(
            self._connection,
            lambda: self._stub.SubscribeInbox,
            request,
            partial(self._received, owner),
        )

    async def acknowledge(
        self, sequences: Iterable[int] = (), *, through: int = 0, agent_id: str = ""
    ) -> AcknowledgeResult:
        """Acknowledge in an inbox, by default this agent's, these messages or all `through` one."""
        request = pb.AcknowledgeMessagesRequest(
            agent_id=agent_id, sequences=sequences, through_sequence=through
        )
        done = await self._call(self._stub.AcknowledgeMessages, request)
        return record(AcknowledgeResult, done)

    async def reject(self, sequences: Iterable[int], reason: str) -> RejectResult:
        """Say that this agent cannot act on these messages of its inbox, and why.

        They are not delivered any more, and a notice tells their senders.
        """
        request = pb.RejectMessageRequest(sequences=sequences, reason=reason)
        return record(RejectResult, await self._call(self._stub.RejectMessage, request))

    async def withdraw(self, message_id: str) -> WithdrawResult:
        """Take a message that this agent sent back from those that are not done with it yet."""
        request = pb.WithdrawMessageRequest(message_id=message_id)
        return record(WithdrawResult, await self._call(self._stub.WithdrawMessage, request))

    async def mark_seen(self, sequences: Iterable[int]) -> int:
        """Say that this agent has seen these messages of its inbox; they stay unacknowledged.

        Their senders then read SEEN in the receipts. Returns how many were not seen before.
        """
        request = pb.MarkMessagesSeenRequest(sequences=sequences)
        return (await self._call(self._stub.MarkMessagesSeen, request)).seen_count

    async def message(self, message_id: str) -> MessageRecord:
        """Return one message, with the receipts of its first ten recipients."""
        request = pb.GetMessageRequest(message_id=message_id)
        return record(MessageRecord, (await self._call(self._stub.GetMessage, request)).record)

    async def attachment(self, message_id: str, name: str) -> Attachment:
        """Return one attachment of a message, with its bytes."""
        request = pb.GetAttachmentRequest(message_id=message_id, name=name)
        return record(Attachment, (await self._call(self._stub.GetAttachment, request)).attachment)

    def receipts(
        self, message_id: str, *, page_size: int = 0, page_token: str = ""
    ) -> Pages[Receipt]:
        """Iterate over the receipts of all recipients of a message, reading page after page."""
        request = pb.ListReceiptsRequest(
            message_id=message_id, page_size=page_size, page_token=page_token
        )
        return Pages(
            lambda: self._call(self._stub.ListReceipts, request), request, "receipts", Receipt
        )

    def messages(
        self,
        *,
        recipient_id: str = "",
        states: WordLike | Iterable[WordLike] = (),
        order: WordLike = 0,
        page_size: int = 0,
        page_token: str = "",
        **choice: Unpack[MessageChoice],
    ) -> Pages[MessageRecord]:
        """Iterate over the team's messages, or those of one inbox, reading page after page."""
        request = pb.ListMessagesRequest(
            recipient_id=recipient_id,
            states=numbers(DeliveryState, states),
            filter=message_filter(choice),
            order=number(Order, order),
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(self._stub.ListMessages, request), request, "records", MessageRecord
        )

    def search(
        self,
        query: str,
        *,
        recipient_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        **choice: Unpack[MessageChoice],
    ) -> Pages[MessageHit]:
        """Iterate over the messages in which all terms of a query occur, the newest first.

        agent.search('deploy* "staging area"'): words, words that follow each other, and words that
        begin so. What was sent before is never missing.
        """
        request = pb.SearchMessagesRequest(
            query=query,
            recipient_id=recipient_id,
            filter=message_filter(choice),
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(self._stub.SearchMessages, request), request, "hits", MessageHit
        )

    def claim(
        self,
        *,
        lease_duration: timedelta | None = None,
        timeout: float | None = None,
        **choice: Unpack[TaskChoice],
    ) -> AbstractAsyncContextManager[HeldTask]:
        """Wait for a ready task, and hold it for the length of the block.

            async with agent.claim() as task:
                task.result(do(task.input))

        Heartbeats are sent automatically, through outages of any length. The end of the block
        completes the task; an exception fails it, and the task is tried again unless a
        WorkFailedError is not `retryable`; cancelling releases it. When the lease is lost, or the
        task is cancelled or reassigned, the block is cancelled and raises LeaseLostError.

        Raises DeadlineExceededError if no task was ready for `timeout` seconds (default: no limit).
        """
        return claim_one(
            self.tasks, ClaimOptions(choice=choice, lease_duration=lease_duration), timeout
        )

    async def work(self, handler: Handler, **options: Unpack[WorkOptions]) -> None:
        """Run `handler(task)` on each ready task; see WorkOptions.

        The value it returns (a str, a Mapping or None) is the task's result; otherwise tasks end as
        in `claim`. A handler that is not a coroutine function runs in threads. Cancel this call to
        stop: tasks that it holds are then finished or released.
        """
        await Worker(self.tasks, handler, **options).run()

    def _received(self, agent_id: str, delivery: pb.Delivery) -> ReceivedMessage:
        """A delivery of an agent's inbox, acknowledged, replied to and read by this agent."""

        async def acknowledge(sequence: int) -> None:
            await self.acknowledge((sequence,), agent_id=agent_id)

        return received(delivery, acknowledge, self.reply, self.attachment)
