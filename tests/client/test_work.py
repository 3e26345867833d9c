"""An agent's work: a task's life, and the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dovetail.client import Agent
from dovetail.tasks.v1 import tasks_pb2 as pb


async def test_a_task_lives_from_creation_to_reopening(alice: Agent, bob: Agent):
    due = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    task = await alice.tasks.create(
        "title",
        description="at length",
        priority=3,
        labels={"a": "b"},
        input={"n": 1},
        due_time=due,
        thread_id="thread",
    )
    assert (task.creator_id, task.state) == ("alice", pb.TASK_STATE_PENDING)
    assert task.due_time.ToDatetime(UTC) == due
    assert (await alice.tasks.get(task.task_id)) == task
    assert (await alice.tasks.assign(task.task_id, "bob")).assignee_id == "bob"
    assert (await alice.tasks.unassign(task.task_id)).assignee_id == ""
    wanted = pb.Task(task_id=task.task_id, title="new", priority=9)
    changed = await alice.tasks.update(wanted, ["title"])
    assert (changed.title, changed.priority) == ("new", 3)
    assert (await bob.tasks.start(task.task_id)).assignee_id == "bob"
    done = await bob.tasks.complete(task.task_id, "summary", data={"n": 2})
    assert (done.state, done.result.data["n"]) == (pb.TASK_STATE_COMPLETED, 2)
    assert (await bob.tasks.reopen(task.task_id, "again")).state == pb.TASK_STATE_PENDING
    failed = await bob.tasks.fail(task.task_id, "no disk", data={"n": 3})
    assert (failed.failure.message, failed.failure.data["n"]) == ("no disk", 3)
    await bob.tasks.reopen(task.task_id)
    assert (await bob.tasks.cancel(task.task_id, "not needed")).cancel_reason == "not needed"
    await bob.tasks.delete(task.task_id)
    assert [left async for left in alice.tasks.list()] == []


async def test_notices_are_written_unless_the_caller_says_none(alice: Agent, bob: Agent):
    await alice.tasks.create("told", assignee_id="bob")
    await alice.tasks.create("quiet", assignee_id="bob", notify=pb.NOTIFY_NONE)
    async with bob.inbox() as inbox:
        messages = [message async for message in inbox.backlog()]
    assert [message.subject for message in messages] == ["Task t1 assigned to bob: told"]
    notice = messages[0].notice
    assert notice is not None
    assert notice.task_id == "t1"


async def test_the_same_request_id_changes_once(alice: Agent):
    one = await alice.tasks.create("x", request_id="r")
    assert await alice.tasks.create("x", request_id="r") == one
    await alice.tasks.start(one.task_id, request_id="s")
    assert (await alice.tasks.start(one.task_id, request_id="s")).attempt == 1


async def test_tasks_are_chosen_by_a_filter(alice: Agent):
    await alice.tasks.create("one", labels={"a": "b"})
    await alice.tasks.create("two")
    chosen = alice.tasks.list(pb.TaskFilter(labels={"a": "b"}), order=pb.ORDER_NEWEST_FIRST)
    assert [task.title async for task in chosen] == ["one"]
    newest = alice.tasks.list(order=pb.ORDER_NEWEST_FIRST)
    assert [task.title async for task in newest] == ["two", "one"]


async def test_a_report_counts_what_was_done(alice: Agent):
    task = await alice.tasks.create("x")
    await alice.tasks.start(task.task_id)
    await alice.tasks.complete(task.task_id)
    await alice.tasks.create("y", labels={"a": "b"})
    report = await alice.tasks.report(bucket=timedelta(hours=1))
    assert (report.total_tasks, report.completed_tasks) == (2, 1)
    assert [bucket.completed_tasks for bucket in report.completions] == [1]
    assert (await alice.tasks.report(pb.TaskFilter(labels={"a": "b"}))).total_tasks == 1


async def test_a_time_without_a_zone_is_refused_before_it_is_sent(alice: Agent):
    with pytest.raises(ValueError, match="has no time zone"):
        await alice.tasks.create("x", due_time=datetime(2030, 1, 1))
    assert [task async for task in alice.tasks.list()] == []
