"""The cells of the table of rights: a scene for each RPC, in a team of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.rights import RIGHTS, Reach
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.guarded import ROLES, Guarded
from support.pair import Metadata, error_info
from tasks.work import STEPS, request

OWNERS = {"own": "alice", "other": "bob"}
"""Whose the thing is that a call is about. The caller's agent is alice."""

SERVERS = {
    "messaging": ("dovetail.messaging.v1.MessagingService", "dovetail.admin.v1.AdminService"),
    "tasks": ("dovetail.tasks.v1.TaskService", "dovetail.admin.v1.AdminService"),
}

Outcome = tuple[str, str]
"""The name of a status, and the reason where it is an error."""

OK: Outcome = ("OK", "")
LEFT_OUT: Outcome = ("OK", "left out")
ROLE_REFUSED: Outcome = ("PERMISSION_DENIED", "ROLE_REFUSED")
NOT_YOURS: Outcome = ("PERMISSION_DENIED", "NOT_YOURS")
NO_MESSAGE: Outcome = ("NOT_FOUND", "MESSAGE_NOT_FOUND")

HIDDEN = {"SendMessage": NO_MESSAGE, "GetMessage": NO_MESSAGE, "ListMessages": LEFT_OUT}
"""How others' things are kept from an agent where NOT_YOURS would tell that they are there."""

_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One question to the table: may this role do this at this server, to its own or another's?"""

    server: str
    path: str
    role: str
    whose: str

    @property
    def rpc(self) -> str:
        """The name of the RPC."""
        return self.path.rpartition("/")[2]

    @property
    def answer(self) -> Outcome:
        """What the table says."""
        reach: Reach = getattr(RIGHTS[self.path], self.role)
        if reach is Reach.NONE:
            return ROLE_REFUSED
        if reach is Reach.ALL or self.whose == "own":
            return OK
        return HIDDEN.get(self.rpc, NOT_YOURS)

    def __str__(self) -> str:
        """What it is called among tests."""
        return f"{self.server}-{self.rpc}-{self.role}-{self.whose}"


def cells() -> Iterator[Cell]:
    """Every cell of the table, at every server that serves its RPC."""
    for server, services in SERVERS.items():
        for path in RIGHTS:
            if path.split("/")[1] in services:
                for role in ROLES:
                    for whose in OWNERS:
                        yield Cell(server=server, path=path, role=role, whose=whose)


@dataclass(frozen=True, kw_only=True)
class World:
    """A team of its own, and whom a scene needs in it. The boss is an operator without an agent."""

    guarded: Guarded
    team_id: str
    boss: Metadata
    agents: dict[str, Metadata]

    @staticmethod
    async def make(guarded: Guarded) -> World:
        """A new team with the agents alice, bob and carol."""
        team_id = f"team-{next(_numbers)}"
        await guarded.team(team_id)
        return World(
            guarded=guarded,
            team_id=team_id,
            boss=await guarded.token("operator", team_id),
            agents={
                each: await guarded.agent(each, team_id) for each in (*OWNERS.values(), "carol")
            },
        )

    @property
    def tasks(self) -> tasks_pb2_grpc.TaskServiceAsyncStub:
        """The task server."""
        return self.guarded.pair.tasks

    async def caller(self, role: str) -> Metadata:
        """Alice in a role; an admin is nobody's agent."""
        if role == "admin":
            return await self.guarded.token(role)
        return await self.guarded.token(role, self.team_id, "alice")

    async def call(self, server: str, path: str, request: Message, metadata: Metadata) -> Any:
        """The answer to a request; the first one of a stream."""
        pair = self.guarded.pair
        _, service, rpc = path.split("/")
        admin = pair.admin if server == "messaging" else pair.other_admin
        stub = admin if "admin" in service else getattr(pair, server)
        call = getattr(stub, rpc)(request, metadata=metadata)
        if not hasattr(call, "read"):
            return await call
        answer = await call.read()
        call.cancel()
        return answer

    async def send(self, sender: str, recipient: str, body: str) -> str:
        """The id of a new message."""
        request = m.SendMessageRequest(recipient_ids=[recipient], body=body)
        sent = await self.guarded.pair.messaging.SendMessage(request, metadata=self.agents[sender])
        return sent.message_id

    async def task(self, creator: str, assignee: str = "", state: str = "PENDING") -> str:
        """The id of a new task, which the boss has brought into a state."""
        new = t.CreateTaskRequest(title=f"work of {creator}", assignee_id=assignee)
        task_id = (await self.tasks.CreateTask(new, metadata=self.agents[creator])).task.task_id
        for verb in STEPS[t.TaskState.Value(f"TASK_STATE_{state}")]:
            method = getattr(self.tasks, f"{verb.title()}Task")
            await method(request(verb, task_id), metadata=self.boss)
        return task_id

    async def everything(self) -> tuple[bytes, ...]:
        """All that the team has, and what admins made."""
        pair, admin = self.guarded.pair, self.guarded.admin
        mine = a.ListCredentialsRequest(team_id=self.team_id, include_ended=True)
        answers: tuple[Message, ...] = (
            await pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=self.boss),
            await pair.messaging.ListMessages(m.ListMessagesRequest(), metadata=self.boss),
            await pair.tasks.ListTasks(t.ListTasksRequest(), metadata=self.boss),
            await pair.admin.ListTeams(a.ListTeamsRequest(page_size=1_000), metadata=admin),
            await pair.admin.ListCredentials(mine, metadata=admin),
        )
        return tuple(answer.SerializeToString(deterministic=True) for answer in answers)


async def outcome(call: Awaitable[Any]) -> tuple[Outcome, Any]:
    """How a call ends, and its answer or its error."""
    try:
        return OK, await call
    except grpc.aio.AioRpcError as error:
        return (error.code().name, error_info(error).reason), error


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A call about somebody's thing. When it is allowed its answer shows a text, or it acts."""

    request: Message
    shows: str = ""
    acts: bool = False


Stage = Callable[[World, str], Awaitable[Scene]]
"""Makes a thing of an owner's, and the call about it."""


async def _register(_: World, owner: str) -> Scene:
    # Who has a credential is known already: another is somebody new.
    agent_id = owner if owner == OWNERS["own"] else "newcomer"
    request = m.RegisterAgentRequest(agent_id=agent_id)
    return Scene(request=request, shows=agent_id, acts=owner != OWNERS["own"])


async def _get_agent(_: World, owner: str) -> Scene:
    return Scene(request=m.GetAgentRequest(agent_id=owner), shows=owner)


async def _list_agents(_: World, owner: str) -> Scene:
    return Scene(request=m.ListAgentsRequest(), shows=owner)


async def _reply(world: World, owner: str) -> Scene:
    answered = await world.send("carol", owner, "a question")
    return Scene(
        request=m.SendMessageRequest(recipient_ids=["carol"], in_reply_to=answered), acts=True
    )


async def _subscribe(world: World, owner: str) -> Scene:
    await world.send("carol", owner, "a secret")
    return Scene(request=m.SubscribeInboxRequest(agent_id=owner), shows="a secret")


async def _receive(world: World, owner: str) -> Scene:
    await world.send("carol", owner, "done with")
    await world.send("carol", owner, "a secret")
    request = m.ReceiveMessagesRequest(agent_id=owner, acknowledge_through_sequence=1)
    return Scene(request=request, shows="a secret", acts=True)


async def _acknowledge(world: World, owner: str) -> Scene:
    await world.send("carol", owner, "done with")
    request = m.AcknowledgeMessagesRequest(agent_id=owner, through_sequence=1)
    return Scene(request=request, acts=True)


async def _get_message(world: World, owner: str) -> Scene:
    message_id = await world.send(owner, "carol", "a secret")
    return Scene(request=m.GetMessageRequest(message_id=message_id), shows="a secret")


async def _list_messages(world: World, owner: str) -> Scene:
    await world.send(owner, "carol", "a secret")
    return Scene(request=m.ListMessagesRequest(), shows="a secret")


async def _create_task(_: World, owner: str) -> Scene:
    request = t.CreateTaskRequest(title="new work", assignee_id=owner)
    return Scene(request=request, shows="new work", acts=True)


async def _get_task(world: World, owner: str) -> Scene:
    task_id = await world.task(owner)
    return Scene(request=t.GetTaskRequest(task_id=task_id), shows=f"work of {owner}")


async def _list_tasks(world: World, owner: str) -> Scene:
    await world.task(owner)
    return Scene(request=t.ListTasksRequest(), shows=f"work of {owner}")


async def _report(world: World, owner: str) -> Scene:
    await world.task("carol", owner)
    return Scene(request=t.GetReportRequest(), shows=owner)


def _created(verb: str, state: str, assignee: str = "carol", **fields: Any) -> Stage:
    """A verb for a task that the owner created, in a state that allows it."""

    async def stage(world: World, owner: str) -> Scene:
        task_id = await world.task(owner, assignee, state)
        return Scene(request=request(verb, task_id, **fields), acts=True)

    return stage


def _assigned(verb: str) -> Stage:
    """A verb for a task that is assigned to the owner, and in progress."""

    async def stage(world: World, owner: str) -> Scene:
        task_id = await world.task("carol", owner, "IN_PROGRESS")
        return Scene(request=request(verb, task_id), acts=True)

    return stage


async def _create_team(world: World, owner: str) -> Scene:
    team_id = f"{world.team_id} of {owner}"
    return Scene(request=a.CreateTeamRequest(team_id=team_id), shows=team_id, acts=True)


async def _list_teams(world: World, _: str) -> Scene:
    return Scene(request=a.ListTeamsRequest(page_size=1_000), shows=world.team_id)


async def _create_credential(world: World, owner: str) -> Scene:
    request = a.CreateCredentialRequest(
        team_id=world.team_id, agent_id=owner, role=a.ROLE_AGENT, description="new"
    )
    return Scene(request=request, shows="new", acts=True)


async def _list_credentials(world: World, owner: str) -> Scene:
    return Scene(request=a.ListCredentialsRequest(agent_id=owner, page_size=1_000), shows=owner)


async def _rotate(world: World, owner: str) -> Scene:
    made = await world.guarded.made("agent", world.team_id, owner)
    request = a.RotateCredentialRequest(credential_id=made.credential.credential_id)
    return Scene(request=request, shows=owner, acts=True)


async def _revoke(world: World, owner: str) -> Scene:
    made = await world.guarded.made("agent", world.team_id, owner)
    request = a.RevokeCredentialRequest(credential_id=made.credential.credential_id)
    return Scene(request=request, shows=owner, acts=True)


STAGES: dict[str, Stage] = {
    "RegisterAgent": _register,
    "GetAgent": _get_agent,
    "ListAgents": _list_agents,
    "SendMessage": _reply,
    "SubscribeInbox": _subscribe,
    "ReceiveMessages": _receive,
    "AcknowledgeMessages": _acknowledge,
    "GetMessage": _get_message,
    "ListMessages": _list_messages,
    "CreateTask": _create_task,
    "GetTask": _get_task,
    "ListTasks": _list_tasks,
    "GetReport": _report,
    "UpdateTask": _created("update", "PENDING"),
    "DeleteTask": _created("delete", "PENDING"),
    "AssignTask": _created("assign", "PENDING", assignee_id="bob"),
    "UnassignTask": _created("unassign", "PENDING"),
    "CancelTask": _created("cancel", "IN_PROGRESS"),
    "ReopenTask": _created("reopen", "FAILED"),
    "StartTask": _created("start", "PENDING", assignee=""),
    "CompleteTask": _assigned("complete"),
    "FailTask": _assigned("fail"),
    "CreateTeam": _create_team,
    "ListTeams": _list_teams,
    "CreateCredential": _create_credential,
    "ListCredentials": _list_credentials,
    "RotateCredential": _rotate,
    "RevokeCredential": _revoke,
}
