"""MessagingService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from grpc.aio import ServicerContext

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.access.caller import current_caller
from dovetail.server.edge.attachments import attachment_message, weight
from dovetail.server.edge.convert import converted, read_paging, receipt_message, timestamp
from dovetail.server.edge.joined import followed, follows
from dovetail.server.edge.paging import PAGE_BYTES
from dovetail.server.edge.validation import Checks
from dovetail.server.messaging import reading, receiving
from dovetail.server.messaging.agents import Directory
from dovetail.server.messaging.endings import Endings
from dovetail.server.messaging.groups import Groups
from dovetail.server.messaging.groups_servicer import GroupsServicer
from dovetail.server.messaging.inboxes import Inboxes, OutgoingMessage
from dovetail.server.messaging.proto import (
    agent_proto,
    found_response,
    listed_response,
    received_response,
    search_response,
    stream_response,
)
from dovetail.server.messaging.searches import MessageSearches
from dovetail.server.messaging.subscriptions import Subscriptions
from dovetail.server.store.tables.agents import ListRequest
from dovetail.server.store.tables.message_bytes import message_id

Context = ServicerContext[object, object]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules that the service offers."""

    directory: Directory
    groups: Groups
    inboxes: Inboxes
    subscriptions: Subscriptions
    receiver: receiving.Receiver
    endings: Endings
    searches: MessageSearches


class MessagingServicer(GroupsServicer):
    """Translates between the contract and the rules of messaging."""

    def __init__(self, rules: Rules) -> None:
        """Serve these rules."""
        super().__init__(rules.groups)
        self._receiver = rules.receiver
        self._endings = rules.endings
        self._searches = rules.searches
        self._directory = rules.directory
        self._inboxes = rules.inboxes
        self._subscriptions = rules.subscriptions

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        """Make an agent known."""
        with Checks() as check:
            profile = reading.read_registration(check, request)
        agent, created = await self._directory.register(
            current_caller.get(), request.agent_id, profile
        )
        return pb.RegisterAgentResponse(agent=agent_proto(agent), created=created)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        """Return one agent."""
        with Checks() as check:
            check.optional_id("agent_id", request.agent_id)
        agent = await self._directory.get(current_caller.get(), request.agent_id)
        return pb.GetAgentResponse(agent=agent_proto(agent))

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: Context
    ) -> pb.ListAgentsResponse:
        """Return a page of agents."""
        caller = current_caller.get()
        paging, labels = read_paging(caller.team_id, request), dict(request.labels)
        with Checks() as check:
            check.labels("labels", labels)
            after = paging.after_id(check)
        asked = ListRequest(
            labels=labels,
            after=after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
            include_removed=request.include_removed,
        )
        page, token = await self._directory.page(caller, asked, paging)
        return pb.ListAgentsResponse(agents=map(agent_proto, page), next_page_token=token)

    async def UpdateAgent(
        self, request: pb.UpdateAgentRequest, context: Context
    ) -> pb.UpdateAgentResponse:
        """Change what is said of an agent."""
        with Checks() as check:
            changes = reading.read_agent_update(check, request)
        agent = await self._directory.update(
            current_caller.get(), request.agent.agent_id, changes, request.etag
        )
        return pb.UpdateAgentResponse(agent=agent_proto(agent))

    async def RemoveAgent(
        self, request: pb.RemoveAgentRequest, context: Context
    ) -> pb.RemoveAgentResponse:
        """Remove an agent."""
        with Checks() as check:
            check.id("agent_id", request.agent_id)
        removal = await self._directory.remove(current_caller.get(), request.agent_id, request.etag)
        return pb.RemoveAgentResponse(
            agent=agent_proto(removal.agent),
            left_group_count=removal.left_groups,
            told_sender_count=removal.bounce.told_senders,
            untold_sender_count=removal.bounce.other_senders,
        )

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        """Write a message and its deliveries."""

        def read() -> OutgoingMessage:
            with Checks() as check:
                return reading.read_message(check, request)

        heavy = request.data.ByteSize() + weight(request.attachments)
        outgoing = await converted(heavy, read)
        sent = await self._inboxes.send(current_caller.get(), outgoing)
        return pb.SendMessageResponse(
            message_id=message_id(sent.number),
            thread_id=sent.thread_id,
            create_time=timestamp(sent.create_time),
            receipts=map(receipt_message, sent.receipts),
        )

    async def BatchSendMessages(
        self, request: pb.BatchSendMessagesRequest, context: Context
    ) -> pb.BatchSendMessagesResponse:
        """Write many messages and their deliveries."""

        def read() -> list[OutgoingMessage]:
            with Checks() as check:
                return reading.read_messages(check, request)

        outgoing = await converted(request.ByteSize(), read)
        sent = await self._inboxes.send_all(current_caller.get(), outgoing)
        return pb.BatchSendMessagesResponse(
            messages=[
                pb.SentMessage(message_id=message_id(each.number), thread_id=each.thread_id)
                for each in sent
            ],
            create_time=timestamp(sent[0].create_time),
        )

    async def SubscribeInbox(
        self, request: pb.SubscribeInboxRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeInboxResponse]:
        """Stream an inbox."""
        with Checks() as check:
            subscription = reading.read_subscription(check, request)
        stream = await self._subscriptions.open(current_caller.get(), subscription)
        async with aclosing(stream):
            while True:  # no name holds what a slow reader has yet to take
                yield stream_response(await anext(stream))

    @follows
    async def ReceiveMessages(
        self, request: pb.ReceiveMessagesRequest, context: Context
    ) -> pb.ReceiveMessagesResponse:
        """Acknowledge, then return what is unacknowledged."""
        with Checks() as check:
            wanted = reading.read_reception(check, request)
        received = await self._receiver.receive(current_caller.get(), wanted)
        return followed(received_response(received), received.taken)

    async def AcknowledgeMessages(
        self, request: pb.AcknowledgeMessagesRequest, context: Context
    ) -> pb.AcknowledgeMessagesResponse:
        """Acknowledge deliveries."""
        with Checks() as check:
            wanted = reading.read_acknowledgement(check, request)
        count, left = await self._inboxes.acknowledge(current_caller.get(), wanted)
        return pb.AcknowledgeMessagesResponse(acknowledged_count=count, unacknowledged_count=left)

    async def RejectMessage(
        self, request: pb.RejectMessageRequest, context: Context
    ) -> pb.RejectMessageResponse:
        """Reject deliveries."""
        with Checks() as check:
            rejection = reading.read_rejection(check, request)
        count, left = await self._endings.reject(current_caller.get(), rejection)
        return pb.RejectMessageResponse(rejected_count=count, unacknowledged_count=left)

    async def WithdrawMessage(
        self, request: pb.WithdrawMessageRequest, context: Context
    ) -> pb.WithdrawMessageResponse:
        """Take a message back."""
        with Checks() as check:
            check.id("message_id", request.message_id)
        withdrawal = await self._endings.withdraw(current_caller.get(), request.message_id)
        return pb.WithdrawMessageResponse(
            withdrawn_count=withdrawal.withdrawn_count,
            late_count=withdrawal.late_count,
            receipts=map(receipt_message, withdrawal.receipts),
        )

    async def MarkMessagesSeen(
        self, request: pb.MarkMessagesSeenRequest, context: Context
    ) -> pb.MarkMessagesSeenResponse:
        """Mark deliveries as seen."""
        with Checks() as check:
            sequences = reading.read_seen(check, request)
        count = await self._inboxes.mark_seen(current_caller.get(), sequences)
        return pb.MarkMessagesSeenResponse(seen_count=count)

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        """Return one message."""
        with Checks() as check:
            check.id("message_id", request.message_id)
        return found_response(await self._inboxes.get(current_caller.get(), request.message_id))

    async def GetAttachment(
        self, request: pb.GetAttachmentRequest, context: Context
    ) -> pb.GetAttachmentResponse:
        """Return one attachment of a message."""
        with Checks() as check:
            reading.check_attachment(check, request)
        found = await self._inboxes.attachment(
            current_caller.get(), request.message_id, request.name
        )
        return pb.GetAttachmentResponse(attachment=attachment_message(found))

    async def ListReceipts(
        self, request: pb.ListReceiptsRequest, context: Context
    ) -> pb.ListReceiptsResponse:
        """Return a page of the receipts of one message."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            check.id("message_id", request.message_id)
            first = paging.after_number(check) or 0
        page, token = await self._inboxes.receipts(caller, request.message_id, first, paging)
        return pb.ListReceiptsResponse(receipts=map(receipt_message, page), next_page_token=token)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        """Return a page of messages."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            query = reading.read_query(check, request, paging)
        page, token = await self._inboxes.page(caller, query, paging)
        return listed_response(page, token)

    async def SearchMessages(
        self, request: pb.SearchMessagesRequest, context: Context
    ) -> pb.SearchMessagesResponse:
        """Return a page of the messages in which something is found."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            asked = reading.read_question(check, request, paging)
        hits, token = await self._searches.page(caller, asked, paging)
        return search_response(hits, token)
