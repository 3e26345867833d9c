"""Rights: one table of RPC by role, which the interceptor, the docs and the tests read.

What a caller owns is described here in words, and decided by the rules of each service, which know
the agents that own a thing: `Caller.require_own`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dovetail.server.store.tables.credentials import Role


class Reach(StrEnum):
    """How far a role reaches in an RPC."""

    NONE = "no"
    OWN = "own"
    ALL = "yes"


NO, OWN, YES = Reach.NONE, Reach.OWN, Reach.ALL


@dataclass(frozen=True, kw_only=True, slots=True)
class Right:
    """The rights to make a call: how far each role reaches, and what counts as an agent's own."""

    agent: Reach = NO
    operator: Reach = NO
    observer: Reach = NO
    admin: Reach = NO
    own: str = ""

    def of(self, role: Role) -> Reach:
        """Return how far a role reaches."""
        reach: Reach = getattr(self, role.name.lower())
        return reach


_EVERYBODY = Right(agent=YES, operator=YES, observer=YES)
_WORKERS = Right(agent=YES, operator=YES)
_ADMINS = Right(admin=YES)


def _own(what: str) -> Right:
    return Right(agent=OWN, operator=YES, own=what)


_CREATOR = _own("a task that it created")
_REPLIES = _own("what is no reply, or replies to what it sent or received; others are NOT_FOUND")

_MESSAGING = {
    "RegisterAgent": _own("itself; an operator marks a person as one"),
    "GetAgent": _EVERYBODY,
    "ListAgents": _EVERYBODY,
    "UpdateAgent": _own("itself; an operator marks a person as one"),
    "RemoveAgent": _own("itself"),
    "PutGroup": _own("a new group, or one that it created"),
    "GetGroup": _EVERYBODY,
    "ListGroups": _EVERYBODY,
    "DeleteGroup": _own("a group that it created"),
    "SendMessage": _REPLIES,
    "BatchSendMessages": _REPLIES,
    "SubscribeInbox": _own("its inbox"),
    "ReceiveMessages": _own("its inbox"),
    "AcknowledgeMessages": _own("its inbox"),
    "MarkMessagesSeen": _WORKERS,
    "RejectMessage": _WORKERS,
    "WithdrawMessage": _own("a message that it sent; what it neither sent nor got is NOT_FOUND"),
    "GetMessage": _own("a message that it sent or received; others are NOT_FOUND"),
    "GetAttachment": _own("one of a message that it sent or received; others are NOT_FOUND"),
    "ListReceipts": _own("a message that it sent, or its own receipt of one that it received"),
    "ListMessages": _own("messages that it sent or received; others are left out"),
    "SearchMessages": _own("messages that it sent or received; others are left out"),
}
_TASKS = {
    "CreateTask": _WORKERS,
    "BatchCreateTasks": _WORKERS,
    "ClaimTask": _WORKERS,
    "GetTask": _EVERYBODY,
    "ListTasks": _EVERYBODY,
    "SearchTasks": _EVERYBODY,
    "ListTaskEvents": _EVERYBODY,
    "WatchTasks": _EVERYBODY,
    "ListTaskAttempts": _EVERYBODY,
    "GetTaskAttachment": _EVERYBODY,
    "GetReport": _EVERYBODY,
    "UpdateTask": _CREATOR,
    "DeleteTask": _CREATOR,
    "AssignTask": _CREATOR,
    "UnassignTask": _CREATOR,
    "CancelTask": _CREATOR,
    "ReopenTask": _CREATOR,
    "StartTask": _WORKERS,
    "HeartbeatTask": _own("a task that is assigned to it"),
    "ReleaseTask": _own("a task that is assigned to it"),
    "RequestTaskInput": _own("a task that is assigned to it"),
    "ProvideTaskInput": _own("a question that was put to it"),
    "BatchCompleteTasks": _own("as for CompleteTask; another's is refused by itself"),
    "CompleteTask": _own("a task that is assigned to it, or that it created"),
    "FailTask": _own("a task that is assigned to it and begun, or that it created, pending"),
}
_ADMIN = {
    "CreateTeam": _ADMINS,
    "GetTeam": Right(operator=YES, observer=YES, admin=YES),
    "UpdateTeam": Right(operator=YES, admin=YES),
    "ListTeams": _ADMINS,
    "CreateCredential": _ADMINS,
    "ListCredentials": _ADMINS,
    "RotateCredential": _ADMINS,
    "RevokeCredential": _ADMINS,
}

RIGHTS: dict[str, Right] = {
    f"/{service}/{rpc}": right
    for service, rights in (
        ("dovetail.messaging.v1.MessagingService", _MESSAGING),
        ("dovetail.tasks.v1.TaskService", _TASKS),
        ("dovetail.admin.v1.AdminService", _ADMIN),
    )
    for rpc, right in rights.items()
}

_REACHES = {role: {method: right.of(role) for method, right in RIGHTS.items()} for role in Role}
"""The same, looked up at each call."""


def reach_of(role: Role, method: str) -> Reach:
    """How far a role reaches in a method: nowhere in one that has no rights."""
    return _REACHES[role].get(method, Reach.NONE)
