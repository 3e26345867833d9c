"""Dovetail's client for asyncio: act as an agent, exchange messages, and work on tasks.

    async with connect("bob") as bob:
        async with bob.inbox() as inbox:
            async for message in inbox:
                await message.reply("done")
                await message.acknowledge()
        async with bob.claim() as task:
            task.result("done")

Calls have a deadline and survive a restart of the server; inboxes resume automatically. Requests
and responses are the messages of `dovetail.messaging.v1` and `dovetail.tasks.v1`.
"""

import typing

from dovetail.client.agent import Agent
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
from dovetail.client.pages import Pages
from dovetail.client.received import InboxMessage, MessageContent, ReceivedMessage
from dovetail.client.security import ConfigurationError, Tls
from dovetail.client.tasks import Tasks
from dovetail.client.worker import WorkOptions

__all__ = [
    "AbortedError",
    "Agent",
    "AlreadyExistsError",
    "CallCancelledError",
    "ConfigurationError",
    "DataLossError",
    "DeadlineExceededError",
    "DovetailError",
    "FailedPreconditionError",
    "FieldViolation",
    "HeldTask",
    "Inbox",
    "InboxMessage",
    "InternalError",
    "InvalidArgumentError",
    "LeaseLostError",
    "MessageContent",
    "NotFoundError",
    "OutOfRangeError",
    "Pages",
    "PermissionDeniedError",
    "ReceivedMessage",
    "ResourceExhaustedError",
    "Tasks",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
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
