"""Every verb in every state: what it changes, and what a refusal leaves as it was."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.tasks.states import FORCED, RETRIED, SYSTEM_VERBS, TRANSITIONS
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.refusals import refusal
from support.tables import HEAD, LEADS, REQUESTS, ROWS, STATES, row_of
from support.teams import Team
from tasks.changes import changed_fields

# What is called for one task; claims and lost leases have tests of their own.
CALLED = {key: cell for key, cell in LEADS.items() if key[0].removesuffix("!") in REQUESTS}
LEGAL = [(*key, cell) for key, cell in CALLED.items() if cell != "-"]
REFUSED = [key for key, cell in CALLED.items() if cell == "-"]
# Heartbeats are no changes: they have tests of their own.
CHANGING = [cell for cell in LEGAL if cell[0] != "heartbeat"]

# What a verb changes besides update_time and etag.
CHANGES = {
    "update": {"title"},
    "assign": {"assignee_id", "assign_time"},
    "unassign": {"assignee_id", "assign_time"},
    "start": {"state", "start_time", "attempt"},
    "release": {"state", "start_time"},
    "request-input": {"state", "question"},
    "provide-input": {"state", "answer"},
    "complete": {"state", "end_time", "result"},
    "fail": {"state", "end_time", "failure"},
    "cancel": {"state", "end_time", "cancel_reason"},
    "reopen": {"state", "end_time"},
}
# What besides, where it is not the same from every state.
CHANGES_FROM = {
    ("assign", "IN_PROGRESS"): {"state", "start_time"},
    ("unassign", "IN_PROGRESS"): {"state", "start_time"},
    ("assign", "INPUT_REQUIRED"): {"state", "start_time"},
    ("unassign", "INPUT_REQUIRED"): {"state", "start_time"},
    ("reopen", "COMPLETED"): {"result", "start_time", "attempt"},
    ("reopen", "FAILED"): {"failure", "start_time", "attempt"},
    ("reopen", "CANCELLED"): {"cancel_reason"},
}


def fields_of(row: str) -> tuple[str, dict[str, Any]]:
    """The verb of a row of the table, and what its request carries."""
    verb = row.removesuffix("!")
    fields: dict[str, Any] = {"force": True} if row.endswith("!") else {}
    if verb == "assign":
        fields["assignee_id"] = "eve"
    if verb == "cancel":
        fields["reason"] = "no need"
    return verb, fields


async def task_in(team: Team, state: str) -> pb.Task:
    """A task of ann's, made by joe, in a state. Joe and eve are known too."""
    joe, ann, _ = await team.known("joe", "ann", "eve")
    task = await joe.made(assignee_id="ann", labels={"a": "b"}, priority=3)
    if state == "CANCELLED":
        await joe.do("cancel", task.task_id, reason="not now")
        return await joe.get(task.task_id)
    return await ann.bring(task.task_id, STATES[state])


VERBS = {verb.words: verb for verb in TaskVerb}


def test_the_code_keeps_the_tables_that_were_agreed() -> None:
    agreed: dict[str, dict[TaskVerb, dict[TaskState, TaskState]]] = {"": {}, "!": {}, "~": {}}
    for (row, state), cell in LEADS.items():
        verb, mark = row.rstrip("!~"), row[-1] if row[-1] in "!~" else ""
        if cell != "-" and not (mark == "!" and LEADS[verb, state] != "-"):
            agreed[mark].setdefault(VERBS[verb], {})[TaskState[state]] = TaskState[cell]
    assert agreed == {"": TRANSITIONS, "!": FORCED, "~": RETRIED}


def test_the_table_that_was_agreed_has_every_state_and_verb() -> None:
    assert HEAD[1:] == list(STATES) == list(TaskState.__members__)
    moving = (
        set(TaskVerb) - {TaskVerb.CREATE, TaskVerb.RETRY} - (SYSTEM_VERBS - {TaskVerb.EXPIRE_LEASE})
    )
    assert {VERBS[row.rstrip("!~")] for row, *_ in ROWS} == moving
    assert {row for row, _ in CALLED if row[-1] != "!"} == set(REQUESTS)


@pytest.mark.parametrize(("row", "state"), REFUSED)
async def test_a_verb_that_the_state_refuses_changes_nothing(
    team: Team, row: str, state: str
) -> None:
    task = await task_in(team, state)
    verb, fields = fields_of(row)
    before = await team.picture(task.task_id)
    code, reason, metadata = await refusal(team.caller("zoe").do(verb, task.task_id, **fields))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE")
    assert metadata["task_id"] == task.task_id
    assert metadata["state"] == state
    allowed = {other for (other, at), cell in LEADS.items() if at == state and cell != "-"}
    callable_ = {other for other in allowed if other[-1] not in "!~" and other != "expire-lease"}
    assert {row_of(name) for name in metadata["allowed_verbs"].split(",")} == callable_
    assert metadata["force_allows"] == str(LEADS.get((f"{verb}!", state), "-") != "-").lower()
    assert await team.picture(task.task_id) == before


@pytest.mark.parametrize(("row", "state", "becomes"), [it for it in CHANGING if it[0] != "delete"])
async def test_a_verb_that_the_state_allows_changes_what_it_is_for(
    team: Team, row: str, state: str, becomes: str
) -> None:
    before = await task_in(team, state)
    verb, fields = fields_of(row)
    actor = team.caller("ann")
    task = await actor.did(verb, before.task_id, **fields)
    assert task.state == STATES[becomes]
    besides = CHANGES_FROM.get((verb, state), set[str]())
    assert changed_fields(before, task) == CHANGES[verb] | besides | {"update_time", "etag"}
    assert await actor.get(before.task_id) == task


@pytest.mark.parametrize(("row", "state", "becomes"), CHANGING)
async def test_a_change_is_one_event_and_one_version(
    team: Team, row: str, state: str, becomes: str
) -> None:
    before = await task_in(team, state)
    old, history = await team.row(before.task_id), await team.events(before.task_id)
    verb, fields = fields_of(row)
    await team.caller("ann").do(verb, before.task_id, **fields)
    new, (*earlier, event) = await team.row(before.task_id), await team.events(before.task_id)
    assert old
    assert new
    assert earlier == history
    assert new.version == old.version + 1
    assert event.number > earlier[-1].number
    assert (event.verb.words, event.actor_id) == (verb, "ann")
    assert (event.from_state, event.to_state) == (STATES[state], STATES[becomes])
    assert event.assignee_id == new.assignee_id
    assert event.former_assignee_id == ("ann" if verb in ("assign", "unassign") else "")
    assert event.reason == fields.get("reason", "")
    assert event.create_time == new.update_time


@pytest.mark.parametrize("state", ["PENDING", "COMPLETED", "FAILED", "CANCELLED"])
async def test_a_deleted_task_is_kept_but_never_seen(team: Team, state: str) -> None:
    task = await task_in(team, state)
    joe = team.caller("joe")
    await joe.do("delete", task.task_id)
    code, reason, metadata = await refusal(joe.get(task.task_id))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert metadata == {"task_id": task.task_id, "deleted": "true"}
    assert (await joe.page()).tasks == []
    assert (await joe.report()).total_tasks == 0
    row = await team.row(task.task_id)
    assert row
    assert row.delete_time == row.update_time
    assert row.state == STATES[state]


@pytest.mark.parametrize("verb", sorted(REQUESTS))
@pytest.mark.parametrize("deleted", [True, False])
async def test_a_task_that_is_not_there_is_not_found_by_any_verb(
    team: Team, verb: str, deleted: bool
) -> None:
    task = await task_in(team, "PENDING")
    task_id = task.task_id if deleted else "no such task"
    await team.caller("joe").do("delete", task.task_id)
    before = await team.picture(task_id)
    call = team.caller("ann").do(verb, task_id, **fields_of(verb)[1])
    if deleted and verb == "delete":
        assert (await call).notices == []
    else:
        code, reason, metadata = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
        assert metadata == {"task_id": task_id, "deleted": str(deleted).lower()}
    assert await team.picture(task_id) == before


async def test_times_of_a_task_never_run_backwards(team: Team) -> None:
    task = await task_in(team, "PENDING")
    for verb in ("start", "complete", "reopen", "start", "fail", "reopen", "cancel"):
        task = await team.caller("ann").did(verb, task.task_id)
        stamps = [task.create_time, task.assign_time, task.start_time, task.end_time]
        given = [time.ToMicroseconds() for time in stamps if time.ByteSize()]
        assert given == sorted(given)
        assert task.update_time.ToMicroseconds() == given[-1] or verb == "reopen"
    times = [event.create_time for event in await team.events(task.task_id)]
    assert times == sorted(times)
