"""Scenes of the table of rights: for each RPC a call about somebody's thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1.types_pb2 import Attachment
from security.cells import OWNERS, World
from support.tables import request

SECRET = Attachment(name="file", data=b"a secret")


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


async def _update_agent(_: World, owner: str) -> Scene:
    agent = m.Agent(agent_id=owner, display_name="another name")
    request = m.UpdateAgentRequest(agent=agent, update_mask=FieldMask(paths=["display_name"]))
    return Scene(request=request, shows="another name", acts=True)


async def _remove_agent(_: World, owner: str) -> Scene:
    return Scene(request=m.RemoveAgentRequest(agent_id=owner), shows=owner, acts=True)


async def _group(world: World, owner: str) -> m.Group:
    """A group that the owner has made."""
    group = m.Group(group_id=f"group of {owner}", agent_ids=[owner])
    await world.agents[owner].call(m.PutGroupRequest(group=group))
    return group


async def _put_group(world: World, owner: str) -> Scene:
    group = await _group(world, owner)
    group.display_name = "another name"
    return Scene(request=m.PutGroupRequest(group=group), shows="another name", acts=True)


async def _get_group(world: World, owner: str) -> Scene:
    group = await _group(world, owner)
    return Scene(request=m.GetGroupRequest(group_id=group.group_id), shows=owner)


async def _list_groups(world: World, owner: str) -> Scene:
    await _group(world, owner)
    return Scene(request=m.ListGroupsRequest(), shows=owner)


async def _delete_group(world: World, owner: str) -> Scene:
    group = await _group(world, owner)
    return Scene(request=m.DeleteGroupRequest(group_id=group.group_id), acts=True)


async def _reply(world: World, owner: str) -> Scene:
    answered = await world.send("carol", owner, "a question")
    return Scene(
        request=m.SendMessageRequest(recipient_ids=["carol"], in_reply_to=answered), acts=True
    )


async def _replies(world: World, owner: str) -> Scene:
    answered = await world.send("carol", owner, "a question")
    reply = m.SendMessageRequest(recipient_ids=["carol"], in_reply_to=answered)
    return Scene(request=m.BatchSendMessagesRequest(requests=[reply, reply]), acts=True)


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


async def _mark_seen(world: World, _: str) -> Scene:
    # There is no other's inbox to name: the caller's own is meant.
    await world.send("carol", OWNERS["own"], "seen already")
    return Scene(request=m.MarkMessagesSeenRequest(sequences=[1]), shows="1", acts=True)


async def _reject(world: World, _: str) -> Scene:
    await world.send("carol", OWNERS["own"], "asks too much")
    last = (await world.agents[OWNERS["own"]].look()).last_sequence
    rejection = m.RejectMessageRequest(sequences=[last], reason="no time")
    return Scene(request=rejection, shows="1", acts=True)


async def _withdraw(world: World, owner: str) -> Scene:
    message_id = await world.send(owner, "carol", "a secret")
    request = m.WithdrawMessageRequest(message_id=message_id)
    return Scene(request=request, shows="carol", acts=True)


async def _get_message(world: World, owner: str) -> Scene:
    message_id = await world.send(owner, "carol", "a secret")
    return Scene(request=m.GetMessageRequest(message_id=message_id), shows="a secret")


async def _get_attachment(world: World, owner: str) -> Scene:
    sent = await world.agents[owner].send("carol", attachments=[SECRET])
    return Scene(
        request=m.GetAttachmentRequest(message_id=sent.message_id, name=SECRET.name),
        shows="a secret",
    )


async def _list_receipts(world: World, owner: str) -> Scene:
    message_id = await world.send(owner, "carol", "a secret")
    return Scene(request=m.ListReceiptsRequest(message_id=message_id), shows="carol")


async def _list_messages(world: World, owner: str) -> Scene:
    await world.send(owner, "carol", "a secret")
    return Scene(request=m.ListMessagesRequest(), shows="a secret")


async def _search_messages(world: World, owner: str) -> Scene:
    await world.send(owner, "carol", "a secret")
    return Scene(request=m.SearchMessagesRequest(query="secret"), shows="a secret")


async def _search_tasks(world: World, owner: str) -> Scene:
    scene = await _list_tasks(world, owner)
    return Scene(request=t.SearchTasksRequest(query="work"), shows=scene.shows)


async def _create_task(_: World, owner: str) -> Scene:
    request = t.CreateTaskRequest(title="new work", assignee_id=owner)
    return Scene(request=request, shows="new work", acts=True)


async def _create_tasks(_: World, owner: str) -> Scene:
    one, two = (
        t.CreateTaskRequest(task_id=name, title="T", assignee_id=owner) for name in ("one", "two")
    )
    return Scene(request=t.BatchCreateTasksRequest(requests=[one, two]), shows="two", acts=True)


async def _get_task(world: World, owner: str) -> Scene:
    task_id = await world.task(owner)
    return Scene(request=t.GetTaskRequest(task_id=task_id), shows=f"work of {owner}")


async def _list_tasks(world: World, owner: str) -> Scene:
    await world.task(owner)
    return Scene(request=t.ListTasksRequest(), shows=f"work of {owner}")


async def _list_task_events(world: World, owner: str) -> Scene:
    await world.task(owner)
    return Scene(request=t.ListTaskEventsRequest(), shows=owner)


async def _watch_tasks(world: World, owner: str) -> Scene:
    await world.task(owner)
    return Scene(request=t.WatchTasksRequest(), shows=owner)


async def _list_task_attempts(world: World, owner: str) -> Scene:
    task_id = await world.task("carol", owner, "IN_PROGRESS")
    return Scene(request=t.ListTaskAttemptsRequest(task_id=task_id), shows=owner)


async def _get_task_attachment(world: World, owner: str) -> Scene:
    task = await world.agents[owner].made(input_attachments=[SECRET])
    return Scene(
        request=t.GetTaskAttachmentRequest(task_id=task.task_id, name=SECRET.name),
        shows="a secret",
    )


async def _report(world: World, owner: str) -> Scene:
    await world.task("carol", owner)
    return Scene(request=t.GetReportRequest(), shows=owner)


def _created(verb: str, state: str, assignee: str = "carol", **fields: Any) -> Stage:
    """A verb for a task that the owner created, in a state that allows it."""

    async def stage(world: World, owner: str) -> Scene:
        task_id = await world.task(owner, assignee, state)
        return Scene(request=request(verb, task_id, **fields), acts=True)

    return stage


def _assigned(verb: str, **fields: Any) -> Stage:
    """A verb for a task that is assigned to the owner, and in progress."""

    async def stage(world: World, owner: str) -> Scene:
        task_id = await world.task("carol", owner, "IN_PROGRESS")
        return Scene(request=request(verb, task_id, **fields), acts=True)

    return stage


async def _claim(world: World, owner: str) -> Scene:
    await world.task(owner)
    return Scene(request=t.ClaimTaskRequest(), shows=f"work of {owner}", acts=True)


async def _provide_input(world: World, owner: str) -> Scene:
    task_id = await world.task("carol", "carol", "IN_PROGRESS")
    await world.boss.do("request-input", task_id, agent_id=owner)
    return Scene(request=request("provide-input", task_id), acts=True)


async def _complete_tasks(world: World, owner: str) -> Scene:
    task_id = await world.task("carol", owner, "IN_PROGRESS")
    return Scene(
        request=t.BatchCompleteTasksRequest(requests=[request("complete", task_id)]), acts=True
    )


async def _create_team(world: World, owner: str) -> Scene:
    team_id = f"{world.team_id} of {owner}"
    return Scene(request=a.CreateTeamRequest(team_id=team_id), shows=team_id, acts=True)


async def _get_team(world: World, _: str) -> Scene:
    return Scene(request=a.GetTeamRequest(team_id=world.team_id), shows=world.team_id)


async def _update_team(world: World, _: str) -> Scene:
    team = a.Team(team_id=world.team_id, retention=a.Retention(message_count=7))
    mask = FieldMask(paths=["retention.message_count"])
    request = a.UpdateTeamRequest(team=team, update_mask=mask)
    return Scene(request=request, shows="message_count: 7", acts=True)


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
    "UpdateAgent": _update_agent,
    "RemoveAgent": _remove_agent,
    "PutGroup": _put_group,
    "GetGroup": _get_group,
    "ListGroups": _list_groups,
    "DeleteGroup": _delete_group,
    "SendMessage": _reply,
    "BatchSendMessages": _replies,
    "SubscribeInbox": _subscribe,
    "ReceiveMessages": _receive,
    "AcknowledgeMessages": _acknowledge,
    "MarkMessagesSeen": _mark_seen,
    "RejectMessage": _reject,
    "WithdrawMessage": _withdraw,
    "GetMessage": _get_message,
    "GetAttachment": _get_attachment,
    "ListReceipts": _list_receipts,
    "ListMessages": _list_messages,
    "SearchMessages": _search_messages,
    "CreateTask": _create_task,
    "BatchCreateTasks": _create_tasks,
    "ClaimTask": _claim,
    "GetTask": _get_task,
    "ListTasks": _list_tasks,
    "SearchTasks": _search_tasks,
    "ListTaskEvents": _list_task_events,
    "WatchTasks": _watch_tasks,
    "ListTaskAttempts": _list_task_attempts,
    "GetTaskAttachment": _get_task_attachment,
    "GetReport": _report,
    "UpdateTask": _created("update", "PENDING"),
    "DeleteTask": _created("delete", "PENDING"),
    "AssignTask": _created("assign", "PENDING", assignee_id="bob"),
    "UnassignTask": _created("unassign", "PENDING"),
    "CancelTask": _created("cancel", "IN_PROGRESS"),
    "ReopenTask": _created("reopen", "FAILED"),
    "StartTask": _created("start", "PENDING", assignee=""),
    "HeartbeatTask": _assigned("heartbeat", progress=t.TaskProgress(percent=7)),
    "ReleaseTask": _assigned("release"),
    "RequestTaskInput": _assigned("request-input"),
    "ProvideTaskInput": _provide_input,
    "BatchCompleteTasks": _complete_tasks,
    "CompleteTask": _assigned("complete"),
    "FailTask": _assigned("fail"),
    "CreateTeam": _create_team,
    "GetTeam": _get_team,
    "UpdateTeam": _update_team,
    "ListTeams": _list_teams,
    "CreateCredential": _create_credential,
    "ListCredentials": _list_credentials,
    "RotateCredential": _rotate,
    "RevokeCredential": _revoke,
}
