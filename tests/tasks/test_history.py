"""The history of tasks: an event for each change, with what changed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from dovetail.types.v1.types_pb2 import TaskVerb, TimeRange
from support.callers import Caller, seconds
from support.refusals import refusal
from support.tables import COMPLETED, IN_PROGRESS, PENDING
from support.teams import Team


async def page(caller: Caller, **fields: Any) -> pb.ListTaskEventsResponse:
    return await caller.call(pb.ListTaskEventsRequest(**fields))


async def history(caller: Caller, task_id: str = "", **filter: Any) -> list[pb.TaskEvent]:
    """All events that a filter chooses, page by page."""
    chosen = pb.TaskEventFilter(task_id=task_id, **filter)
    found: list[pb.TaskEvent] = []
    token = ""
    while True:
        response = await page(caller, filter=chosen, page_size=2, page_token=token)
        found.extend(response.events)
        token = response.next_page_token
        if not token:
            return found


def verbs(events: list[pb.TaskEvent]) -> list[str]:
    return [TaskVerb.Name(event.verb).removeprefix("TASK_VERB_") for event in events]


def changes(event: pb.TaskEvent) -> dict[str, tuple[Any, Any]]:
    """Old and new values by field."""
    return {
        each["field"]: (each.get("old_value"), each.get("new_value"))
        for each in MessageToDict(event, preserving_proto_field_name=True).get("changes", [])
    }


async def worked(team: Team) -> tuple[Caller, Caller]:
    """A task "1" that failed once and was completed, with a question, and another "2"."""
    ann, joe = await team.known("ann", "joe")
    backoff = seconds(0)
    await ann.made(task_id="1", assignee_id="joe", initial_backoff=backoff, labels={"a": "1"})
    await ann.made(task_id="2")
    token = await joe.held("1")
    await joe.do(
        "fail",
        "1",
        failure=pb.TaskFailure(message="no luck", retryable=True),
        lease_token=token,
    )
    (claimed,) = await joe.claim()
    asked = {"agent_id": "ann", "text": "which?", "lease_token": claimed.lease_token}
    await joe.do("request-input", "1", **asked)
    await ann.do("provide-input", "1", text="this")
    await joe.do("complete", "1", lease_token=claimed.lease_token)
    await ann.do("cancel", "2", reason="not needed")
    return ann, joe


async def test_every_change_of_a_task_is_one_event_that_continues_the_one_before(
    team: Team,
) -> None:
    ann, _ = await worked(team)
    events = await history(ann, "1")
    assert verbs(events) == [
        "CREATE",
        "START",
        "FAIL",
        "CLAIM",
        "REQUEST_INPUT",
        "PROVIDE_INPUT",
        "COMPLETE",
    ]
    assert [event.generation for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.attempt for event in events] == [0, 1, 1, 2, 2, 2, 2]
    assert [event.actor_id for event in events] == ["ann", *["joe"] * 4, "ann", "joe"]
    assert events[0].from_state == pb.TASK_STATE_UNSPECIFIED
    for before, after in pairwise(events):
        assert (after.from_state, after.event_number > before.event_number) == (
            before.to_state,
            True,
        )
        assert after.create_time.ToMicroseconds() >= before.create_time.ToMicroseconds()
    assert events[-1].to_state == COMPLETED
    assert (await ann.read(events[-1].message_id)).message.notice.verb == events[-1].verb


async def test_assignees_and_reasons_are_in_the_events(team: Team) -> None:
    ann, joe = await team.known("ann", "joe")
    await ann.made(task_id="x", assignee_id="joe")
    await ann.do("assign", "x", assignee_id="ann")
    await ann.do("unassign", "x")
    await ann.do("cancel", "x", reason="späte Einsicht")
    events = await history(joe, "x")
    assert [(event.assignee_id, event.former_assignee_id) for event in events] == [
        ("joe", ""),
        ("ann", "joe"),
        ("", "ann"),
        ("", ""),
    ]
    assert [event.reason for event in events] == ["", "", "", "späte Einsicht"]


async def test_a_filter_chooses_events_by_task_actor_verb_and_time(team: Team) -> None:
    ann, joe = await worked(team)
    every = await history(ann)
    assert [event.event_number for event in every] == list(range(1, 10))
    assert verbs(await history(ann, "2")) == ["CREATE", "CANCEL"]
    assert verbs(await history(joe, actor_ids=["ann"])) == [
        "CREATE",
        "CREATE",
        "PROVIDE_INPUT",
        "CANCEL",
    ]
    assert await history(joe, actor_ids=["nobody known"]) == []
    chosen = await history(joe, verbs=[types_pb2.TASK_VERB_FAIL, types_pb2.TASK_VERB_CANCEL])
    assert [(event.task_id, verbs([event])) for event in chosen] == [
        ("1", ["FAIL"]),
        ("2", ["CANCEL"]),
    ]
    since = every[4].create_time
    later = [e for e in every if e.create_time.ToMicroseconds() >= since.ToMicroseconds()]
    assert await history(ann, create_time=TimeRange(start_time=since)) == later
    assert await history(ann, create_time=TimeRange(end_time=since)) == every[: -len(later)]
    both = await history(ann, "1", actor_ids=["joe"], verbs=[types_pb2.TASK_VERB_COMPLETE])
    assert verbs(both) == ["COMPLETE"]


async def test_the_newest_come_first_on_request_and_pages_join_without_a_gap(team: Team) -> None:
    ann, _ = await worked(team)
    newest = types_pb2.ORDER_NEWEST_FIRST
    first = await page(ann, order=newest, page_size=4)
    rest = await page(ann, order=newest, page_size=4, page_token=first.next_page_token)
    last = await page(ann, order=newest, page_size=4, page_token=rest.next_page_token)
    numbers = [event.event_number for each in (first, rest, last) for event in each.events]
    assert (numbers, last.next_page_token) == (list(range(9, 0, -1)), "")


async def test_an_update_tells_old_and_new_values_but_not_large_ones(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="d")
    task = await ann.made(task_id="x", title="old", labels={"a": "1"}, description="short")
    task.title, task.description, task.priority = "new", "long" * 500, 7
    task.due_time.FromJsonString("2030-01-02T03:04:05Z")
    task.initial_backoff.CopyFrom(seconds(1.5))
    task.labels.clear()
    task.depends_on.append("d")
    fields = ["title", "description", "priority", "labels", "due_time"]
    fields += ["initial_backoff", "depends_on"]
    await ann.call(pb.UpdateTaskRequest(task=task, update_mask=FieldMask(paths=fields)))
    created, updated = await history(ann, "x")
    assert changes(created) == {}
    assert changes(updated) == {
        "title": ("old", "new"),
        "description": ("short", None),
        "priority": (0.0, 7.0),
        "labels": ({"a": "1"}, {}),
        "due_time": (None, "2030-01-02T03:04:05Z"),
        "initial_backoff": ("1s", "1.500s"),
        "depends_on": ([], ["d"]),
    }
    assert (updated.from_state, updated.to_state) == (PENDING, PENDING)


async def test_progress_that_differs_is_an_event_and_leaves_the_etag(team: Team) -> None:
    (joe,) = await team.known("joe")
    await joe.made(task_id="x")
    token = await joe.held("x")
    before = await joe.get("x")

    async def report(percent: int, note: str) -> None:
        progress = pb.TaskProgress(percent=percent, note=note)
        await joe.do("heartbeat", "x", lease_token=token, progress=progress)

    await joe.do("heartbeat", "x", lease_token=token)
    await report(10, "reading")
    await report(10, "reading")
    await report(60, "writing")
    events = await history(joe, "x", verbs=[types_pb2.TASK_VERB_HEARTBEAT])
    assert [changes(event) for event in events] == [
        {"progress.percent": (None, 10.0), "progress.note": ("", "reading")},
        {"progress.percent": (10.0, 60.0), "progress.note": ("reading", "writing")},
    ]
    assert [event.generation for event in events] == [3, 4]
    assert {event.to_state for event in events} == {IN_PROGRESS}
    after = await joe.get("x")
    assert (after.etag, after.update_time) == (before.etag, before.update_time)


async def test_a_deleted_task_keeps_its_history_and_one_that_never_was_is_not_found(
    team: Team,
) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.do("delete", "x")
    assert verbs(await history(ann, "x")) == ["CREATE", "DELETE"]
    status, reason, metadata = await refusal(history(ann, "y"))
    assert (status, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert metadata == {"task_id": "y", "deleted": "false"}


async def test_a_page_ends_at_a_mebibyte(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    for number in range(100):
        verb = "reopen" if number % 2 else "cancel"
        await ann.do(verb, "x", reason="ä" * 4_096)
    first = await page(ann, page_size=1_000)
    assert 20 < len(first.events) < 100
    assert first.ByteSize() < 1024 * 1024
    assert len(await history(ann, "x")) == 101
