"""An agent's work: a task's life, and the report."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from client.conftest import until_known
from dovetail.client import (
    Agent,
    FailedPreconditionError,
    InvalidArgumentError,
    LeaseLostError,
    NotFoundError,
    Notify,
    Order,
    Pages,
    Task,
    TaskState,
    completion,
    draft,
)


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
    assert (task.creator_id, task.state) == ("alice", TaskState.PENDING)
    assert task.due_time == due
    assert (await alice.tasks.get(task.task_id)) == task
    assert (await alice.tasks.assign(task.task_id, "bob")).assignee_id == "bob"
    assert (await alice.tasks.unassign(task.task_id)).assignee_id == ""
    changed = await alice.tasks.update(task.task_id, title="new")
    assert (changed.title, changed.priority) == ("new", 3)
    assert (await bob.tasks.start(task.task_id)).assignee_id == "bob"
    done = await bob.tasks.complete(task.task_id, "summary", data={"n": 2})
    assert (done.state, done.result.data["n"]) == (TaskState.COMPLETED, 2)
    assert (await bob.tasks.reopen(task.task_id, "again")).state == TaskState.PENDING
    failed = await bob.tasks.fail(task.task_id, "no disk", data={"n": 3})
    assert (failed.failure.message, failed.failure.data["n"]) == ("no disk", 3)
    await bob.tasks.reopen(task.task_id)
    assert (await bob.tasks.cancel(task.task_id, "not needed")).cancel_reason == "not needed"
    await bob.tasks.delete(task.task_id)
    assert [left async for left in alice.tasks.list()] == []


async def test_notices_are_written_unless_the_caller_says_none(alice: Agent, bob: Agent):
    await alice.tasks.create("told", assignee_id="bob")
    await alice.tasks.create("quiet", assignee_id="bob", notify=Notify.NONE)
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
    chosen = alice.tasks.list(labels={"a": "b"}, order="newest_first")
    assert [task.title async for task in chosen] == ["one"]
    newest = alice.tasks.list(order=Order.NEWEST_FIRST)
    assert [task.title async for task in newest] == ["two", "one"]


async def test_a_report_counts_what_was_done(alice: Agent):
    task = await alice.tasks.create("x")
    await alice.tasks.start(task.task_id)
    await alice.tasks.complete(task.task_id)
    await alice.tasks.create("y", labels={"a": "b"})
    report = await alice.tasks.report(bucket_duration=timedelta(hours=1))
    assert (report.total_tasks, report.completed_tasks) == (2, 1)
    assert [bucket.completed_tasks for bucket in report.completions] == [1]
    assert (await alice.tasks.report(labels={"a": "b"})).total_tasks == 1


async def test_a_time_without_a_zone_is_refused_before_it_is_sent(alice: Agent):
    with pytest.raises(ValueError, match="has no time zone"):
        await alice.tasks.create("x", due_time=datetime(2030, 1, 1))
    assert [task async for task in alice.tasks.list()] == []


async def test_a_task_waits_for_others_and_for_its_time(alice: Agent, bob: Agent):
    first = await alice.tasks.create("first")
    later = datetime(2100, 1, 2, tzinfo=UTC)
    second = await alice.tasks.create(
        "second",
        depends_on=[first.task_id],
        parent_task_id=first.task_id,
        schedule_time=later,
        max_attempts=7,
        initial_backoff=timedelta(minutes=2),
    )
    assert (second.depends_on, second.waiting_for_count) == ((first.task_id,), 1)
    assert second.schedule_time == later
    assert (second.max_attempts, second.initial_backoff) == (7, timedelta(minutes=2))
    parts = alice.tasks.list(parent_task_id=first.task_id)
    assert [task.title async for task in parts] == ["second"]
    with pytest.raises(FailedPreconditionError, match="not ready"):
        await bob.tasks.start(second.task_id)


async def test_dependencies_retries_and_schedule_can_be_updated(alice: Agent):
    one, two = await alice.tasks.create("one"), await alice.tasks.create("two")
    later = datetime(2100, 1, 2, tzinfo=UTC)
    changed = await alice.tasks.update(
        two.task_id,
        depends_on=[one.task_id],
        max_attempts=2,
        initial_backoff=timedelta(seconds=9),
        schedule_time=later,
    )
    assert (changed.depends_on, changed.max_attempts) == ((one.task_id,), 2)
    assert (changed.initial_backoff, changed.schedule_time) == (timedelta(seconds=9), later)
    again = await alice.tasks.update(two.task_id, schedule_time=None)
    assert (again.schedule_time, again.max_attempts) == (None, 2)


async def test_many_tasks_are_made_at_once_all_or_none(alice: Agent):
    drafts = [
        draft("roof", task_id="roof", depends_on=["wall"], initial_backoff=timedelta(0)),
        draft("wall", task_id="wall", input={"n": 1}),
    ]
    made = await alice.tasks.create_many(drafts, request_id="r")
    assert [task.task_id for task in made] == ["roof", "wall"]
    assert await alice.tasks.create_many(drafts, request_id="r") == made
    with pytest.raises(InvalidArgumentError) as refused:
        await alice.tasks.create_many(
            [draft("a", task_id="a", depends_on=["b"]), draft("b", task_id="b", depends_on=["a"])]
        )
    assert refused.value.reason == "DEPENDENCY_CYCLE"
    assert [task.title async for task in alice.tasks.list()] == ["roof", "wall"]


async def test_what_caused_an_act_is_acknowledged_with_it(alice: Agent, bob: Agent):
    for body in ("one", "two", "three", "four", "five", "six"):
        await alice.send("bob", body)
    await bob.tasks.create("one", task_id="t", acknowledge=[1])
    await bob.tasks.create_many([draft("two")], acknowledge=[2])
    await bob.tasks.start("t", acknowledge=[5])
    await bob.tasks.complete("t", acknowledge=[3])
    await bob.tasks.reopen("t")
    held = await bob.tasks.start_leased("t", timedelta(minutes=1), acknowledge=iter([6]))
    await bob.tasks.fail("t", "no", acknowledge=[4], lease_token=held.lease_token)
    assert await bob.receive() == []


async def test_tasks_are_claimed_and_held_by_a_token(alice: Agent, bob: Agent):
    await alice.tasks.create_many([draft("one"), draft("two"), draft("no", labels={"a": "b"})])
    assert await bob.tasks.claim(labels={"a": "c"}) == []
    one, two = await bob.tasks.claim(max_tasks=2, max_wait=20, lease_duration=timedelta(seconds=30))
    assert (one.task.title, two.task.title) == ("one", "two")
    assert one.task.lease.duration == timedelta(seconds=30)
    task_id, token = one.task.task_id, one.lease_token
    beat = await bob.tasks.heartbeat(task_id, percent=5, note="begun", lease_token=token)
    assert beat.state == TaskState.IN_PROGRESS
    with pytest.raises(FailedPreconditionError, match="lease"):
        await bob.tasks.complete(task_id)
    with pytest.raises(LeaseLostError):
        await bob.tasks.complete(task_id, lease_token=two.lease_token)
    done = await bob.tasks.complete(task_id, "done", lease_token=token, request_id="r")
    again = await bob.tasks.complete(task_id, "done", lease_token=token, request_id="r")
    assert done == again
    back = await bob.tasks.release(two.task.task_id, "not mine", lease_token=two.lease_token)
    assert (back.state, back.assignee_id) == (TaskState.PENDING, "")


async def test_a_claim_waits_for_work_that_is_yet_to_come(alice: Agent, bob: Agent):
    waiting = asyncio.create_task(bob.tasks.claim(max_wait=50))
    await until_known(alice, "alice", "bob")
    await alice.tasks.create("x")
    (claimed,) = await waiting
    assert claimed.task.title == "x"


async def test_one_task_is_started_under_a_lease(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", initial_backoff=timedelta(0))
    started = await bob.tasks.start_leased(made.task_id, timedelta(minutes=1), request_id="r")
    again = await bob.tasks.start_leased(made.task_id, timedelta(minutes=1), request_id="r")
    assert started == again
    assert started.lease_token
    failed = await bob.tasks.fail(
        made.task_id, "not today", retryable=True, lease_token=started.lease_token
    )
    assert (failed.state, failed.failed_attempts) == (TaskState.PENDING, 1)


async def test_a_question_is_asked_and_answered(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", assignee_id="bob")
    await bob.tasks.start(made.task_id)
    asked = await bob.tasks.ask(made.task_id, "Which?", data={"from": 2})
    assert (asked.question.agent_id, asked.question.data["from"]) == ("alice", 2)
    (notice,) = await alice.receive()
    answered = await alice.tasks.answer(
        made.task_id, "this", data={"n": 1}, acknowledge=[notice.sequence]
    )
    assert answered.state == TaskState.IN_PROGRESS
    assert (answered.answer.text, answered.answer.data["n"]) == ("this", 1)
    assert await alice.receive() == []


async def test_many_are_completed_at_once_each_by_itself(alice: Agent, bob: Agent):
    await alice.tasks.create_many([draft("one"), draft("two")])
    one, two = await bob.tasks.claim(max_tasks=2)
    first, second, third = await bob.tasks.complete_many(
        [
            completion(one.task.task_id, "done", data={"n": 1}, lease_token=one.lease_token),
            completion(two.task.task_id, lease_token=one.lease_token),
            completion("nothing"),
        ]
    )
    assert isinstance(first, Task)
    assert first.state == TaskState.COMPLETED
    assert (await alice.tasks.get(first.task_id)).result.data["n"] == 1
    assert isinstance(second, LeaseLostError)
    assert (second.reason, second.metadata["state"]) == ("LEASE_LOST", "IN_PROGRESS")
    assert isinstance(third, NotFoundError)


async def test_cancelling_a_task_can_cancel_its_parts(alice: Agent):
    await alice.tasks.create("whole", task_id="whole")
    await alice.tasks.create("part", task_id="part", parent_task_id="whole")
    await alice.tasks.create("alone", task_id="alone")
    await alice.tasks.cancel("whole", "not needed", cascade=True)
    states = {task.task_id: task.state async for task in alice.tasks.list()}
    called_off, pending = TaskState.CANCELLED, TaskState.PENDING
    assert states == {"whole": called_off, "part": called_off, "alone": pending}


async def test_links_parents_and_threads(alice: Agent):
    one = await alice.tasks.create("one", task_id="one")
    two = await alice.tasks.create("two", links=[("relates_to", "one")], thread_id="talk")
    (link,) = two.links
    assert (link.kind, link.task_id) == ("relates_to", "one")
    changed = await alice.tasks.update(
        two.task_id, parent_task_id="one", links=[*two.links, ("blocks", "one")]
    )
    assert [link.kind for link in changed.links] == ["relates_to", "blocks"]
    assert changed.parent_task_id == "one"
    assert await titles(alice.tasks.list(linked_task_id="one")) == ["two"]
    assert await titles(alice.tasks.list(thread_id="talk")) == ["two"]
    assert await titles(alice.tasks.list(updated_since=changed.update_time)) == ["two"]
    assert await titles(alice.tasks.list(updated_before=changed.update_time)) == ["one"]
    await alice.tasks.update(one.task_id, priority=1)
    assert await titles(alice.tasks.list(order_by="update_time")) == ["two", "one"]
    assert (await alice.tasks.update(two.task_id, parent_task_id="", links=[])).links == ()


async def titles(tasks: Pages[Task]) -> list[str]:
    return [task.title async for task in tasks]
