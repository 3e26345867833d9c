"""What a failed call means in a shell: the words of commands and options, and one next step.

A server names fields, RPCs and states, because any program may have called it, and its texts often
end with a step for programs. Here the names become commands and options, and that end is replaced
by NEXT_STEPS, so that a line never has two steps.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click

from dovetail import client

NEXT_STEPS = {
    "MALFORMED_REQUEST": "Use the release of Dovetail that the server has: dovetail --version",
    "REQUEST_TOO_LARGE": "Send less at once, or say where the content is",
    "AGENT_NOT_FOUND": "See all agents: dovetail agent list. Add one: dovetail agent register",
    "AGENT_HAS_WORK": "See its tasks: dovetail task list --assignee{agent_id}. Then: dovetail task"
    " assign, unassign or cancel",
    "GROUP_NOT_FOUND": "See all groups: dovetail group list. Make one: dovetail group put",
    "NO_RECIPIENTS": "Name agents too, or add members: dovetail group put",
    "TOO_MANY_GROUPS": "Delete one: dovetail group delete",
    "MESSAGE_NOT_FOUND": "See all messages: dovetail message list",
    "DELIVERY_ACKNOWLEDGED": "Tell their senders yourself: dovetail send",
    "NOTICE_NOT_WITHDRAWABLE": "Only what you sent yourself can be withdrawn: dovetail message list"
    " --from YOU",
    "LOOP_SUSPECTED": "If it is new work, leave out --reply-to, --thread and --cause. Else ask a"
    " person to say something there: dovetail send … --thread{thread_id}",
    "CURSOR_TOO_OLD": "Leave out --after: it then begins with the first that is kept",
    "INBOX_FULL": "See its inbox: dovetail agent show{agent_id}. Limits: dovetail team show",
    "TEAM_FULL": "See what it keeps, and its limits: dovetail team show{team_id}",
    "TASK_NOT_FOUND": "See all tasks: dovetail task list",
    "TASK_EXISTS": "Choose another --id, or leave it out",
    "BUDGET_SPENT": "Give it a larger one: dovetail task update{budget_task_id} --budget AMOUNT",
    "TASK_DEPENDED_ON": "See what waits for it: dovetail task graph. Or: dovetail task cancel",
    "DEPENDENCY_CYCLE": "Leave out one --depends-on of that path",
    "PARENT_CYCLE": "Choose another --parent, or take one of them out: dovetail task update TASK"
    " --parent ''",
    "LEASE_TOKEN_REQUIRED": "Its holder adds --lease-token, or sets DOVETAIL_LEASE_TOKEN. To take"
    " it away: dovetail task assign --force, or unassign --force",
    "LEASE_LOST": "Stop working on it. See its state: dovetail task show{task_id}",
    "TOO_MANY_BUCKETS": "Use a longer --bucket, or choose fewer tasks",
    "ASSIGNED_TO_ANOTHER": "Give it to another: dovetail task assign{task_id} AGENT",
    "STORE_FULL": "Make room on the server's disk",
    "STORE_BUSY": "Try again later",
    "SERVER_STOPPING": "Try again, with another server or once it has started again",
    "CREDENTIAL_REQUIRED": "Name the file of your token: --token-file FILE, or DOVETAIL_TOKEN_FILE",
    "CREDENTIAL_UNKNOWN": "See which token is used: dovetail config. Ask an admin for another",
    "CREDENTIAL_ENDED": "Ask an admin for another: dovetail token create, or dovetail token rotate",
    "CALLER_MISMATCH": "Leave out --as and --team (see dovetail config): the token has both",
    "NOT_YOURS": "Use the token of its owner, or of an operator: --token-file FILE",
    "TEAM_NOT_FOUND": "See all teams: dovetail team list. Add it: dovetail team create{team_id}",
    "CREDENTIAL_NOT_FOUND": "See all credentials: dovetail token list",
    "CREDENTIAL_NOT_ROTATABLE": "Create another: dovetail token create",
    "INTERNAL": "The server's log says more",
}
"""One next step for a reason. `{name}` stands for a value of the error's metadata, if it has it."""

SAID_BY_SERVER = {
    "ATTACHMENT_NOT_FOUND",
    "INVALID_FIELDS",
    "REQUEST_LATE",
    "REQUEST_ID_REUSED",
    "INVALID_CALLER",
    "TOO_MANY_RECIPIENTS",
    "TOO_MANY_STREAMS",
    "TOO_MANY_TASKS",
    "CURSOR_IN_FUTURE",
    "QUERY_TOO_LONG",
    "SEARCH_NOT_READY",
    "STORE_UNAVAILABLE",
}
"""Reasons whose text says what is right, or has the next step, in words that fit a shell too."""

STEPS_OF_SERVER = {
    "AGENT_HAS_WORK": ": assign those",
    "AGENT_NOT_FOUND": "; nearest known: ",
    "GROUP_NOT_FOUND": "; nearest known: ",
    "NO_RECIPIENTS": ": add members",
    "TOO_MANY_GROUPS": ": delete one",
    "ASSIGNED_TO_ANOTHER": ": assign it to ",
    "CALLER_AGENT_REQUIRED": ": ",
    "CALLER_MISMATCH": ": use its own",
    "CREDENTIAL_ENDED": ": ask an admin",
    "CREDENTIAL_NOT_ROTATABLE": ": make a new one",
    "CREDENTIAL_REQUIRED": ": send the metadata",
    "CURSOR_TOO_OLD": ". Begin at the first",
    "DELIVERY_ACKNOWLEDGED": "; tell the senders",
    "ETAG_MISMATCH": "; read it again",
    "INBOX_FULL": ". Nothing was sent: try again",
    "TEAM_FULL": ". Have old messages",
    "INTERNAL": "; the server's log",
    "LEASE_TOKEN_REQUIRED": ": only the holder",
    "LOOP_SUSPECTED": ". Nothing was sent",
    "MALFORMED_REQUEST": ": send one message",
    "SERVER_STOPPING": ": ",
    "STORE_BUSY": ". Look for it",
    "STORE_FULL": ": nothing",
    "TASK_NOT_READY": "; to start it anyway",
    "TASK_STATE": ". Allowed: ",
    "TEAM_NOT_FOUND": ": make it first",
    "TOO_MANY_BUCKETS": ": take a longer",
}
"""Where, in a server's text, the step begins that the one from here replaces."""

COMMANDS = {
    "CreateTeam": "team create",
    "ListTeams": "team list",
    "GetTeam": "team show",
    "UpdateTeam": "team retention",
    "CreateCredential": "token create",
    "ListCredentials": "token list",
    "RotateCredential": "token rotate",
    "RevokeCredential": "token revoke",
    "RegisterAgent": "agent register",
    "GetAgent": "agent show",
    "ListAgents": "agent list",
    "UpdateAgent": "agent update",
    "RemoveAgent": "agent remove",
    "PutGroup": "group put",
    "GetGroup": "group show",
    "ListGroups": "group list",
    "DeleteGroup": "group delete",
    "SendMessage": "send",
    "BatchSendMessages": "send",
    "SubscribeInbox": "inbox",
    "ReceiveMessages": "inbox --wait",
    "AcknowledgeMessages": "acknowledge",
    "MarkMessagesSeen": "message seen",
    "RejectMessage": "message reject",
    "WithdrawMessage": "message withdraw",
    "GetMessage": "message show",
    "GetAttachment": "message save",
    "ListMessages": "message list",
    "ListReceipts": "message show --receipts",
    "SearchMessages": "search",
    "CreateTask": "task create",
    "BatchCreateTasks": "task create",
    "GetTask": "task show",
    "ListTasks": "task list",
    "SearchTasks": "task search",
    "ListTaskEvents": "task history",
    "WatchTasks": "task watch",
    "ListTaskAttempts": "task attempts",
    "GetTaskAttachment": "task save",
    "UpdateTask": "task update",
    "DeleteTask": "task delete",
    "AssignTask": "task assign",
    "UnassignTask": "task unassign",
    "ClaimTask": "task claim",
    "StartTask": "task start",
    "HeartbeatTask": "task heartbeat",
    "ReleaseTask": "task release",
    "RequestTaskInput": "task ask",
    "ProvideTaskInput": "task answer",
    "CompleteTask": "task complete",
    "BatchCompleteTasks": "task complete",
    "FailTask": "task fail",
    "CancelTask": "task cancel",
    "ReopenTask": "task reopen",
    "GetReport": "report",
}
"""The command that makes a call."""

VERBS = {"request-input": "ask", "provide-input": "answer"}
"""The verbs of tasks that have another name here; the others are their commands' names."""

STATES = ("PENDING", "IN_PROGRESS", "INPUT_REQUIRED", "COMPLETED", "FAILED", "CANCELLED")
ROLES = ("AGENT", "OPERATOR", "OBSERVER", "ADMIN")

WORDS = {
    **{method: f"dovetail {command}" for method, command in COMMANDS.items()},
    **VERBS,
    **{name: name.lower() for name in (*STATES, *ROLES)},
    "metadata dovetail-agent": "--as",
    "metadata dovetail-team": "--team",
    "the metadata authorization": "what is sent as token",
    "request_id": "--request-id",
    "its schedule_time": "its time to start",
}
"""Words of servers, and those for them here."""

PARAMETERS = {
    "recipient_ids": "recipients",
    "group_ids": "groups",
    "agent_ids": "members",
    "sequences": "sequences",
    "acknowledge_sequences": "acknowledge",
    "acknowledge_through": "ack_through",
    "expire_time": "expire",
    "through_sequence": "through",
    "sender_ids": "senders",
    "assignee_ids": "assignees",
    "creator_ids": "creators",
    "text": "question",
    "options": "offered",
    "max_wait": "wait",
    "max_messages": "limit",
    "bucket_duration": "bucket",
}
"""Fields whose parameter has another name. All others have the same: `due_time` is of `--due`."""

# What is between quotes was written by callers, and stays as it is.
_QUOTED = re.compile(r"""('[^']*'|"[^"]*")""")
_WORD = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, WORDS)) + r")(?![\w-])")
_FIELD = re.compile(r"[a-z]+(?:_[a-z]+)*(?:\.[a-z_]+)*(?:\[[^\]]*\])?(?=: )")
_TASK_ID = re.compile(r"t\d+")
_INDEX = re.compile(r"\[\d*\](\.\w+)*")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What is wrong, and the next step; no step where the text has it, or none is known."""

    message: str
    hint: str = ""


def refusal(error: client.DovetailError) -> Explanation:
    """Explain an error that a Dovetail server raised."""
    violations = [
        f"{option_of(fault.field)}: {in_words(fault.description)}" for fault in error.violations
    ]
    text, marker = str(error), STEPS_OF_SERVER.get(error.reason)
    if marker:
        text = text.partition(marker)[0]
    message = "; ".join(violations) or _without_field(error.reason, text)
    return Explanation(message=message, hint=_hint(error))


def in_words(text: str) -> str:
    """A text of a server in the words of the command line."""
    parts = _QUOTED.split(text)
    parts[::2] = (_WORD.sub(lambda found: WORDS[found[1]], part) for part in parts[::2])
    return "".join(parts)


def option_of(field: str, context: click.Context | None = None) -> str:
    """The option or argument of this command that sets a field; the field if there is none."""
    context = context or click.get_current_context(silent=True)
    path, _, key = field.partition("[")
    last = path.rpartition(".")[2]
    names = (last, PARAMETERS.get(last, last))
    for parameter in context.command.params if context else ():
        if parameter.name in names:
            index = "" if _INDEX.fullmatch(f"[{key}") or not key else f" {key.removesuffix(']')}"
            return f"{_shown(parameter)}{index}"
    return field


def _shown(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return (parameter.metavar or str(parameter.name).upper()).strip("[].")
    return max(parameter.opts, key=len)


def _without_field(reason: str, text: str) -> str:
    """A text whose leading field is the option; `no task 't9'` needs no field, if it is TASK."""
    found = _FIELD.match(text)
    if not found:
        return in_words(text)
    option, rest = option_of(found[0]), in_words(text[found.end() :])
    if reason.endswith("_NOT_FOUND") and not option.startswith("--"):
        return rest.removeprefix(": ")
    return f"{option}{rest}"


def _hint(error: client.DovetailError) -> str:
    special = _SPECIAL.get(error.reason)
    hint = special(error.metadata) if special else ""
    return hint or _filled(NEXT_STEPS.get(error.reason, ""), error.metadata)


def _filled(step: str, metadata: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        text = metadata.get(found[1], "")
        return f" {shlex.quote(text)}" if text else ""

    return re.sub(r"\{(\w+)\}", value, step)


def _read_again(metadata: Mapping[str, str]) -> str:
    """How to read what has changed: a task, an agent or a group."""
    kinds = [kind for kind in ("task", "agent", "group") if metadata.get(f"{kind}_id")]
    if not kinds:
        return ""
    thing_id = shlex.quote(metadata[f"{kinds[0]}_id"])
    return f"Read it again: dovetail {kinds[0]} show {thing_id}"


def _near(metadata: Mapping[str, str], kind: str) -> str:
    nearest: list[str] = json.loads(metadata.get("nearest_ids") or "[]")
    return f"Did you mean {' or '.join(nearest)}? All: dovetail {kind} list" if nearest else ""


def _near_agents(metadata: Mapping[str, str]) -> str:
    if near := _near(metadata, "agent"):
        return near
    unknown: list[str] = json.loads(metadata.get("agent_ids") or "[]")
    return _usage("recipients") if any(" " in agent_id for agent_id in unknown) else ""


def _task_first(metadata: Mapping[str, str]) -> str:
    """A hint at arguments that were swapped: a text as a task, or a task after it."""
    context = click.get_current_context(silent=True)
    values = context.params.values() if context else ()
    others = [value for value in values if isinstance(value, str)]
    is_text = " " in metadata.get("task_id", "")
    return _usage("task_id") if is_text or any(map(_TASK_ID.fullmatch, others)) else ""


def _usage(first: str) -> str:
    """How a command is written, if that is its first of several arguments; else empty."""
    context = click.get_current_context(silent=True)
    parameters = context.command.params if context else []
    arguments = [each for each in parameters if isinstance(each, click.Argument)]
    if not context or len(arguments) < 2 or arguments[0].name != first:
        return ""
    names = " ".join(map(_shown, arguments))
    return f"{_shown(arguments[0])} comes first: {context.command_path} {names}"


def _possible(metadata: Mapping[str, str]) -> str:
    """What can be done to a task in its state."""
    if metadata.get("force_allows") == "true":
        return "To do it all the same: --force"
    verbs = [
        verb.lower().replace("_", "-") for verb in metadata.get("allowed_verbs", "").split(",")
    ]
    commands = [VERBS.get(verb, verb) for verb in verbs if verb]
    return f"Possible now: dovetail task {', '.join(commands)}" if commands else ""


def _not_ready(metadata: Mapping[str, str]) -> str:
    """How to see what a task waits for, and to start it all the same."""
    update = f"dovetail task update {shlex.quote(metadata.get('task_id', 'TASK'))}"
    ways = [f"{update} --depends-on ''"] if metadata.get("waiting_for_count") != "0" else []
    ways += [f"{update} --at ''"] if metadata.get("waits_for_time") == "true" else []
    return f"See what it waits for: dovetail task graph. To go on without: {'; '.join(ways)}"


def _callers_agent(metadata: Mapping[str, str]) -> str:
    """A server that asks for no token names no role."""
    if "role" not in metadata:
        return "Name it: --as AGENT, or DOVETAIL_AGENT"
    return "Use an agent's token, which an admin creates: dovetail token create --agent AGENT"


def _other_role(metadata: Mapping[str, str]) -> str:
    has_roles = "role" in metadata
    return "Use a token of another role: --token-file FILE. An admin creates one" * has_roles


def _in_log(metadata: Mapping[str, str]) -> str:
    call_id = metadata.get("call_id", "")
    return f"The server's log has it under call_id {call_id}" if call_id else ""


_SPECIAL: dict[str, Callable[[Mapping[str, str]], str]] = {
    "AGENT_NOT_FOUND": _near_agents,
    "CALLER_AGENT_REQUIRED": _callers_agent,
    "ETAG_MISMATCH": _read_again,
    "GROUP_NOT_FOUND": lambda metadata: _near(metadata, "group"),
    "INTERNAL": _in_log,
    "ROLE_REFUSED": _other_role,
    "TASK_NOT_FOUND": _task_first,
    "TASK_NOT_READY": _not_ready,
    "TASK_STATE": _possible,
}
"""Reasons whose next step depends on the metadata."""

REASONS = {*NEXT_STEPS, *SAID_BY_SERVER, *_SPECIAL}
"""Every reason of the contract."""
