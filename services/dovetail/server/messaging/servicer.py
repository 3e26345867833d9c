"""MessagingService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

from google.protobuf.struct_pb2 import Struct
from grpc.aio import ServicerContext

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc as pb_grpc
from dovetail.server.access.caller import Caller, current_caller
from dovetail.server.edge.convert import (
    converted,
    duration_micros,
    idempotency_key,
    optional_struct,
    page_fingerprint,
    receipt_message,
    struct_json,
    time_range,
    timestamp,
)
from dovetail.server.edge.paging import Paging
from dovetail.server.messaging import receiving
from dovetail.server.messaging.agents import Directory
from dovetail.server.messaging.inboxes import (
    Acknowledgement,
    Inboxes,
    MessageQuery,
    OutgoingMessage,
    Record,
)
from dovetail.server.messaging.subscriptions import Response, SubscribeRequest, Subscriptions
from dovetail.server.store.tables.agents import Agent
from dovetail.server.store.tables.inboxes import Delivery
from dovetail.server.store.tables.messages import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    Importance,
    Message,
    MessageFilter,
    Notice,
    message_id,
)
from dovetail.types.v1 import types_pb2

Context = ServicerContext[object, object]


class MessagingServicer(pb_grpc.MessagingServiceServicer):
    """Translates between the contract and the rules of messaging."""

    def __init__(
        self,
        directory: Directory,
        inboxes: Inboxes,
        subscriptions: Subscriptions,
        receiver: receiving.Receiver,
    ) -> None:
        """Answer by these rules."""
        self._receiver = receiver
        self._directory = directory
        self._inboxes = inboxes
        self._subscriptions = subscriptions

    async def RegisterAgent(
        self, request: pb.RegisterAgentRequest, context: Context
    ) -> pb.RegisterAgentResponse:
        """Make an agent known."""
        agent, created = await self._directory.register(
            current_caller.get(), request.agent_id, request.display_name, dict(request.labels)
        )
        return pb.RegisterAgentResponse(agent=_agent(agent), created=created)

    async def GetAgent(self, request: pb.GetAgentRequest, context: Context) -> pb.GetAgentResponse:
        """Answer one agent."""
        agent = await self._directory.get(current_caller.get(), request.agent_id)
        return pb.GetAgentResponse(agent=_agent(agent))

    async def ListAgents(
        self, request: pb.ListAgentsRequest, context: Context
    ) -> pb.ListAgentsResponse:
        """Answer a page of agents."""
        caller = current_caller.get()
        page, token = await self._directory.page(
            caller, dict(request.labels), _paging(caller, request)
        )
        return pb.ListAgentsResponse(agents=map(_agent, page), next_page_token=token)

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        """Write a message and its deliveries."""
        draft = await converted(request.data.ByteSize(), lambda: _draft(request))
        sent = await self._inboxes.send(current_caller.get(), draft)
        return pb.SendMessageResponse(
            message_id=message_id(sent.number),
            thread_id=sent.thread_id,
            create_time=timestamp(sent.create_time),
            receipts=map(receipt_message, sent.receipts),
        )

    async def SubscribeInbox(
        self, request: pb.SubscribeInboxRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeInboxResponse]:
        """Stream an inbox."""
        stream = self._subscriptions.open(current_caller.get(), _wish(request))
        async with aclosing(stream):
            while True:  # no name holds what a slow reader has yet to take
                yield await _converted_response([await anext(stream)])

    async def ReceiveMessages(
        self, request: pb.ReceiveMessagesRequest, context: Context
    ) -> pb.ReceiveMessagesResponse:
        """Acknowledge, then answer what waits."""
        wanted = receiving.ReceiveRequest(
            acknowledgement=Acknowledgement(
                agent_id=request.agent_id,
                sequences=list(request.acknowledge_sequences),
                through_sequence=request.acknowledge_through_sequence,
                prefix="acknowledge_",
            ),
            max_wait=duration_micros("max_wait", request.max_wait),
            max_messages=request.max_messages,
            filter=_filter(request.filter) if request.HasField("filter") else None,
        )
        received = await self._receiver.receive(current_caller.get(), wanted)
        return await converted(
            _data_size(each.message for each in received.deliveries),
            lambda: pb.ReceiveMessagesResponse(
                deliveries=map(_delivery, received.deliveries),
                acknowledged_count=received.acknowledged_count,
                unacknowledged_count=received.unacknowledged_count,
            ),
        )

    async def AcknowledgeMessages(
        self, request: pb.AcknowledgeMessagesRequest, context: Context
    ) -> pb.AcknowledgeMessagesResponse:
        """Acknowledge deliveries."""
        wanted = Acknowledgement(
            agent_id=request.agent_id,
            sequences=list(request.sequences),
            through_sequence=request.through_sequence,
        )
        count, left = await self._inboxes.acknowledge(current_caller.get(), wanted)
        return pb.AcknowledgeMessagesResponse(acknowledged_count=count, unacknowledged_count=left)

    async def GetMessage(
        self, request: pb.GetMessageRequest, context: Context
    ) -> pb.GetMessageResponse:
        """Answer one message."""
        record = await self._inboxes.get(current_caller.get(), request.message_id)
        return await converted(
            _data_size([record[0]]), lambda: pb.GetMessageResponse(record=_record(record))
        )

    async def ListReceipts(
        self, request: pb.ListReceiptsRequest, context: Context
    ) -> pb.ListReceiptsResponse:
        """Return a page of the receipts of one message."""
        caller = current_caller.get()
        page, token = await self._inboxes.receipts(
            caller, request.message_id, _paging(caller, request)
        )
        return pb.ListReceiptsResponse(receipts=map(receipt_message, page), next_page_token=token)

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: Context
    ) -> pb.ListMessagesResponse:
        """Answer a page of messages."""
        caller = current_caller.get()
        listing = MessageQuery(
            recipient_id=request.recipient_id,
            states=list(request.states),
            filter=_filter(request.filter),
            order=request.order,
        )
        page, token = await self._inboxes.page(caller, listing, _paging(caller, request))
        return await converted(
            _data_size(message for message, _ in page),
            lambda: pb.ListMessagesResponse(records=map(_record, page), next_page_token=token),
        )


def _paging(
    caller: Caller,
    request: pb.ListAgentsRequest | pb.ListMessagesRequest | pb.ListReceiptsRequest,
) -> Paging:
    return Paging(
        page_size=request.page_size,
        page_token=request.page_token,
        binding=page_fingerprint(caller.team_id, request),
    )


def _draft(request: pb.SendMessageRequest) -> OutgoingMessage:
    data_json = struct_json("data", request.data) if request.HasField("data") else None
    return OutgoingMessage(
        recipient_ids=list(request.recipient_ids),
        content=Content(
            subject=request.subject,
            body=request.body,
            data_json=data_json,
            importance=request.importance or Importance.NORMAL,
            labels=dict(request.labels),
        ),
        thread_id=request.thread_id,
        in_reply_to=request.in_reply_to,
        task_id=request.task_id,
        size=request.ByteSize(),
        repeat=idempotency_key(request.request_id, request),
    )


def _wish(request: pb.SubscribeInboxRequest) -> SubscribeRequest:
    resumes = request.WhichOneof("start") == "after_sequence"
    return SubscribeRequest(
        agent_id=request.agent_id,
        position=request.position,
        after_sequence=request.after_sequence if resumes else None,
        include_acknowledged=request.include_acknowledged,
        max_outstanding=request.max_outstanding,
        filter=_filter(request.filter) if request.HasField("filter") else None,
    )


def _filter(filter: pb.MessageFilter) -> MessageFilter:
    return MessageFilter(
        sender_ids=list(filter.sender_ids),
        thread_id=filter.thread_id,
        task_id=filter.task_id,
        kinds=list(filter.kinds),
        minimum_importance=filter.minimum_importance,
        labels=dict(filter.labels),
        create_time=time_range("filter.create_time", filter.create_time),
    )


def _data_size(messages: Iterable[Message]) -> int:
    """How many characters of structured content messages have."""
    return sum(len(message.content.data_json or "") for message in messages)


async def _converted_response(taken: list[Response]) -> pb.SubscribeInboxResponse:
    """A response as it is sent. Taken out of the list, which a slow reader would hold for long."""
    response = taken.pop()
    size = _data_size(each.message for each in response.deliveries)
    return await converted(size, lambda: _response(response))


def _response(response: Response) -> pb.SubscribeInboxResponse:
    return pb.SubscribeInboxResponse(
        deliveries=map(_delivery, response.deliveries),
        through_sequence=response.through_sequence,
        mark=pb.StreamMark.ValueType(response.mark),
    )


def _delivery(delivery: Delivery) -> pb.Delivery:
    return pb.Delivery(
        receipt=receipt_message(delivery.receipt), message=_message(delivery.message)
    )


def _record(record: Record) -> pb.MessageRecord:
    message, receipts = record
    return pb.MessageRecord(message=_message(message), receipts=map(receipt_message, receipts))


def _message(message: Message) -> pb.Message:
    content = message.content
    data: Struct | None = optional_struct(content.data_json)
    return pb.Message(
        message_id=message.message_id,
        sender_id=message.sender_id,
        recipient_ids=message.recipient_ids[:SHOWN_RECIPIENTS_MAX],
        recipient_count=len(message.recipient_ids),
        subject=content.subject,
        body=content.body,
        data=data,
        importance=pb.Importance.ValueType(content.importance),
        thread_id=message.thread_id,
        in_reply_to=message.in_reply_to,
        task_id=message.task_id,
        labels=content.labels,
        kind=pb.MessageKind.ValueType(message.kind),
        create_time=timestamp(message.create_time),
        notice=_notice(content.notice) if content.notice else None,
    )


def _notice(notice: Notice) -> pb.Notice:
    return pb.Notice(
        verb=types_pb2.TaskVerb.ValueType(notice.verb),
        task_id=notice.task_id,
        event_number=notice.event_number,
        actor_id=notice.actor_id,
        assignee_id=notice.assignee_id,
        former_assignee_id=notice.former_assignee_id,
    )


def _agent(agent: Agent) -> pb.Agent:
    return pb.Agent(
        agent_id=agent.agent_id,
        display_name=agent.display_name,
        labels=agent.labels,
        create_time=timestamp(agent.create_time),
        last_seen_time=timestamp(agent.last_seen_time),
        last_sequence=agent.last_sequence,
        unacknowledged_count=agent.unacknowledged_count,
    )
