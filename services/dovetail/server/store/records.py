"""The values that come out of the store and go into it: frozen, and free of the database.

Times are integer microseconds since 1970 UTC; an absent id is an empty string; enum numbers are
those of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class Role(IntEnum):
    """What a caller may do."""

    AGENT = 1
    OPERATOR = 2
    OBSERVER = 3
    ADMIN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A team. `create_time` is None for one that an older release made."""

    team_id: str
    create_time: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """Who a token proves to be, and for how long. An admin's has no team; `lifetime` None: no end.

    `creator_id` and `revoker_id` are the credentials by which it was made and ended, `rotated_id`
    is the one in whose place it came.
    """

    credential_id: str
    number: int
    change_number: int
    team_id: str
    agent_id: str
    role: Role
    description: str
    create_time: int
    lifetime: int | None
    expire_time: int | None
    revoke_time: int | None
    creator_id: str
    revoker_id: str
    rotated_id: str

    def ended(self, now: int) -> bool:
        """Whether it has been revoked, or has expired by `now`."""
        expired = self.expire_time is not None and self.expire_time <= now
        return expired or self.revoke_time is not None


class Importance(IntEnum):
    """How much a message matters to its sender."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


class MessageKind(IntEnum):
    """What wrote a message."""

    MESSAGE = 1
    NOTICE = 2


class TaskVerb(IntEnum):
    """What can be done to a task, or what happens to it without a caller."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3
    ASSIGN = 4
    UNASSIGN = 5
    CLAIM = 6
    START = 7
    HEARTBEAT = 8
    RELEASE = 9
    REQUEST_INPUT = 10
    PROVIDE_INPUT = 11
    COMPLETE = 12
    FAIL = 13
    CANCEL = 14
    REOPEN = 15
    RETRY = 16
    EXPIRE_LEASE = 20
    BECOME_READY = 21
    FAIL_DEPENDENCY = 22
    BECOME_OVERDUE = 23

    @property
    def words(self) -> str:
        """The verb as errors and the command line write it: "request-input"."""
        return self.name.lower().replace("_", "-")


class DeliveryState(IntEnum):
    """What became of a delivery."""

    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """How a repeat is known: the caller's id for the request, and a hash of what it asked.

    Ids are remembered for the agent that called. `scope` is for a caller without one: the
    credential by which it called, so that two operators do not share their ids.
    """

    request_id: str
    request_hash: bytes
    scope: str = ""

    @property
    def key(self) -> str:
        """What is stored, and looked for. Ids hold no line breaks: no scope's key is another's."""
        return f"{self.scope}\n{self.request_id}" if self.scope else self.request_id


def stored_repeat(key: str, request_hash: bytes) -> Repeat:
    """The repeat of a stored key."""
    scope, _, request_id = key.rpartition("\n")
    return Repeat(request_id=request_id, request_hash=request_hash, scope=scope)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What happened to a task."""

    verb: TaskVerb
    task_id: str
    event_number: int
    actor_id: str
    assignee_id: str
    former_assignee_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a message says. `data_json` is an object in JSON, or None."""

    subject: str = ""
    body: str = ""
    data_json: str | None = None
    importance: int = Importance.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    notice: Notice | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message, as sent."""

    number: int
    sender_id: str
    recipient_ids: tuple[str, ...]
    thread_id: str
    in_reply_to: str
    task_id: str
    kind: int
    create_time: int
    content: Content

    @property
    def message_id(self) -> str:
        """The id that everybody uses."""
        return message_id(self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """A message to append. An empty `thread_id` makes it begin a thread of its own."""

    sender_id: str
    recipient_ids: Sequence[str]
    kind: MessageKind
    content: Content
    size: int
    thread_id: str = ""
    in_reply_to: str = ""
    task_id: str = ""
    repeat: Repeat | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a message at one recipient."""

    recipient_id: str
    sequence: int
    message_number: int
    acknowledge_time: int | None

    @property
    def state(self) -> DeliveryState:
        """What became of it, in a word."""
        return DeliveryState.ACKNOWLEDGED if self.acknowledge_time else DeliveryState.UNACKNOWLEDGED


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What was written for a message."""

    number: int
    thread_id: str
    create_time: int
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A message in an inbox."""

    receipt: Receipt
    message: Message


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeRange:
    """A span of time with its start and without its end; None: without a bound."""

    start: int | None = None
    end: int | None = None


EVER = TimeRange()


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageFilter:
    """Which messages: every condition that is set must hold."""

    sender_ids: Sequence[str] = ()
    thread_id: str = ""
    task_id: str = ""
    kinds: Sequence[int] = ()
    minimum_importance: int = 0
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    create_time: TimeRange = EVER


def message_id(number: int) -> str:
    """The id of a message."""
    return f"m{number}"


def message_number(text: str) -> int | None:
    """The number behind an id; None where no message can have this id."""
    digits = text[1:]
    plain = text[:1] == "m" and digits.isascii() and digits.isdigit() and digits[0] != "0"
    return int(digits) if plain and len(digits) <= 18 else None


class TaskState(IntEnum):
    """Where a task stands in its life."""

    PENDING = 1
    IN_PROGRESS = 2
    INPUT_REQUIRED = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6


OPEN_STATES = (TaskState.PENDING, TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task as it now is.

    The outcome is the result of a completed task, the failure of a failed one, the reason of a
    cancelled one. The last failure is that of the last attempt after which another one came.
    `number` is the order of creation, `version` the order of changes. `waiting_for_count` counts
    dependencies that are not COMPLETED. A task with a `lease_token` is held since the event
    `lease_event`; `lease_count` counts heartbeats. `pooled`: it goes back to the pool when it
    becomes PENDING again. `asked_id` is who must answer the open question, `question_agent_id` who
    was asked last. `input_wait` is for how long it waited for answers. Lengths of time are in
    microseconds.
    """

    task_id: str
    number: int
    version: int
    title: str
    description: str
    state: TaskState
    assignee_id: str
    creator_id: str
    priority: int
    labels: Mapping[str, str]
    thread_id: str
    input_json: str | None
    outcome_text: str
    outcome_json: str | None
    attempt: int
    create_time: int
    update_time: int
    assign_time: int | None
    start_time: int | None
    end_time: int | None
    due_time: int | None
    delete_time: int | None = None
    depends_on: tuple[str, ...] = ()
    parent_task_id: str = ""
    waiting_for_count: int = 0
    pooled: bool = False
    schedule_time: int | None = None
    max_attempts: int = 5
    failed_attempts: int = 0
    initial_backoff: int = 1_000_000
    lease_token: str = ""
    lease_duration: int = 0
    lease_count: int = 0
    lease_expire_time: int | None = None
    lease_event: int = 0
    progress_percent: int | None = None
    progress_note: str = ""
    asked_id: str = ""
    question_agent_id: str = ""
    question_text: str = ""
    question_json: str | None = None
    ask_time: int | None = None
    answered: bool = False
    answer_text: str = ""
    answer_json: str | None = None
    input_wait: int = 0
    overdue_told: bool = False
    last_failure_text: str = ""
    last_failure_json: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its work is over."""
        return self.state not in OPEN_STATES


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEvent:
    """One numbered change of a task."""

    number: int
    task_id: str
    verb: TaskVerb
    actor_id: str
    from_state: int
    to_state: int
    assignee_id: str
    former_assignee_id: str
    reason: str
    create_time: int
    message_number: int | None
    repeat: Repeat | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFilter:
    """Which tasks: every condition that is set must hold."""

    states: Sequence[int] = ()
    assignee_ids: Sequence[str] = ()
    unassigned: bool = False
    creator_ids: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    create_time: TimeRange = EVER
    end_time: TimeRange = EVER
    parent_task_id: str = ""
