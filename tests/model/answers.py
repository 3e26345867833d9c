"""What the model answers, and what it has in inboxes."""

from __future__ import annotations

from dataclasses import dataclass, field

from dovetail.messaging.v1 import messaging_pb2 as talk
from model.task import Task

Receipts = list[tuple[str, int]]


@dataclass
class Delivery:
    """A message in an inbox: who sent it, what it says, or which notice or mail's event it is."""

    sender_id: str
    says: str = ""
    notice: talk.Notice | None = None
    mail_event: int = 0
    acknowledged: bool = False
    withdrawn: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its recipient is not done with it."""
        return not (self.acknowledged or self.withdrawn)


@dataclass
class Answer:
    """What a request is answered: tasks, receipts, or counts.

    `followed` are the receipts of what it meant for other tasks: a repeat does not tell of those.
    `token` is what the start of a task was answered, once that is learned.
    """

    task: Task | None = None
    receipts: Receipts = field(default_factory=Receipts)
    followed: Receipts = field(default_factory=Receipts)
    counts: tuple[int, int] | None = None
    claimed: list[Task] | None = None
    token: str = ""
