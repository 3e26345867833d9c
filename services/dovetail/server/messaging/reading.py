"""Reads requests about messages: protobuf to values that are already right. For the servicer only.

Every reader records all faults that it finds, of whatever kind; the servicer raises them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.edge.attachments import check_name, read_attachments
from dovetail.server.edge.convert import (
    idempotency_key,
    read_duration,
    read_object,
    read_time_range,
    read_timestamp,
)
from dovetail.server.edge.paging import Order, Paging
from dovetail.server.edge.searches import read_search
from dovetail.server.edge.validation import PAGE_SIZE_MAX, Checks, shown
from dovetail.server.messaging.endings import Rejection
from dovetail.server.messaging.groups import BATCH_RECIPIENTS_MAX, RECIPIENTS_MAX
from dovetail.server.messaging.inboxes import Acknowledgement, MessageQuery, OutgoingMessage
from dovetail.server.messaging.receiving import ReceiveRequest
from dovetail.server.messaging.searches import MessageQuestion
from dovetail.server.messaging.subscriptions import SubscribeRequest
from dovetail.server.store import wire
from dovetail.server.store.tables.agents import AgentKind, Profile
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.server.store.tables.message_bytes import Content, Importance, MessageKind
from dovetail.server.store.tables.messages import MessageFilter
from dovetail.server.store.transaction import MICROS
from dovetail.server.streams import StartPosition

BATCH_MESSAGES_MAX = 1_000
MESSAGE_GROUPS_MAX = 20
BATCH_GROUPS_MAX = 100
"""Different groups in all messages of a batch: each is looked up."""
SEQUENCES_MAX = 1_000
SUBJECT_CHARACTERS_MAX = 512
DISPLAY_NAME_CHARACTERS_MAX = 256
PROFILE_FIELDS = ("display_name", "labels", "kind")
OUTSTANDING_MAX = 1_000
SEQUENCE_MAX = 2**63 - 1
REJECTED_MAX = 100
"""Each may write a notice to another sender."""
REASON_CHARACTERS_MAX = 1_000
ETAG_CHARACTERS_MAX = 64
ACK_DEADLINE_DAYS_MAX = 365
DAY_MICROS = 24 * 3600 * MICROS
WAIT_MAX_SECONDS = 50


def read_registration(check: Checks, request: pb.RegisterAgentRequest) -> Profile:
    """What is said of an agent to register."""
    check.optional_id("agent_id", request.agent_id)
    return _read_profile(check, request, "")


def read_agent_update(check: Checks, request: pb.UpdateAgentRequest) -> dict[str, Any]:
    """What is to be said of an agent: the fields of a profile that the mask names."""
    check.optional_id("agent.agent_id", request.agent.agent_id)
    paths, known = request.update_mask.paths, ", ".join(PROFILE_FIELDS)
    if not paths:
        check.refuse("update_mask", f"must name one or more of {known}")
    for path in paths:
        if path not in PROFILE_FIELDS:
            check.refuse("update_mask", f"{shown(path)} cannot be updated: name {known}")
            break
    profile = _read_profile(check, request.agent, "agent.", paths)
    return {path: getattr(profile, path) for path in paths if path in PROFILE_FIELDS}


def _read_profile(
    check: Checks,
    source: pb.RegisterAgentRequest | pb.Agent,
    prefix: str,
    wanted: Sequence[str] = PROFILE_FIELDS,
) -> Profile:
    """What a message says of an agent, as far as it is wanted."""
    name = source.display_name if "display_name" in wanted else ""
    labels = dict(source.labels) if "labels" in wanted else {}
    kind = source.kind if "kind" in wanted else 0
    check.text(f"{prefix}display_name", name, DISPLAY_NAME_CHARACTERS_MAX)
    check.labels(f"{prefix}labels", labels)
    return Profile(
        display_name=name,
        labels=labels,
        kind=check.enum(f"{prefix}kind", kind, AgentKind.UNSPECIFIED),
    )


def read_message(
    check: Checks, request: pb.SendMessageRequest, prefix: str = ""
) -> OutgoingMessage:
    """A message to send. In errors its fields begin with `prefix`."""
    count = len(request.recipient_ids)
    if not (1 <= count <= RECIPIENTS_MAX or (request.group_ids and not count)):
        check.refuse(
            f"{prefix}recipient_ids",
            f"must have 1 to {RECIPIENTS_MAX:,} ids (or none beside group_ids), has {count:,}",
        )
    else:
        check.ids(f"{prefix}recipient_ids", request.recipient_ids, RECIPIENTS_MAX)
    check.ids(f"{prefix}group_ids", request.group_ids, MESSAGE_GROUPS_MAX)
    check.text(f"{prefix}subject", request.subject, SUBJECT_CHARACTERS_MAX)
    if "\0" in request.body:
        check.refuse(
            f"{prefix}body", "must not contain NUL characters; send bytes as text or in data"
        )
    for field in ("thread_id", "in_reply_to", "task_id", "request_id"):
        check.optional_id(f"{prefix}{field}", getattr(request, field))
    heavy = "attachments" if request.attachments else "body"
    check.size(f"{prefix}{heavy}", request.ByteSize())
    data = read_object(check, f"{prefix}data", request, "data")
    content = Content(
        subject=request.subject,
        body=request.body,
        data=None if data is None else wire.json_object(data),
        importance=check.enum(f"{prefix}importance", request.importance, Importance.NORMAL),
        labels=dict(request.labels),
        attachments=read_attachments(check, f"{prefix}attachments", request.attachments),
    )
    check.labels(f"{prefix}labels", content.labels)
    _check_sequences(check, f"{prefix}acknowledge_", request.acknowledge_sequences, 0)
    check.number(f"{prefix}cause_sequence", request.cause_sequence, 0, SEQUENCE_MAX)
    return OutgoingMessage(
        prefix=prefix,
        recipient_ids=list(request.recipient_ids),
        content=content,
        thread_id=request.thread_id,
        in_reply_to=request.in_reply_to,
        task_id=request.task_id,
        repeat=idempotency_key(request.request_id, request),
        acknowledge=list(request.acknowledge_sequences),
        cause_sequence=request.cause_sequence,
        group_ids=list(dict.fromkeys(request.group_ids)),
        expire_time=read_timestamp(check, f"{prefix}expire_time", request, "expire_time"),
        ack_deadline=_read_ack_deadline(check, request, prefix),
        task_etag=_read_task_etag(check, request, prefix),
    )


def _read_ack_deadline(check: Checks, request: pb.SendMessageRequest, prefix: str) -> int | None:
    field = f"{prefix}ack_deadline"
    deadline = read_duration(check, field, request, "ack_deadline")
    if deadline is not None and not 0 < deadline <= ACK_DEADLINE_DAYS_MAX * DAY_MICROS:
        check.refuse(
            field,
            f"must be more than 0 and at most {ACK_DEADLINE_DAYS_MAX} days,"
            f" is {deadline / MICROS:g} s",
        )
    return deadline


def _read_task_etag(check: Checks, request: pb.SendMessageRequest, prefix: str) -> str:
    if request.task_etag and not request.task_id:
        check.refuse(f"{prefix}task_etag", "needs the task_id whose etag it is")
    check.text(f"{prefix}task_etag", request.task_etag, ETAG_CHARACTERS_MAX)
    return request.task_etag


def read_messages(check: Checks, request: pb.BatchSendMessagesRequest) -> list[OutgoingMessage]:
    """Messages to send together. The first carries the request's id, for all of them."""
    requests = request.requests
    if not 1 <= len(requests) <= BATCH_MESSAGES_MAX:
        check.refuse("requests", f"must have 1 to {BATCH_MESSAGES_MAX:,}, has {len(requests):,}")
        return []
    recipients = sum(len(each.recipient_ids) for each in requests)
    if recipients > BATCH_RECIPIENTS_MAX:
        check.refuse(
            "requests",
            f"must have at most {BATCH_RECIPIENTS_MAX:,} recipients in all, has {recipients:,}",
        )
        return []
    groups = len({group_id for each in requests for group_id in each.group_ids})
    if groups > BATCH_GROUPS_MAX:
        check.refuse(
            "requests", f"must have at most {BATCH_GROUPS_MAX} different groups, has {groups:,}"
        )
    check.optional_id("request_id", request.request_id)
    for index, each in enumerate(requests):
        if each.request_id:
            check.refuse(
                f"requests[{index}].request_id", "must be unset: set request_id of the batch"
            )
        if each.acknowledge_sequences:
            check.refuse(
                f"requests[{index}].acknowledge_sequences",
                "must be unset: a batch acknowledges nothing",
            )
    first, *others = (
        read_message(check, each, f"requests[{index}].") for index, each in enumerate(requests)
    )
    return [replace(first, repeat=idempotency_key(request.request_id, request)), *others]


def read_subscription(check: Checks, request: pb.SubscribeInboxRequest) -> SubscribeRequest:
    """A stream to open."""
    resumes = request.WhichOneof("start") == "after_sequence"
    check.optional_id("agent_id", request.agent_id)
    check.number("after_sequence", request.after_sequence, 0, SEQUENCE_MAX)
    check.number("max_outstanding", request.max_outstanding, 0, OUTSTANDING_MAX)
    return SubscribeRequest(
        agent_id=request.agent_id,
        position=check.enum("position", request.position, StartPosition.BEGINNING),
        after_sequence=request.after_sequence if resumes else None,
        include_acknowledged=request.include_acknowledged,
        max_outstanding=request.max_outstanding,
        filter=read_filter(check, request.filter) if request.HasField("filter") else None,
    )


def read_reception(check: Checks, request: pb.ReceiveMessagesRequest) -> ReceiveRequest:
    """What a caller wants of an inbox."""
    check.optional_id("agent_id", request.agent_id)
    max_wait = read_duration(check, "max_wait", request, "max_wait") or 0
    if not 0 <= max_wait <= WAIT_MAX_SECONDS * MICROS:
        check.refuse("max_wait", f"must be 0 to {WAIT_MAX_SECONDS} s, is {max_wait / MICROS:g} s")
    check.number("max_messages", request.max_messages, 0, PAGE_SIZE_MAX)
    _check_sequences(
        check,
        "acknowledge_",
        request.acknowledge_sequences,
        request.acknowledge_through_sequence,
    )
    return ReceiveRequest(
        acknowledgement=Acknowledgement(
            agent_id=request.agent_id,
            sequences=list(request.acknowledge_sequences),
            through_sequence=request.acknowledge_through_sequence,
        ),
        max_wait=max_wait,
        max_messages=request.max_messages,
        filter=read_filter(check, request.filter) if request.HasField("filter") else None,
    )


def read_acknowledgement(check: Checks, request: pb.AcknowledgeMessagesRequest) -> Acknowledgement:
    """Which deliveries to acknowledge."""
    check.optional_id("agent_id", request.agent_id)
    if not request.sequences and not request.through_sequence:
        check.refuse("sequences", "must not be empty unless through_sequence is set")
    _check_sequences(check, "", request.sequences, request.through_sequence)
    return Acknowledgement(
        agent_id=request.agent_id,
        sequences=list(request.sequences),
        through_sequence=request.through_sequence,
    )


def read_rejection(check: Checks, request: pb.RejectMessageRequest) -> Rejection:
    """Which deliveries to reject, and why."""
    count = len(request.sequences)
    if not 1 <= count <= REJECTED_MAX:
        check.refuse("sequences", f"must have 1 to {REJECTED_MAX:,} sequences, has {count:,}")
    else:
        _check_sequences(check, "", request.sequences, 0)
    check.text("reason", request.reason, REASON_CHARACTERS_MAX, least=1)
    return Rejection(sequences=list(request.sequences), reason=request.reason)


def read_seen(check: Checks, request: pb.MarkMessagesSeenRequest) -> list[int]:
    """Which deliveries to mark as seen."""
    if not request.sequences:
        check.refuse("sequences", f"must have 1 to {SEQUENCES_MAX:,} sequences")
    _check_sequences(check, "", request.sequences, 0)
    return list(request.sequences)


def check_attachment(check: Checks, request: pb.GetAttachmentRequest) -> None:
    """Record what is wrong with the names of an attachment."""
    check.id("message_id", request.message_id)
    check_name(check, "name", request.name)


def read_query(check: Checks, request: pb.ListMessagesRequest, paging: Paging) -> MessageQuery:
    """Which messages to list."""
    check.optional_id("recipient_id", request.recipient_id)
    return MessageQuery(
        recipient_id=request.recipient_id,
        states=check.enums("states", request.states, DeliveryState),
        filter=read_filter(check, request.filter),
        order=check.enum("order", request.order, Order.OLDEST_FIRST),
        after=paging.after_number(check),
    )


def read_question(
    check: Checks, request: pb.SearchMessagesRequest, paging: Paging
) -> MessageQuestion:
    """What to look for in messages."""
    check.optional_id("recipient_id", request.recipient_id)
    return MessageQuestion(
        query=read_search(check, "query", request.query),
        recipient_id=request.recipient_id,
        filter=read_filter(check, request.filter),
        before=paging.after_number(check),
    )


def read_filter(check: Checks, filter: pb.MessageFilter) -> MessageFilter:
    """Which messages."""
    check.ids("filter.sender_ids", filter.sender_ids)
    check.optional_id("filter.thread_id", filter.thread_id)
    check.optional_id("filter.task_id", filter.task_id)
    check.labels("filter.labels", dict(filter.labels))
    return MessageFilter(
        sender_ids=list(filter.sender_ids),
        thread_id=filter.thread_id,
        task_id=filter.task_id,
        kinds=check.enums("filter.kinds", filter.kinds, MessageKind),
        minimum_importance=check.enum(
            "filter.minimum_importance", filter.minimum_importance, Importance.LOW
        )
        if filter.minimum_importance
        else None,
        labels=dict(filter.labels),
        create_time=read_time_range(check, "filter.create_time", filter.create_time),
    )


def _check_sequences(
    check: Checks, prefix: str, sequences: Sequence[int], through_sequence: int
) -> None:
    if check.at_most(f"{prefix}sequences", sequences, SEQUENCES_MAX):
        for index, sequence in enumerate(sequences):
            check.number(f"{prefix}sequences[{index}]", sequence, 1, SEQUENCE_MAX)
    check.number(f"{prefix}through_sequence", through_sequence, 0, SEQUENCE_MAX)
