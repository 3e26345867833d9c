"""Renders messages for people: whole, or the beginning of long ones."""

from __future__ import annotations

from dovetail.cli.output.cells import one_line
from dovetail.cli.output.chosen import preview
from dovetail.cli.output.json_values import dumps, fields, words
from dovetail.cli.output.render import attached, labels_of, said, time_of
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.text import escape_controls, local
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.types.v1 import types_pb2 as types

_TOLD = (types.DELIVERY_STATE_ACKNOWLEDGED, types.DELIVERY_STATE_SEEN)
"""The states of a delivery that are shown with it."""


class Messages:
    """Renders messages whose text and data are cut after some characters; 0: never."""

    def __init__(self, characters: int) -> None:
        """Cut what is longer."""
        self._characters = characters

    def delivery(self, item: talk.Delivery) -> Text:
        """A message in an inbox."""
        receipt = item.receipt
        told = f" ({said(types.DeliveryState, receipt.state)})" if receipt.state in _TOLD else ""
        return self._message(item.message, f"#{receipt.sequence}{told}  ")

    def record(self, item: talk.MessageRecord) -> Text:
        """A message, with a line for each receipt that came with it."""
        rows = [
            f"    to {escape_controls(each.recipient_id)} #{each.sequence}: {_history(each)}"
            for each in item.receipts
        ]
        left = item.message.recipient_count - len(item.receipts)
        # An agent that did not send the message sees its own receipt alone, and can list no more.
        if left and len(item.receipts) > 1:
            way = f"dovetail message show --receipts {item.message.message_id}"
            rows.append(f"    and {left:,} more: {way}")
        return lines(self._message(item.message, ""), *map(Text, rows))

    def of_thread(self, item: talk.MessageRecord) -> Text:
        """A message of a thread; a notice is marked and dimmed."""
        if item.message.kind != talk.MESSAGE_KIND_NOTICE:
            return self.record(item)
        return Text.assemble(("notice ", "magenta"), self.record(item).dimmed())

    def _message(self, message: talk.Message, place: str) -> Text:
        shown = [head(message, place)]
        if message.subject:
            shown.append(Text(f"    {escape_controls(message.subject)}", style="bold"))
        shown += [Text(f"    {line}") for line in self._cut(message.body, message).splitlines()]
        if message.HasField("data"):
            data = dumps(fields(message)["data"])
            shown.append(Text.assemble(("    data ", "dim"), self._cut(data, message)))
        shown += [
            Text.assemble(("    attached ", "dim"), attached(each)) for each in message.attachments
        ]
        shown.append(Text(f"    {_origin(message)}", style="dim"))
        return lines(*shown)

    def _cut(self, text: str, message: talk.Message) -> str:
        way = f"dovetail message show {message.message_id}"
        return escape_controls(preview(text, self._characters, way))


def delivery_state(item: types.Receipt) -> str:
    """What became of a message at a recipient, and when."""
    state = said(types.DeliveryState, item.state)
    time = f" {local(item.state_time)}" if item.HasField("state_time") else ""
    return f"{state}{time}" + (f" ({one_line(item.reason)})" if item.reason else "")


def _history(item: types.Receipt) -> str:
    """The state, and what was before it."""
    before = {
        "seen": time_of(item, "see_time") if item.state != types.DELIVERY_STATE_SEEN else "",
        "sent": time_of(item, "send_time") if item.state != types.DELIVERY_STATE_SENT else "",
    }
    earlier = (f"{state} {time}" for state, time in before.items() if time)
    return ", ".join((delivery_state(item), *earlier))


def head(message: talk.Message, place: str) -> Text:
    """Who sent it to whom, and when."""
    sender = escape_controls(message.sender_id) or "(no agent)"
    more = message.recipient_count - len(message.recipient_ids)
    to = escape_controls(", ".join(message.recipient_ids)) + (f" and {more:,} more" if more else "")
    head = Text.assemble((place, "bold"), (sender, "cyan"), signs(" → ") + f"{to}  ")
    return head.append(local(message.create_time), style="dim")


def _origin(message: talk.Message) -> str:
    facts = [message.message_id, f"thread {message.thread_id}"]
    if message.HasField("notice"):
        facts.append(words(types.TaskVerb.DESCRIPTOR)[message.notice.verb])
    if message.HasField("mail_notice"):
        mail = message.mail_notice
        event = words(talk.MailEvent.DESCRIPTOR).get(mail.event, str(mail.event))
        facts.append(f"{event} {mail.message_id}")
    if message.group_ids:
        facts.append(f"to group {', '.join(message.group_ids)}")
    if message.in_reply_to:
        facts.append(f"replies to {message.in_reply_to}")
    if message.hop_count:
        facts.append(f"hop {message.hop_count}")
    if message.task_id:
        facts.append(f"task {message.task_id}")
    if message.HasField("expire_time"):
        facts.append(f"expires {local(message.expire_time)}")
    if message.importance != talk.IMPORTANCE_NORMAL:
        facts.append(words(talk.Importance.DESCRIPTOR)[message.importance])
    return escape_controls(
        signs(" · ").join(facts + ([labels_of(message.labels)] if message.labels else []))
    )
