"""What is removed of tasks, events and attempts, what stays, and what reports and watches say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dovetail.server.store import recounting
from dovetail.server.store.removal import tasks as removal
from dovetail.server.store.tables import events
from dovetail.server.store.transaction import Transaction
from dovetail.tasks.v1 import tasks_pb2 as t
from support.callers import Caller
from support.cleaning import NOW, clean, keep
from support.refusals import error_info, refusal
from support.teams import Team


async def kept(caller: Caller) -> list[str]:
    """The titles of all tasks."""
    return [task.title for task in await caller.all()]


async def done(caller: Caller, **fields: Any) -> str:
    """The id of a new task that is COMPLETED."""
    task = await caller.made(**fields)
    await caller.bring(task.task_id, t.TASK_STATE_COMPLETED)
    return task.task_id


async def figures_are_right(team: Team) -> bool:
    """Whether the figures agree with the tasks that are kept and those that were removed."""
    return await team.pair.tasks_store.read(team.team_id, recounting.is_right)


async def test_ended_and_deleted_tasks_go_with_all_that_hangs_on_them(team: Team) -> None:
    (ann,) = await team.known("ann")
    first = await done(ann, title="completed", request_id="one")
    open_task = await ann.made(title="open", links=[t.TaskLink(kind="after", task_id=first)])
    lost = await ann.made(title="cancelled")
    await ann.do("cancel", lost.task_id)
    deleted = await ann.made(title="deleted")
    await ann.do("delete", deleted.task_id)
    before = await ann.report()
    await keep(team, task_age=NOW)
    await clean(team.pair.tasks_store)
    assert await kept(ann) == ["open"]
    for task_id in (first, lost.task_id, deleted.task_id):
        assert (await refusal(ann.get(task_id)))[1] == "TASK_NOT_FOUND"
        assert await team.events(task_id) == []
    # The totals stay; a report with a filter, as a list, knows only what is kept.
    after = await ann.report()
    assert (after.total_tasks, after.removed_tasks, after.completed_tasks) == (3, 2, 1)
    assert (after.states, after.task_time, after.queue_time, after.assignees) == (
        before.states,
        before.task_time,
        before.queue_time,
        before.assignees,
    )
    mine = await ann.report(filter=t.TaskFilter(creator_ids=["ann"]))
    assert (mine.total_tasks, mine.removed_tasks) == (1, 0)
    assert mine.lists_complete_since == after.lists_complete_since
    assert not before.HasField("lists_complete_since")
    assert await figures_are_right(team)
    # What is open goes on, and is removed in its turn; the ids of what was removed are free.
    await ann.bring(open_task.task_id, t.TASK_STATE_COMPLETED)
    assert (await ann.made(task_id=first, title="again")).title == "again"
    await clean(team.pair.tasks_store)
    assert await kept(ann) == ["again"]
    assert (await ann.report()).removed_tasks == 3
    await team.pair.tasks_store.write(team.team_id, recounting.rebuild)
    assert await figures_are_right(team)
    assert (await ann.report()).total_tasks == 4


async def test_tasks_stay_while_others_need_them(team: Team) -> None:
    (ann,) = await team.known("ann")
    ground = await done(ann, title="ground")
    first = await ann.made(title="first", depends_on=[ground])
    parent = await done(ann, title="parent")
    part = await ann.made(title="part", parent_task_id=parent)
    failed = await ann.made(title="failed")
    await ann.made(title="waits", task_id="waits", depends_on=[failed.task_id])
    await ann.do("fail", failed.task_id)
    await keep(team, task_age=NOW)
    await clean(team.pair.tasks_store)
    assert await kept(ann) == ["ground", "first", "parent", "part", "failed", "waits"]
    for task_id in (first.task_id, part.task_id):
        await ann.bring(task_id, t.TASK_STATE_COMPLETED)
    await ann.do("cancel", "waits")
    await clean(team.pair.tasks_store)
    # From the leaves up, and from the last to the first: what is needed no more goes next.
    assert await kept(ann) == []
    assert await figures_are_right(team)


async def test_what_a_task_depends_on_and_does_not_find_was_completed(team: Team) -> None:
    (ann,) = await team.known("ann")
    ground = await done(ann)
    waits = await ann.made(title="waits", depends_on=[ground])
    await ann.bring(waits.task_id, t.TASK_STATE_COMPLETED)
    await keep(team, task_count=1)
    await clean(team.pair.tasks_store)
    assert await kept(ann) == ["waits"]
    again = await ann.did("reopen", waits.task_id)
    assert (list(again.depends_on), again.waiting_for_count) == ([ground], 0)
    assert await ann.held(waits.task_id)
    other = await ann.made(schedule_time={"seconds": 4_000_000_000}, depends_on=[waits.task_id])
    _, _, metadata = await refusal(ann.do("start", other.task_id))
    assert metadata["waiting_for"] == f'["{waits.task_id}"]'


async def test_events_go_but_for_the_last_of_each_task_and_of_its_lease(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    task = await ann.made(title="one")
    (claim,) = await bob.claim(lease_duration=3_600, request_id="claim")
    await bob.do("heartbeat", task.task_id, lease_token=claim.lease_token, progress=PROGRESS)
    await ann.do("update", task.task_id)
    other = await ann.made(title="two")
    last = (await ann.watched())[-1].event_number
    await keep(team, event_age=NOW)
    async with ann.watch(after_event=last - 2) as late, ann.watch() as quick:
        assert len(await quick.backlog()) == 5
        assert [e.verb for e in (await late.backlog())] == [UPDATE, CREATE]
        await clean(team.pair.tasks_store)
        assert await team.verbs(task.task_id) == ["claim", "update"]
        await ann.do("update", other.task_id)
        assert [e.verb for e in await quick.take(1)] == [UPDATE]
    # The claim is known for as long as its lease is.
    (again,) = await bob.claim(lease_duration=3_600, request_id="claim")
    assert again.lease_token == claim.lease_token
    # Event 3 was the last that was removed.
    error = await _refused(ann, after_event=2)
    assert (error.reason, dict(error.metadata)) == (
        "CURSOR_TOO_OLD",
        {"event": "2", "first": "3", "last": str(last + 1)},
    )
    assert len(await ann.watched(after_event=3)) == 3
    assert len(await ann.watched()) == 4
    # Of a task it is known whether events of its own were removed.
    one, two = (t.TaskEventFilter(task_id=each) for each in (task.task_id, other.task_id))
    assert (await _refused(ann, after_event=0, filter=one)).reason == "CURSOR_TOO_OLD"
    assert len(await ann.watched(after_event=0, filter=two)) == 2
    # A former holder is still told what became of the task.
    await ann.do("cancel", task.task_id)
    await clean(team.pair.tasks_store)
    assert await team.verbs(task.task_id) == ["cancel"]
    late_call = bob.do("heartbeat", task.task_id, lease_token=claim.lease_token)
    assert (await refusal(late_call))[2]["last_verb"] == "CANCEL"


async def test_the_newest_events_are_kept_by_count(team: Team) -> None:
    (ann,) = await team.known("ann")
    task = await ann.made()
    for title in "abcde":
        await ann.do("update", task.task_id, values={"title": title})
    await keep(team, event_count=3)
    await clean(team.pair.tasks_store)
    assert [event.number for event in await team.events(task.task_id)] == [4, 5, 6]


async def test_attempts_go_by_age_and_by_count_of_each_task(team: Team) -> None:
    (ann,) = await team.known("ann")
    many, few = await ann.made(title="many"), await ann.made(title="few")
    for _ in range(4):
        await ann.do("release", many.task_id, lease_token=await ann.held(many.task_id))
    await ann.do("release", few.task_id, lease_token=await ann.held(few.task_id))
    await keep(team, attempt_count=2)
    await clean(team.pair.tasks_store)
    assert [len(await _attempts(ann, each.task_id)) for each in (many, few)] == [2, 1]
    await ann.do("release", many.task_id, lease_token=await ann.held(many.task_id))
    await clean(team.pair.tasks_store)
    assert [each.attempt for each in await _attempts(ann, many.task_id)] == [4, 5]
    await keep(team, attempt_age=NOW)
    token = await ann.held(many.task_id)
    await clean(team.pair.tasks_store)
    # The one that lasts is in the row of its task.
    assert [each.attempt for each in await _attempts(ann, many.task_id)] == [6]
    await ann.do("complete", many.task_id, lease_token=token)


async def test_a_task_with_very_many_events_goes_piece_by_piece(team: Team) -> None:
    (ann,) = await team.known("ann")
    task_id = await done(ann)
    (event, *_) = await team.events(task_id)

    def add(transaction: Transaction) -> None:
        for _ in range(removal.PIECE_ROWS * 2):
            number = transaction.team.next_event()
            events.append(transaction, replace(event, number=number, repeat=None))

    await team.pair.tasks_store.write(team.team_id, add)
    await keep(team, task_age=NOW)
    await clean(team.pair.tasks_store)
    assert await kept(ann) == []
    assert (await ann.report()).removed_tasks == 1


async def _attempts(caller: Caller, task_id: str) -> list[t.TaskAttempt]:
    response = await caller.call(t.ListTaskAttemptsRequest(task_id=task_id))
    return list(response.attempts)


async def _refused(caller: Caller, **fields: Any) -> Any:
    async with caller.watch(**fields) as watch:
        return error_info(await watch.end())


PROGRESS = t.TaskProgress(percent=10)
CREATE, UPDATE = 1, 2
