"""The words of the contract: its enums as Python's own, in lower case and without their prefix.

`TaskState.COMPLETED == "completed"`: a word is a str. Arguments take a word, a str that is one, or
the number that the generated code has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum, auto
from typing import Any, TypeVar

from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2

WordLike = str | int
"""What an argument takes for a word: the word itself, or its number in the contract."""


class Word(StrEnum):
    """A value of an enum. UNKNOWN stands for what a newer server sends; `proto` has its number."""


W = TypeVar("W", bound=type[Word])

WORDS: dict[str, type[Word]] = {}
"""The words for an enum of the contract, by its full name."""

_numbers: dict[type[Word], dict[str, int]] = {}


def words_of(enum: Any) -> Callable[[W], W]:
    """Bind a class of words to an enum of the generated code."""

    def bind(kind: W) -> W:
        prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
        _numbers[kind] = {name.removeprefix(prefix).lower(): n for name, n in enum.items()}
        WORDS[enum.DESCRIPTOR.full_name] = kind
        return kind

    return bind


def reader(kind: type[Word]) -> Callable[[int], Word]:
    """A function that returns the word for a number of the contract."""
    known = {each.value for each in kind}
    words = {n: kind(word) for word, n in _numbers[kind].items() if word in known}
    unknown = kind("unknown")

    def read(number: int) -> Word:
        return words.get(number, unknown)

    return read


def number(kind: type[Word], word: WordLike) -> Any:
    """The number of a word in the contract. Raises ValueError for what is no word of `kind`."""
    if isinstance(word, int):
        return word
    found = _numbers[kind].get(word.replace("-", "_").lower())
    if found is None:
        known = ", ".join(each.value for each in kind if each.value in _numbers[kind])
        raise ValueError(f"{str(word)!r} is no {kind.__name__}: it is one of {known}")
    return found


def numbers(kind: type[Word], words: WordLike | Iterable[WordLike]) -> list[Any]:
    """The numbers of one or several words."""
    each = (words,) if isinstance(words, str | int) else words
    return [number(kind, word) for word in each]


@words_of(tasks_pb2.TaskState)
class TaskState(Word):
    """Where a task is in its life."""

    UNKNOWN = auto()
    PENDING = auto()
    IN_PROGRESS = auto()
    INPUT_REQUIRED = auto()
    COMPLETED = auto()
    FAILED = auto()
    CANCELLED = auto()


@words_of(types_pb2.TaskVerb)
class TaskVerb(Word):
    """What was done to a task, or happened to it: the event of a notice."""

    UNKNOWN = auto()
    CREATE = auto()
    UPDATE = auto()
    DELETE = auto()
    ASSIGN = auto()
    UNASSIGN = auto()
    CLAIM = auto()
    START = auto()
    HEARTBEAT = auto()
    RELEASE = auto()
    REQUEST_INPUT = auto()
    PROVIDE_INPUT = auto()
    COMPLETE = auto()
    FAIL = auto()
    CANCEL = auto()
    REOPEN = auto()
    RETRY = auto()
    EXPIRE_LEASE = auto()
    BECOME_READY = auto()
    FAIL_DEPENDENCY = auto()
    BECOME_OVERDUE = auto()
    KEEP_LATE_RESULT = auto()
    SPEND_BUDGET = auto()


@words_of(tasks_pb2.AttemptEnd)
class AttemptEnd(Word):
    """How an attempt ended; UNKNOWN while it lasts."""

    UNKNOWN = auto()
    COMPLETED = auto()
    FAILED = auto()
    LEASE_LOST = auto()
    RELEASED = auto()
    TAKEN_AWAY = auto()
    CANCELLED = auto()


@words_of(tasks_pb2.TaskOrder)
class TaskOrder(Word):
    """The time by which tasks are listed."""

    UNKNOWN = auto()
    CREATE_TIME = auto()
    UPDATE_TIME = auto()


@words_of(tasks_pb2.TaskField)
class TaskField(Word):
    """A field of a task in which searches look."""

    UNKNOWN = auto()
    TITLE = auto()
    DESCRIPTION = auto()
    RESULT = auto()
    FAILURE = auto()
    CANCEL_REASON = auto()
    LAST_FAILURE = auto()
    PROGRESS = auto()
    QUESTION = auto()
    ANSWER = auto()


@words_of(messaging_pb2.MessageField)
class MessageField(Word):
    """A field of a message in which searches look."""

    UNKNOWN = auto()
    SUBJECT = auto()
    BODY = auto()
    DATA = auto()


@words_of(tasks_pb2.Notify)
class Notify(Word):
    """Whether a change notifies other agents."""

    UNKNOWN = auto()
    ALL = auto()
    NONE = auto()


@words_of(tasks_pb2.ReportBasis)
class ReportBasis(Word):
    """What a report was made from."""

    UNKNOWN = auto()
    SCAN = auto()
    KEPT = auto()


@words_of(tasks_pb2.AttachmentPlace)
class AttachmentPlace(Word):
    """Where a task has an attachment."""

    UNKNOWN = auto()
    INPUT = auto()
    RESULT = auto()
    LATE_RESULT = auto()


@words_of(messaging_pb2.Importance)
class Importance(Word):
    """How important a message is."""

    UNKNOWN = auto()
    LOW = auto()
    NORMAL = auto()
    HIGH = auto()


@words_of(messaging_pb2.MessageKind)
class MessageKind(Word):
    """Whether an agent wrote a message, or a server as the notice of an event."""

    UNKNOWN = auto()
    MESSAGE = auto()
    NOTICE = auto()


@words_of(messaging_pb2.AgentKind)
class AgentKind(Word):
    """What an agent is; UNKNOWN also where nobody has said."""

    UNKNOWN = auto()
    MODEL = auto()
    PERSON = auto()
    SERVICE = auto()


@words_of(messaging_pb2.MailEvent)
class MailEvent(Word):
    """What became of a message, as a notice tells its sender, or those whom it concerns."""

    UNKNOWN = auto()
    REJECTED = auto()
    UNACKNOWLEDGED = auto()
    RECIPIENT_REMOVED = auto()
    LOOP_SUSPECTED = auto()
    MUTUAL_WAIT = auto()
    ASKED_AWAY = auto()


@words_of(types_pb2.DeliveryState)
class DeliveryState(Word):
    """What is known of a message at a recipient; SENT and SEEN are unacknowledged too."""

    UNKNOWN = auto()
    UNACKNOWLEDGED = auto()
    ACKNOWLEDGED = auto()
    REJECTED = auto()
    EXPIRED = auto()
    WITHDRAWN = auto()
    SENT = auto()
    SEEN = auto()


@words_of(types_pb2.Order)
class Order(Word):
    """The order of a list."""

    UNKNOWN = auto()
    OLDEST_FIRST = auto()
    NEWEST_FIRST = auto()


@words_of(messaging_pb2.StartPosition)
class StartPosition(Word):
    """Where an inbox starts, or a watch of tasks."""

    UNKNOWN = auto()
    BEGINNING = auto()
    NOW = auto()
