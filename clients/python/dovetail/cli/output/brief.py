"""Items in brief: one short line each, for readers that pay by the word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from dovetail.cli.output.json_values import fields
from dovetail.cli.output.text import escape_controls

TEXT_CHARACTERS = 80
"""How much of a text stands in a line."""

_VERBS_WITH_BODY = ("request_input", "provide_input", "complete", "fail", "retry")
"""Notices of which the body is a question, an answer or an outcome; the subject has the title."""


def line(item: Any, is_change: bool) -> str:
    """The line for a message of the contract; of a change only what changed."""
    value = fields(item)
    name = item.DESCRIPTOR.name
    if name == "Task" and is_change:
        return _joined(value["task_id"], value["state"], _question(value))
    return escape_controls(LINES[name](value)) if name in LINES else facts_line(value)


def facts_line(facts: Mapping[str, Any]) -> str:
    """The line for any other object: what it has that is neither a list nor an object."""
    simple = {name: each for name, each in facts.items() if not isinstance(each, (dict, list))}
    return _joined(*(f"{name}={each}" for name, each in simple.items() if each))


def _task(task: Mapping[str, Any]) -> str:
    assignee = task.get("assignee_id", "")
    return _said(_joined(task["task_id"], task["state"], assignee), task.get("title"))


def _event(event: Mapping[str, Any]) -> str:
    head = _joined(event["task_id"], event["generation"], event["verb"], event.get("actor_id"))
    return _said(head, event.get("reason") or ", ".join(_changed(event)))


def _attempt(attempt: Mapping[str, Any]) -> str:
    end = attempt.get("end", "present")
    head = _joined(f"#{attempt['attempt']}", end, attempt.get("holder_id"))
    late = attempt.get("late_result", {})
    brought = late.get("result", {}).get("summary") or late.get("failure", {}).get("message")
    if late:
        return _said(head, f"late: {brought or ''}")
    said = attempt.get("failure", {}).get("message") or attempt.get("reason")
    return _said(head, said or attempt.get("progress", {}).get("note"))


def _changed(event: Mapping[str, Any]) -> list[str]:
    return [change["field"] for change in event.get("changes", ())]


def _question(task: Mapping[str, Any]) -> str:
    """Whom an open question asks."""
    is_open = task["state"] == "input_required"
    return f"asks {task.get('question', {}).get('agent_id', '')}" if is_open else ""


def _claimed(claimed: Mapping[str, Any]) -> str:
    task = claimed["task"]
    return _said(f"{task['task_id']} {claimed['lease_token']}", task.get("title"))


def _delivery(delivery: Mapping[str, Any]) -> str:
    state = delivery["receipt"]["state"]
    told = state if state in ("acknowledged", "seen") else ""
    return _joined(f"#{delivery['receipt']['sequence']}", told, _message(delivery["message"]))


def _record(record: Mapping[str, Any]) -> str:
    return LINES["Message"](record["message"])


def _message_hit(hit: Mapping[str, Any]) -> str:
    message = hit["record"]["message"]
    return _said(_joined(message.get("sender_id", "") or "-", message["message_id"]), _found(hit))


def _task_hit(hit: Mapping[str, Any]) -> str:
    task = hit["task"]
    title = begin(task.get("title"))
    return _said(_joined(task["task_id"], task["state"], f"{title!r}"), _found(hit))


def _found(hit: Mapping[str, Any]) -> str:
    """The part of an excerpt that begins with what was found."""
    excerpt = hit["places"][0]["excerpt"]
    return excerpt["text"][excerpt["matches"][0].get("start", 0) :]


def _message(message: Mapping[str, Any], to: str = "") -> str:
    """Who says what: a notice with what it reports and of what, a message with its id."""
    about = message["message_id"]
    if notice := message.get("notice"):
        about = _joined(notice["verb"], notice["task_id"])
    elif mail := message.get("mail_notice"):
        about = _joined(mail["event"], mail["message_id"])
    sender = message.get("sender_id", "") or "-"
    head = _joined(sender, to and f"> {to}", about)
    data = " +data" if message.get("data") else ""
    return f"{_said(head, _text(message))}{data}{_files(message.get('attachments', ()))}"


def _files(attachments: Sequence[Any]) -> str:
    """How many attachments a message has."""
    count = len(attachments)
    return f" +{count} file{'s' * (count > 1)}" if count else ""


def _text(message: Mapping[str, Any]) -> str:
    """Subject and body; of a notice the one that its recipient waits for."""
    subject, body = message.get("subject", ""), message.get("body", "")
    if notice := message.get("notice"):
        return (body if notice["verb"] in _VERBS_WITH_BODY else subject) or subject
    return ": ".join(filter(None, (subject, body)))


def _sent(sent: Mapping[str, Any]) -> str:
    return f"{sent['message_id']} sent"


def _acknowledged(response: Mapping[str, Any]) -> str:
    done, left = (response.get(f"{name}_count", 0) for name in ("acknowledged", "unacknowledged"))
    return f"{done} acknowledged, {left} left"


def _seen(response: Mapping[str, Any]) -> str:
    return f"{response.get('seen_count', 0)} seen"


def _rejected(response: Mapping[str, Any]) -> str:
    done, left = (response.get(f"{name}_count", 0) for name in ("rejected", "unacknowledged"))
    return f"{done} rejected, {left} left"


def _withdrawn(response: Mapping[str, Any]) -> str:
    done, late = (response.get(f"{name}_count", 0) for name in ("withdrawn", "late"))
    return f"{done} withdrawn, {late} too late"


def _agent(agent: Mapping[str, Any]) -> str:
    unread = agent.get("unacknowledged_count")
    state = "removed" if "remove_time" in agent else ""
    return _joined(agent["agent_id"], unread and f"{unread} unread", state)


def _group(group: Mapping[str, Any]) -> str:
    members = group.get("agent_ids") or ()
    count = group.get("agent_count", 0)
    return _said(_joined(group["group_id"], f"{count} members"), ", ".join(members))


def _removed(response: Mapping[str, Any]) -> str:
    told = response.get("told_sender_count")
    return _joined(response["agent"]["agent_id"], "removed", told and f"{told} senders told")


def _receipt(receipt: Mapping[str, Any]) -> str:
    head = _joined(receipt["recipient_id"], f"#{receipt['sequence']}", receipt["state"])
    return _said(head, receipt.get("reason"))


def _heartbeat(response: Mapping[str, Any]) -> str:
    unread = response.get("unacknowledged_count")
    until = response.get("lease_expire_time")
    return _joined(response["state"], until and f"until {until}", unread and f"{unread} unread")


def _report(report: Mapping[str, Any]) -> str:
    states = (f"{each['count']} {each['state']}" for each in report["states"] if "count" in each)
    return ", ".join((f"{report.get('total_tasks', 0)} tasks", *states))


def _credential(credential: Mapping[str, Any]) -> str:
    ended = "revoked" if "revoke_time" in credential else ""
    names = (credential.get(name, "") for name in ("credential_id", "role", "team_id", "agent_id"))
    return _joined(*names, ended)


LINES: dict[str, Callable[[Any], str]] = {
    "Task": _task,
    "TaskEvent": _event,
    "TaskAttempt": _attempt,
    "ClaimedTask": _claimed,
    "Delivery": _delivery,
    "Message": lambda message: _message(message, ", ".join(message["recipient_ids"])),
    "MessageRecord": _record,
    "MessageHit": _message_hit,
    "TaskHit": _task_hit,
    "SendMessageResponse": _sent,
    "AcknowledgeMessagesResponse": _acknowledged,
    "MarkMessagesSeenResponse": _seen,
    "RejectMessageResponse": _rejected,
    "WithdrawMessageResponse": _withdrawn,
    "Agent": _agent,
    "Group": _group,
    "RemoveAgentResponse": _removed,
    "Receipt": _receipt,
    "HeartbeatTaskResponse": _heartbeat,
    "Report": _report,
    "Team": lambda team: team["team_id"],
    "Credential": _credential,
}


def _said(head: str, text: Any) -> str:
    return f"{head}: {begin(text)}" if text else head


def begin(text: Any) -> str:
    """The beginning of a text, on one line."""
    words = " ".join(cast("str", text or "").split())
    return words if len(words) <= TEXT_CHARACTERS else f"{words[: TEXT_CHARACTERS - 1]}…"


def _joined(*parts: Any) -> str:
    return " ".join(escape_controls(str(part)) for part in parts if part not in ("", None, 0))
