"""What messaging promises of mail and its ends, once more: lists, and a time that steps.

The order of all that happens is a number, the step. A delivery knows at which step it ended: so it
can be told whether what a stream sent was open at any time since that was last looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from model.task import require

OPEN, SEEN, ACKNOWLEDGED = "UNACKNOWLEDGED", "SEEN", "ACKNOWLEDGED"
REJECTED, EXPIRED, WITHDRAWN = "REJECTED", "EXPIRED", "WITHDRAWN"


@dataclass
class Mail:
    """A message: a notice, or what an agent sent. `event` is of a notice."""

    message_id: str
    sender_id: str
    recipient_ids: tuple[str, ...]
    expire_time: float | None = None
    deadline: float | None = None
    event: str = ""
    about: str = ""


@dataclass
class Place:
    """A message in one inbox. `is_counted` says whether the counter of the inbox has it."""

    mail: Mail
    state: str = OPEN
    reason: str = ""
    ended: int = 0
    is_counted: bool = True

    @property
    def is_open(self) -> bool:
        return self.state in (OPEN, SEEN)


@dataclass
class Post:
    """The mail of one team."""

    inboxes: dict[str, list[Place]] = field(default_factory=dict[str, list[Place]])
    messages: dict[str, Mail] = field(default_factory=dict[str, Mail])
    now: float = 0
    step: int = 0

    def count(self, agent_id: str) -> int:
        """What the counter of an inbox says."""
        return sum(place.is_counted for place in self.inboxes[agent_id])

    def places(self, mail: Mail) -> list[Place]:
        """The deliveries of a message."""
        return [
            place
            for agent_id in mail.recipient_ids
            for place in self.inboxes[agent_id]
            if place.mail is mail
        ]

    def deliver(self, mail: Mail) -> None:
        """Add a message that was sent, or a notice, at the end of each inbox."""
        self.step += 1
        self.messages[mail.message_id] = mail
        for agent_id in mail.recipient_ids:
            self.inboxes[agent_id].append(Place(mail))

    def pass_time(self, seconds: float) -> None:
        """Let time pass: what has expired has, and counters have it still."""
        self.step += 1
        self.now += seconds
        for inbox in self.inboxes.values():
            for place in inbox:
                if place.is_open and self.is_over(place.mail.expire_time):
                    place.state, place.ended = EXPIRED, self.step

    def acknowledge(self, agent_id: str, sequences: Iterable[int]) -> int:
        """Return how many it acknowledged."""
        return self._end(self._of(agent_id, sequences), ACKNOWLEDGED)

    def see(self, agent_id: str, sequences: Iterable[int]) -> int:
        """Return how many it marked."""
        new = [place for place in self._of(agent_id, sequences) if place.state == OPEN]
        for place in new:
            place.state = SEEN
        return len(new)

    def reject(self, agent_id: str, sequences: Iterable[int], reason: str) -> list[Mail]:
        """Return the messages whose senders are told, in order."""
        places = self._of(agent_id, dict.fromkeys(sequences))
        require(all(each.state != ACKNOWLEDGED for each in places), "DELIVERY_ACKNOWLEDGED")
        told = [each.mail for each in places if each.is_open]
        self._end(places, REJECTED, reason)
        return [each for each in told if not each.event and each.sender_id != agent_id]

    def withdraw(self, message_id: str) -> tuple[int, int]:
        """Return how many it withdrew, and how many were too late."""
        mail = self.messages[message_id]
        require(not mail.event, "NOTICE_NOT_WITHDRAWABLE")
        places = self.places(mail)
        late = sum(not (each.is_open or each.state == WITHDRAWN) for each in places)
        return self._end(places, WITHDRAWN), late

    def watch(self) -> list[tuple[Mail, list[str]]]:
        """Do what a monitor does; return the deadlines that were missed, and by whom, in order."""
        self.step += 1
        for inbox in self.inboxes.values():
            for place in inbox:
                place.is_counted &= place.state != EXPIRED
        missed: list[tuple[Mail, list[str]]] = []
        for mail in sorted(self.messages.values(), key=lambda each: each.deadline or 0):
            if self.is_over(mail.deadline):
                mail.deadline = None
                late = [
                    agent_id
                    for agent_id in mail.recipient_ids
                    if any(each.mail is mail and each.is_open for each in self.inboxes[agent_id])
                ]
                missed += [(mail, late)] if late else []
        return missed

    def _of(self, agent_id: str, sequences: Iterable[int]) -> list[Place]:
        inbox = self.inboxes[agent_id]
        wanted = list(sequences)
        require(max(wanted) <= len(inbox), "CURSOR_IN_FUTURE")
        return [inbox[sequence - 1] for sequence in dict.fromkeys(wanted)]

    def _end(self, places: Iterable[Place], state: str, reason: str = "") -> int:
        """End what is open; what has expired is counted off, as by a monitor."""
        self.step += 1
        count = 0
        for place in places:
            if place.is_open:
                place.state, place.reason, place.ended = state, reason, self.step
                count += 1
            place.is_counted &= place.is_open
        return count

    def is_over(self, time: float | None) -> bool:
        return time is not None and time <= self.now
