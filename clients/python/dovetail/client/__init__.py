"""Dovetail's client for asyncio: act as an agent, exchange messages, and work on tasks.

    async with connect("bob") as bob:
        async with bob.inbox() as inbox:
            async for message in inbox:
                await message.reply("done")
                await message.acknowledge()
        async with bob.claim() as task:
            task.result("done")

Calls have a deadline and survive a restart of the server; inboxes and watches resume
automatically. Tasks and messages are frozen values with Python's types; `proto` is the message of
the contract.
"""

import typing

from dovetail.client.agent import Agent
from dovetail.client.attachments import Attachment, AttachmentLike
from dovetail.client.choices import EventChoice, MessageChoice, TaskChoice
from dovetail.client.claims import WorkFailedError
from dovetail.client.connecting import connect
from dovetail.client.drafts import completion, draft, draft_message
from dovetail.client.errors import (
    AbortedError,
    AlreadyExistsError,
    CallCancelledError,
    DataLossError,
    DeadlineExceededError,
    DovetailError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    LeaseLostError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    from_rpc_error,
)
from dovetail.client.held import HeldTask
from dovetail.client.inbox import Inbox
from dovetail.client.message_records import (
    AcknowledgeResult,
    AgentRecord,
    Message,
    MessageRecord,
    Notice,
    Receipt,
    SendResult,
    SentMessage,
)
from dovetail.client.pages import Pages
from dovetail.client.received import InboxMessage, MessageContent, ReceivedMessage
from dovetail.client.security import ConfigurationError, Tls
from dovetail.client.task_history import TaskPages, TaskWatch
from dovetail.client.task_records import (
    AssigneeWorkload,
    ClaimedTask,
    CompletionBucket,
    Cost,
    DurationSummary,
    FieldChange,
    Heartbeat,
    LateResult,
    Lease,
    Report,
    ReportBucket,
    StateCount,
    Task,
    TaskAnswer,
    TaskAttempt,
    TaskEvent,
    TaskFailure,
    TaskLink,
    TaskProgress,
    TaskQuestion,
    TaskResult,
    Usage,
    UsageTotal,
)
from dovetail.client.tasks import Tasks
from dovetail.client.usage import CostLike, UsageFields
from dovetail.client.words import (
    AttachmentPlace,
    AttemptEnd,
    DeliveryState,
    Importance,
    MessageKind,
    Notify,
    Order,
    ReportBasis,
    StartPosition,
    TaskOrder,
    TaskState,
    TaskVerb,
)
from dovetail.client.worker import WorkOptions

__all__ = [
    "AbortedError",
    "AcknowledgeResult",
    "Agent",
    "AgentRecord",
    "AlreadyExistsError",
    "AssigneeWorkload",
    "Attachment",
    "AttachmentLike",
    "AttachmentPlace",
    "AttemptEnd",
    "CallCancelledError",
    "ClaimedTask",
    "CompletionBucket",
    "ConfigurationError",
    "Cost",
    "CostLike",
    "DataLossError",
    "DeadlineExceededError",
    "DeliveryState",
    "DovetailError",
    "DurationSummary",
    "EventChoice",
    "FailedPreconditionError",
    "FieldChange",
    "FieldViolation",
    "Heartbeat",
    "HeldTask",
    "Importance",
    "Inbox",
    "InboxMessage",
    "InternalError",
    "InvalidArgumentError",
    "LateResult",
    "Lease",
    "LeaseLostError",
    "Message",
    "MessageChoice",
    "MessageContent",
    "MessageKind",
    "MessageRecord",
    "NotFoundError",
    "Notice",
    "Notify",
    "Order",
    "OutOfRangeError",
    "Pages",
    "PermissionDeniedError",
    "Receipt",
    "ReceivedMessage",
    "Report",
    "ReportBasis",
    "ReportBucket",
    "ResourceExhaustedError",
    "SendResult",
    "SentMessage",
    "StartPosition",
    "StateCount",
    "Task",
    "TaskAnswer",
    "TaskAttempt",
    "TaskChoice",
    "TaskEvent",
    "TaskFailure",
    "TaskLink",
    "TaskOrder",
    "TaskPages",
    "TaskProgress",
    "TaskQuestion",
    "TaskResult",
    "TaskState",
    "TaskVerb",
    "TaskWatch",
    "Tasks",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Usage",
    "UsageFields",
    "UsageTotal",
    "WorkFailedError",
    "WorkOptions",
    "completion",
    "connect",
    "draft",
    "draft_message",
    "from_rpc_error",
]

if typing.TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # Slow to load, and for this alone.

        globals()[name] = version("dovetail")
        return globals()[name]
