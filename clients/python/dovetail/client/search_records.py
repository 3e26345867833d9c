"""What searches find, as a caller reads it."""

from __future__ import annotations

from dovetail.client.message_records import MessageRecord
from dovetail.client.records import Record
from dovetail.client.task_records import Task
from dovetail.client.words import MessageField, TaskField
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2


class TextRange(Record, of=types_pb2.TextRange):
    """A part of a text, as a slice of it: `text[start:end]`."""

    start: int
    end: int
    proto: types_pb2.TextRange


class Excerpt(Record, of=types_pb2.Excerpt):
    """A part of a text: the characters of the whole from `start` on, and what was found in it."""

    text: str
    start: int
    characters: int
    matches: tuple[TextRange, ...]
    proto: types_pb2.Excerpt


class MessagePlace(Record, of=talk.MessagePlace):
    """Where in a message something was found."""

    field: MessageField
    excerpt: Excerpt
    proto: talk.MessagePlace


class MessageHit(Record, of=talk.MessageHit):
    """A message that was found: with its first receipts, and where in it."""

    record: MessageRecord
    places: tuple[MessagePlace, ...]
    proto: talk.MessageHit


class TaskPlace(Record, of=work.TaskPlace):
    """Where in a task something was found."""

    field: TaskField
    excerpt: Excerpt
    proto: work.TaskPlace


class TaskHit(Record, of=work.TaskHit):
    """A task that was found, and where in it."""

    task: Task
    places: tuple[TaskPlace, ...]
    proto: work.TaskHit
