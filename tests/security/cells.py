"""The cells of the table of rights, and a team of its own for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.access.rights import RIGHTS, Reach
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.guarded import ROLES, Guarded
from support.pair import Metadata
from support.refusals import error_info
from support.tables import STATES

OWNERS = {"own": "alice", "other": "bob"}
"""Whose the thing is that a call is about. The caller's agent is alice."""

SERVERS = {
    "messaging": ("dovetail.messaging.v1.MessagingService", "dovetail.admin.v1.AdminService"),
    "tasks": ("dovetail.tasks.v1.TaskService", "dovetail.admin.v1.AdminService"),
}

Outcome = tuple[str, str]
"""The name of a status, and the reason where it is an error, or where one of several is refused."""

OK: Outcome = ("OK", "")
LEFT_OUT: Outcome = ("OK", "left out")
ROLE_REFUSED: Outcome = ("PERMISSION_DENIED", "ROLE_REFUSED")
NOT_YOURS: Outcome = ("PERMISSION_DENIED", "NOT_YOURS")
ONE_REFUSED: Outcome = ("OK", "NOT_YOURS")
NO_MESSAGE: Outcome = ("NOT_FOUND", "MESSAGE_NOT_FOUND")

OTHERS = {
    "SendMessage": NO_MESSAGE,
    "BatchSendMessages": NO_MESSAGE,
    "GetMessage": NO_MESSAGE,
    "WithdrawMessage": NO_MESSAGE,
    "GetAttachment": NO_MESSAGE,
    "ListReceipts": NO_MESSAGE,
    "ListMessages": LEFT_OUT,
    "SearchMessages": LEFT_OUT,
    "BatchCompleteTasks": ONE_REFUSED,
}
"""How others' things are kept from an agent where the call itself is not NOT_YOURS.

That would tell of a message that it is there, and refuse tasks that are the agent's own.
"""

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
    def of_admins(self) -> bool:
        """Whether it is about teams and credentials."""
        return ".AdminService/" in self.path

    @property
    def answer(self) -> Outcome:
        """What the table says."""
        reach: Reach = getattr(RIGHTS[self.path], self.role)
        if reach is Reach.NONE:
            return ROLE_REFUSED
        if reach is Reach.ALL or self.whose == "own":
            return OK
        return OTHERS.get(self.rpc, NOT_YOURS)

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


def telling() -> Iterator[Cell]:
    """The cells that a store has a say in, one for each RPC and role that reaches it."""
    return (cell for cell in cells() if cell.whose == "other" and cell.answer != ROLE_REFUSED)


@dataclass(frozen=True, kw_only=True)
class World:
    """A team of its own, and whom a scene needs in it. The boss is an operator without an agent."""

    guarded: Guarded
    team_id: str
    boss: Caller
    agents: dict[str, Caller]

    @staticmethod
    async def make(guarded: Guarded) -> World:
        """A new team with the agents alice, bob and carol."""
        team_id = f"team-{next(_numbers)}"
        await guarded.team(team_id)
        names = (*OWNERS.values(), "carol")
        # At once: the server writes them in one transaction.
        boss, *agents = await asyncio.gather(
            *(guarded.caller(each, team_id) for each in ("", *names))
        )
        return World(
            guarded=guarded,
            team_id=team_id,
            boss=boss,
            agents=dict(zip(names, agents, strict=True)),
        )

    async def in_role(self, role: str) -> Metadata:
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
        return (await self.agents[sender].send(recipient, body=body)).message_id

    async def task(self, creator: str, assignee: str = "", state: str = "PENDING") -> str:
        """The id of a new task, which the boss has brought into a state."""
        task = await self.agents[creator].made(title=f"work of {creator}", assignee_id=assignee)
        await self.boss.bring(task.task_id, STATES[state])
        return task.task_id

    async def everything(self, all_teams: bool = False) -> tuple[bytes, ...]:
        """All that the team has, and what admins made; with all the other teams that there are."""
        pair, admin = self.guarded.pair, self.guarded.admin
        mine = a.ListCredentialsRequest(team_id=self.team_id, include_ended=True)
        asked: list[Awaitable[Message]] = [
            _without_presence(self.boss.list_agents(include_removed=True)),
            _settled(self.boss.list_messages()),
            self.boss.page(),
            pair.admin.ListCredentials(mine, metadata=admin),
            self.boss.call(m.ListGroupsRequest()),
            pair.admin.GetTeam(a.GetTeamRequest(team_id=self.team_id), metadata=admin),
        ]
        if all_teams:
            teams = a.ListTeamsRequest(page_size=1_000)
            asked.append(pair.admin.ListTeams(teams, metadata=admin))
        answers = await asyncio.gather(*asked)
        return tuple(answer.SerializeToString(deterministic=True) for answer in answers)


async def _without_presence(listing: Awaitable[Any]) -> Any:
    """Agents without what they have open: a stream that was cancelled ends a moment later."""
    listed = await listing
    for agent in listed.agents:
        agent.ClearField("open_streams")
        agent.ClearField("waiting_calls")
    return listed


async def _settled(listing: Awaitable[Any]) -> Any:
    """Messages without what a server records by itself, some moment after it handed them out."""
    listed = await listing
    for record in listed.records:
        for receipt in record.receipts:
            receipt.ClearField("send_time")
            if receipt.state == types_pb2.DELIVERY_STATE_SENT:
                receipt.ClearField("state_time")
                receipt.state = types_pb2.DELIVERY_STATE_UNACKNOWLEDGED
    return listed


async def outcome(call: Awaitable[Any]) -> tuple[Outcome, Any]:
    """How a call ends, and its answer or its error."""
    try:
        answer = await call
        return ("OK", refused(answer)), answer
    except grpc.aio.AioRpcError as error:
        return (error.code().name, error_info(error).reason), error


def refused(answer: Any) -> str:
    """Why an answer refuses one of several."""
    return ", ".join(each.refusal.reason for each in getattr(answer, "outcomes", ()))
