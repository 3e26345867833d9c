"""What an agent should look at: unread messages, by a stream that reads correct, and its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from dovetail.bridges.fences import Origin, origin_of
from dovetail.client import (
    Agent,
    DeliveryState,
    DovetailError,
    Importance,
    MessageKind,
    Order,
    TaskState,
)
from dovetail.client.message_records import AgentRecord, Message

KEPT_MAX = 200
"""How many unread messages are known one by one, the newest; the count knows of all."""

PAGE_MESSAGES = 50
TASKS_MAX = 50
SENDERS_MAX = 100
"""Of how many senders the labels are kept."""

PREVIEW_CHARACTERS = 300
REFRESH_SECONDS_MAX = 0.5
"""A hook waits for it: while servers are away, what the stream told last must do."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """An unread message, as it is told."""

    sequence: int
    message_id: str
    sender_id: str
    is_high: bool
    time: datetime
    known_since: float
    """When this watcher read of it first, by the monotonic clock, in seconds."""
    task_id: str
    what: str
    """What a notice reports, as a word; empty for a message."""
    text: str
    """The beginning of it."""
    left: int
    """How many characters it has beyond that."""


class News:
    """What is unread in the inbox of an agent. `follow` keeps it up to date."""

    def __init__(self, agent: Agent, agent_id: str) -> None:
        """Know of nothing yet."""
        self._agent = agent
        self._agent_id = agent_id
        self._changed = asyncio.Event()
        self.lines: dict[int, Line] = {}
        self.count = 0
        """How many are unread, as far as the last read knows."""
        self._labels: dict[str, Mapping[str, str]] = {}

    async def follow(self) -> None:
        """Read the stream without end, through all outages. Raises DovetailError."""
        async with self._agent.inbox() as inbox:
            async for message in inbox:
                self.lines[message.sequence] = _line(message.sequence, message)
                self.count = max(self.count + 1, len(self.lines))
                if len(self.lines) > KEPT_MAX:
                    del self.lines[min(self.lines)]
                self._changed.set()

    def after(self, sequence: int) -> list[Line]:
        """The unread messages after a sequence, the oldest first."""
        return sorted(
            (each for each in self.lines.values() if each.sequence > sequence),
            key=lambda line: line.sequence,
        )

    async def change(self, seconds: float | None = None) -> bool:
        """Wait until a message comes; return whether one did in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        came = self._changed.is_set()
        self._changed.clear()
        return came

    async def refresh(self) -> None:
        """Forget what was acknowledged since. If no server answers soon, all stays as it was."""
        known = set(self.lines)
        newest = self._agent.messages(
            recipient_id=self._agent_id,
            states=DeliveryState.UNACKNOWLEDGED,
            order=Order.NEWEST_FIRST,
        )
        with suppress(DovetailError, TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS_MAX):
                agent, records = await asyncio.gather(
                    self._agent.agent(self._agent_id), newest.next_page(PAGE_MESSAGES)
                )
            found = {
                receipt.sequence: _line(receipt.sequence, each.message)
                for each in records
                for receipt in each.receipts
                if receipt.recipient_id == self._agent_id
            }
            # A record has the receipts of its first ten recipients alone. That it is here says that
            # the delivery is unacknowledged, whichever recipient this is.
            there = {each.message.message_id for each in records}
            # What is known stays as it is: since when, too.
            found |= {each: self.lines[each] for each in found.keys() & known}
            # What came while the page was read is not in it, and stays.
            oldest = min(found, default=0) if newest.page_token else 0
            for sequence in known - found.keys():
                line = self.lines.get(sequence)
                if line and line.message_id not in there and sequence >= oldest:
                    del self.lines[sequence]
            self.lines |= found
            self.count = max(agent.unacknowledged_count, len(self.lines))

    async def held_tasks(self) -> Sequence[str]:
        """The tasks that the agent works on; none if no server answers soon."""
        listing = self._agent.tasks.list(states=TaskState.IN_PROGRESS, assignee=self._agent_id)
        with suppress(DovetailError, TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS_MAX):
                return [task.task_id for task in await listing.next_page(TASKS_MAX)]
        return ()

    async def learn_senders(self, lines: Sequence[Line]) -> None:
        """Read what the directory says of those who wrote; nothing if no server answers soon."""
        new = {line.sender_id for line in lines if line.sender_id} - self._labels.keys()
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS_MAX):
                found = await asyncio.gather(*map(self._agent.agent, new), return_exceptions=True)
            for agent in found:
                if isinstance(agent, AgentRecord):
                    self._labels[agent.agent_id] = agent.labels
        while len(self._labels) > SENDERS_MAX:
            del self._labels[next(iter(self._labels))]

    def origin(self, line: Line) -> Origin:
        """Whose text it is, as far as that was read."""
        return origin_of(line.sender_id, line.time, self._labels.get(line.sender_id))


def _line(sequence: int, message: Message) -> Line:
    notice, mail = message.notice, message.mail_notice
    what = notice.verb if notice else mail and mail.event
    text = "\n".join(filter(None, (message.subject, message.body)))
    return Line(
        sequence=sequence,
        message_id=message.message_id,
        sender_id=message.sender_id,
        is_high=message.importance == Importance.HIGH,
        time=message.create_time,
        known_since=monotonic(),
        task_id=message.task_id,
        what=str(what) if what and message.kind != MessageKind.MESSAGE else "",
        text=text[:PREVIEW_CHARACTERS],
        left=max(0, len(text) - PREVIEW_CHARACTERS),
    )
