"""Dovetail's client for asyncio: act as an agent, exchange messages, and work on tasks.

    async with connect("bob") as bob:
        await bob.register()
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
from dovetail.client.directory import AgentChanges
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
from dovetail.client.input_options import InputOption
from dovetail.client.message_records import (
    AcknowledgeResult,
    AgentRecord,
    AgentRemoval,
    AskedQuestion,
    GivenAnswer,
    GroupRecord,
    MailNotice,
    Message,
    MessageRecord,
    Notice,
    Receipt,
    RejectResult,
    SendResult,
    SentMessage,
    WithdrawResult,
)
from dovetail.client.pages import Pages
from dovetail.client.received import InboxMessage, MessageContent, ReceivedMessage
from dovetail.client.search_records import (
    Excerpt,
    MessageHit,
    MessagePlace,
    TaskHit,
    TaskPlace,
    TextRange,
)
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
    AgentKind,
    AttachmentPlace,
    AttemptEnd,
    DeliveryState,
    Importance,
    MailEvent,
    MessageField,
    MessageKind,
    Notify,
    Order,
    ReportBasis,
    StartPosition,
    TaskField,
    TaskOrder,
    TaskState,
    TaskVerb,
)
from dovetail.client.worker import WorkOptions

__all__ = [
    "AbortedError",
    "AcknowledgeResult",
    "Agent",
    "AgentChanges",
    "AgentKind",
    "AgentRecord",
    "AgentRemoval",
    "AlreadyExistsError",
    "AskedQuestion",
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
    "Excerpt",
    "FailedPreconditionError",
    "FieldChange",
    "FieldViolation",
    "GivenAnswer",
    "GroupRecord",
    "Heartbeat",
    "HeldTask",
    "Importance",
    "Inbox",
    "InboxMessage",
    "InputOption",
    "InternalError",
    "InvalidArgumentError",
    "LateResult",
    "Lease",
    "LeaseLostError",
    "MailEvent",
    "MailNotice",
    "Message",
    "MessageChoice",
    "MessageContent",
    "MessageField",
    "MessageHit",
    "MessageKind",
    "MessagePlace",
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
    "RejectResult",
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
    "TaskField",
    "TaskHit",
    "TaskLink",
    "TaskOrder",
    "TaskPages",
    "TaskPlace",
    "TaskProgress",
    "TaskQuestion",
    "TaskResult",
    "TaskState",
    "TaskVerb",
    "TaskWatch",
    "Tasks",
    "TextRange",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Usage",
    "UsageFields",
    "UsageTotal",
    "WithdrawResult",
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
