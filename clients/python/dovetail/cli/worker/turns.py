"""A turn of a program at mail: the messages of one thread, as its program reads them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dovetail.bridges.fences import Fences, origin_of, word
from dovetail.cli.output.json_values import fields, structured
from dovetail.cli.worker.programs import Errand
from dovetail.client import Importance, MessageKind, ReceivedMessage
from dovetail.settings import CLIENT

HOPS_LABEL = "dovetail-hops"
"""A label of replies: how many programs in a row have answered each other, without a message that
was sent otherwise."""

VARIABLES = {
    "DOVETAIL_THREAD_ID": "Of `attend`: the thread whose messages it reads.",
    "DOVETAIL_TURN_ATTEMPT": "Of `attend`: the number of the attempt at these messages, from 1.",
    "DOVETAIL_TURN_ID": "Of `attend`: this turn, as no other.",
    "DOVETAIL_SESSION_ID": "Of `attend --session`: a UUID, the same for every turn at this thread.",
}
"""The environment of a program, beside the settings for calling the servers as its agent."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Whose mail it is, and which of it."""

    team_id: str
    agent_id: str
    thread_id: str

    @property
    def session_id(self) -> str:
        """A UUID that names this thread of this agent, on every machine and for ever."""
        name = json.dumps([self.team_id, self.agent_id, self.thread_id])
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dovetail:{name}"))


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The unacknowledged messages of a thread that one program reads at once."""

    place: Place
    messages: Sequence[ReceivedMessage]
    attempt: int

    @property
    def sequences(self) -> list[int]:
        """Where they are in the inbox."""
        return [each.sequence for each in self.messages]

    @property
    def recipient_ids(self) -> list[str]:
        """To whom a reply goes: all who sent one of the messages, but not to itself."""
        senders = dict.fromkeys(each.sender_id for each in self.messages)
        return [each for each in senders if each not in ("", self.place.agent_id)]

    @property
    def hops(self) -> int:
        """How many programs in a row have answered each other to make these messages."""
        return min(map(_hops, self.messages), default=0)

    @property
    def request_id(self) -> str:
        """The id of the reply: the same for every reply to these messages, whoever sends it."""
        named = json.dumps([self.place.thread_id, self.sequences])
        return f"attend-{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def errand(turn: Turn, stdin: bytes, *, with_session: bool) -> Errand:
    """What a program is started with for a turn."""
    place = turn.place
    variables = {
        CLIENT["agent"].variable: place.agent_id,
        "DOVETAIL_THREAD_ID": place.thread_id,
        "DOVETAIL_TURN_ATTEMPT": str(turn.attempt),
    }
    if with_session:
        variables["DOVETAIL_SESSION_ID"] = place.session_id
    return Errand(
        name=place.thread_id,
        mark=("DOVETAIL_TURN_ID", str(uuid.uuid4())),
        variables=variables,
        stdin=stdin,
    )


def as_json(turn: Turn) -> bytes:
    """One object on one line, with deliveries as in `dovetail inbox --json`."""
    found = {
        "agent_id": turn.place.agent_id,
        "thread_id": turn.place.thread_id,
        "attempt": turn.attempt,
        "reply_to": turn.recipient_ids,
        "deliveries": [fields(each.delivery) for each in turn.messages],
    }
    return json.dumps(found).encode() + b"\n"


def as_text(turn: Turn, labels: Mapping[str, Mapping[str, str]]) -> bytes:
    """A prompt: what others wrote stands in fences. `labels` are those of the senders."""
    fences = Fences()
    count = len(turn.messages)
    messages = f"{count} new message{'s' if count > 1 else ''}"
    readers = ", ".join(map(word, turn.recipient_ids))
    end = (
        f"What you print is sent as your reply to {readers}. Print nothing to send none."
        if readers
        else "Nobody reads what you print: these messages have no sender to reply to."
    )
    fenced = [
        fences.text(
            _content(each),
            origin_of(each.sender_id, each.create_time, labels.get(each.sender_id)),
            characters=len(each.proto.SerializeToString()) + 2_000,
        )
        for each in turn.messages
    ]
    start = f"You are {word(turn.place.agent_id)}, an agent of a team. You have {messages}."
    return "\n".join([start, fences.note, *fenced, end, ""]).encode()


def _content(message: ReceivedMessage) -> str:
    """All that a message says, as text."""
    kind = "notice" if message.kind == MessageKind.NOTICE else "message"
    facts = [f"{kind} {message.message_id}"]
    if mail := message.mail_notice:
        facts.append(f"{mail.event} of {mail.message_id}")
    facts += [f"to group {word(each)}" for each in message.group_ids]
    if message.task_id:
        facts.append(f"task {word(message.task_id)}")
    if message.importance == Importance.HIGH:
        facts.append("importance high")
    parts = [", ".join(facts)]
    if message.subject:
        parts.append(f"subject: {message.subject}")
    if message.body:
        parts += ["", message.body]
    if message.proto.HasField("data"):
        data = structured(message.proto.data)
        parts += ["", f"data: {json.dumps(data, ensure_ascii=False)}"]
    return "\n".join(parts)


def _hops(message: ReceivedMessage) -> int:
    text = message.labels.get(HOPS_LABEL, "")
    return int(text) if text.isascii() and text.isdigit() else 0
