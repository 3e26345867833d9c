"""The report: every figure against one worked out anew from ListTasks and the inboxes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.store.tables import agents, tasks
from dovetail.server.store.tables.tasks import OPEN_STATES, Task, TaskState
from dovetail.server.store.transaction import Transaction
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1.types_pb2 import TimeRange
from support import event_scan
from support.refusals import faults, refusal
from support.tables import COMPLETED, FAILED, IN_PROGRESS, PENDING, STATES
from support.teams import Team
from tasks import figures

PEOPLE = ("Zoe", "ann", "bob", "äda")
LABELS = ({}, {"room": "hall"}, {"room": "hall", "hue": "red"}, {"hue": ""})
DAY = 24 * 3600 * figures.MICROS
# Longer than any machine has run: an average of such times shows whether sums are exact.
LONGEST = 300 * 366 * DAY
BEGIN = 1_000_000_000 * figures.MICROS


async def random_life(team: Team, chance: random.Random) -> None:
    """A team of agents that make, move, start, end, reopen and delete tasks, and read notices."""
    await team.known(*PEOPLE)
    callers = [team.caller(agent_id) for agent_id in ("", *PEOPLE)]
    task_ids: list[str] = []
    verbs = ("start", "start", "complete", "complete", "fail", "cancel", "reopen", "unassign")
    words = ("request-input", "provide-input", "provide-input")
    for _ in range(120):
        caller = chance.choice(callers)
        if chance.random() < 0.4 or not task_ids:
            assignee_id = chance.choice(("", *PEOPLE))
            fields: dict[str, Any] = {"labels": chance.choice(LABELS), "assignee_id": assignee_id}
            if task_ids and chance.random() < 0.3:
                fields["parent_task_id"] = task_ids[0]
            task_ids.append((await caller.made(**fields)).task_id)
            continue
        verb = chance.choice((*verbs, *words, "assign", "delete" if task_ids[1:] else "assign"))
        fields = random_fields(verb, caller.agent_id, chance)
        # The first task stays, for others to be part of.
        chosen = task_ids[1:] if verb == "delete" else task_ids
        try:
            await caller.do(verb, chance.choice(chosen), **fields)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (
                grpc.StatusCode.FAILED_PRECONDITION,
                grpc.StatusCode.NOT_FOUND,
            ):
                raise
    for agent in await team.agents():
        read = [n for n in range(1, agent.last_sequence + 1) if chance.random() < 0.5]
        if read and agent.agent_id != "bob":
            await team.caller(agent.agent_id).acknowledge(*read)


def random_fields(verb: str, agent_id: str, chance: random.Random) -> dict[str, Any]:
    """What a request of an agent carries."""
    if verb == "request-input":
        return {"agent_id": chance.choice([each for each in PEOPLE if each != agent_id])}
    fields: dict[str, Any] = {}
    if verb in ("assign", "unassign"):
        fields["force"] = chance.random() < 0.3
    if verb == "assign":
        fields["assignee_id"] = chance.choice(PEOPLE)
    return fields


async def random_past(
    team: Team,
    chance: random.Random,
    count: int,
    most: int = LONGEST,
    states: Sequence[TaskState] = (*TaskState, TaskState.COMPLETED),
) -> None:
    """So many tasks of the past, and some deleted ones, written to the store as they would be after
    lives of up to `most` microseconds.
    """
    past = [past_task(number, chance, most, states) for number in range(1, count + 4)]
    past = [replace(task, delete_time=1) if task.number > count else task for task in past]
    chance.shuffle(past)

    def unit(transaction: Transaction) -> None:
        for agent_id in PEOPLE:
            agents.register(transaction, agent_id)
        for task in past:
            tasks.insert(transaction, task)

    await team.pair.tasks_store.write(team.team_id, unit)


def past_task(number: int, chance: random.Random, most: int, states: Sequence[TaskState]) -> Task:
    """One task of the past."""
    state = chance.choice(states)
    begun = (TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED, TaskState.COMPLETED)
    started = state in begun or (state is not TaskState.PENDING and chance.random() < 0.5)
    create_time = BEGIN + chance.randrange(most)
    start_time = create_time + chance.choice((0, 1, chance.randrange(most)))
    last = start_time if started else create_time
    ended = state not in OPEN_STATES
    assignee_id = chance.choice(("", *PEOPLE))
    return Task(
        task_id=f"past {number}",
        number=number,
        version=1,
        title="a title",
        description="",
        state=state,
        assignee_id=assignee_id,
        creator_id=chance.choice(("", *PEOPLE)),
        priority=0,
        labels=chance.choice(LABELS),
        thread_id="past",
        input_json=None,
        outcome_text="",
        outcome_json=None,
        attempt=int(started),
        create_time=create_time,
        update_time=create_time,
        assign_time=create_time if assignee_id else None,
        start_time=start_time if started else None,
        end_time=last + chance.choice((0, 1, chance.randrange(most))) if ended else None,
        due_time=None,
        delete_time=None,
        parent_task_id=chance.choice(("", "past 1")),
        ask_time=last if state is TaskState.INPUT_REQUIRED else None,
        input_wait=chance.choice((0, 1, chance.randrange(most))) if started else 0,
    )


def filters(all_tasks: list[pb.Task], chance: random.Random) -> Iterator[pb.TaskFilter]:
    """The empty filter, each condition alone, and random ones together."""
    ended = [task for task in all_tasks if task.HasField("end_time")]
    first, second = sorted(
        (chance.choice(all_tasks) for _ in range(2)), key=lambda task: figures.at(task.create_time)
    )
    third, fourth = sorted(
        (chance.choice(ended) for _ in range(2)), key=lambda task: figures.at(task.end_time)
    )
    conditions: dict[str, Any] = {
        "states": chance.sample([*STATES.values()], 2),
        "assignee_ids": chance.sample(PEOPLE, 2),
        "unassigned": True,
        "creator_ids": chance.sample(PEOPLE, 2),
        "labels": {"room": "hall"},
        "parent_task_id": all_tasks[0].task_id,
        "create_time": TimeRange(start_time=first.create_time, end_time=second.create_time),
        "end_time": TimeRange(start_time=third.end_time, end_time=fourth.end_time),
        "since": TimeRange(start_time=first.create_time),
        "until": TimeRange(end_time=fourth.end_time),
    }
    fields = {"since": "create_time", "until": "end_time"}
    yield pb.TaskFilter()
    for name, value in conditions.items():
        yield pb.TaskFilter(**{fields.get(name, name): value})
    for _ in range(8):
        names = chance.sample([*conditions], chance.randint(2, 3))
        yield pb.TaskFilter(**{fields.get(name, name): conditions[name] for name in names})


async def besides(team: Team) -> figures.Besides:
    """The message load of everybody, and how long each task waited for answers."""
    worker = team.caller()
    request = messaging_pb2.ListMessagesRequest(page_size=1_000)
    listed = await worker.messaging.ListMessages(request, metadata=worker.metadata)
    assert not listed.next_page_token
    rows = await team.rows()
    waits = {row.task_id: row.input_wait for row in rows if row.input_wait}
    return figures.Besides(
        loads=figures.loads(listed.records),
        input_waits=waits,
        sent_messages=len(listed.records),
    )


async def check(team: Team, filter: pb.TaskFilter, bucket: int | None) -> pb.Report:
    """Compare the report of a filter with one that is worked out anew, and answer it."""
    worker = team.caller()
    everything = await worker.all(page_size=1_000)
    listed = await worker.all(filter, page_size=1_000)
    assert listed == [task for task in everything if figures.matches(task, filter)]
    length = Duration(seconds=bucket) if bucket else None
    report = await worker.report(filter=filter, bucket_duration=length)
    assert report.HasField("report_time")
    assert figures.is_kept(report) == (filter == pb.TaskFilter())
    expected = figures.report(listed, await besides(team), bucket)
    assert figures.comparable(report, expected) == expected
    return report


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_report_is_that_of_the_tasks_which_the_filter_lists(team: Team, seed: int) -> None:
    chance = random.Random(seed)
    await random_life(team, chance)
    everything = await team.caller().all(page_size=1_000)
    told = await event_scan.scan(team.pair.tasks_store, team.team_id)
    known = replace(await besides(team), input_waits=told.input_waits)
    for filter in filters(everything, chance):
        bucket = chance.choice((None, 1, 7, 3_600))
        report = await check(team, filter, bucket)
        chosen = [told.tasks[t.task_id] for t in everything if figures.matches(t, filter)]
        expected = figures.report(chosen, known, bucket)
        assert figures.comparable(report, expected) == expected


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_a_report_over_centuries_is_exact_to_the_microsecond(team: Team, seed: int) -> None:
    chance = random.Random(seed)
    await random_past(team, chance, 200)
    everything = await team.caller().all(page_size=1_000)
    assert len(everything) == 200
    for filter in filters(everything, chance):
        await check(team, filter, 366 * 24 * 3_600)  # The longest: 900 of them are 900 years.


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 21, 40, 41])
async def test_percentiles_are_of_the_nearest_rank_for_any_number_of_samples(
    team: Team, count: int
) -> None:
    await random_past(team, random.Random(count), count, DAY, [TaskState.COMPLETED])
    report = await check(team, pb.TaskFilter(), None)
    assert report.task_time.sample_count == report.queue_time.sample_count == count


@pytest.mark.parametrize("bucket", [1, 60, 3_600, 24 * 3_600, 366 * 24 * 3_600])
async def test_completions_have_every_bucket_from_the_first_to_the_last(
    team: Team, bucket: int
) -> None:
    await random_past(team, random.Random(bucket), 40, 300 * bucket * figures.MICROS)
    report = await check(team, pb.TaskFilter(), bucket)
    counts = [each.completed_tasks for each in report.completions]
    assert 0 in counts
    assert counts[0]
    assert counts[-1]
    assert sum(counts) == report.completed_tasks


async def test_too_many_buckets_are_refused_with_their_number(team: Team) -> None:
    await random_past(team, random.Random(5), 20, DAY)
    everything = await team.caller().all()
    first = min(figures.at(task.create_time) for task in everything) // figures.MICROS
    times = [figures.at(t.end_time) for t in everything if figures.is_ended(t)]
    last = max([*times, *(figures.at(t.create_time) for t in everything)]) // figures.MICROS
    span = last - first
    enough = -(-span // 999) + 1
    report = await check(team, pb.TaskFilter(), enough)
    assert len(report.series) <= 1_000
    code, reason, metadata = await refusal(
        team.caller().report(bucket_duration=Duration(seconds=1))
    )
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_BUCKETS")
    assert (metadata["buckets"], metadata["most"]) == (str(span + 1), "1000")


async def test_without_samples_a_figure_is_unset_not_zero(team: Team) -> None:
    empty = await check(team, pb.TaskFilter(), 60)
    assert (empty.total_tasks, list(empty.assignees), list(empty.completions)) == (0, [], [])
    assert [(each.state, each.count) for each in empty.states] == [(s, 0) for s in STATES.values()]
    joe = team.caller("joe")
    await joe.bring((await joe.made()).task_id, IN_PROGRESS)
    await joe.bring((await joe.made()).task_id, FAILED)
    report = await check(team, pb.TaskFilter(), 60)
    assert not report.HasField("average_task_time")
    for name in ("average", "median", "p95"):
        assert not report.task_time.HasField(name)
        assert report.queue_time.HasField(name)
    (row,) = report.assignees
    assert not row.HasField("average_task_time")
    assert not row.HasField("average_acknowledge_time")
    assert row.HasField("oldest_open_create_time")


async def test_tasks_of_nobody_have_a_row_of_their_own_before_all_others(team: Team) -> None:
    joe, _ = await team.known("joe", "!")
    for assignee_id in ("!", "", "joe", ""):
        await joe.made(assignee_id=assignee_id)
    report = await check(team, pb.TaskFilter(), None)
    rows = [(row.assignee_id, row.total_tasks) for row in report.assignees]
    assert rows == [("", 2), ("!", 1), ("joe", 1)]
    assert not report.assignees[0].HasField("average_acknowledge_time")


async def test_deleted_tasks_do_not_count_and_reopened_ones_count_once(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    kept, gone = (await joe.made(assignee_id="ann")).task_id, (await joe.made()).task_id
    await ann.bring(kept, COMPLETED)
    await joe.do("reopen", kept)
    await joe.bring(gone, COMPLETED)
    await joe.do("delete", gone)
    report = await check(team, pb.TaskFilter(), 60)
    assert (report.total_tasks, report.completed_tasks) == (1, 0)
    assert report.task_time.sample_count == report.queue_time.sample_count == 0
    await ann.bring(kept, COMPLETED)
    report = await check(team, pb.TaskFilter(), 60)
    assert (report.total_tasks, report.completed_tasks) == (1, 1)
    assert [(row.assignee_id, row.total_tasks) for row in report.assignees] == [("ann", 1)]
    assert report.task_time.sample_count == report.queue_time.sample_count == 1


async def test_message_load_counts_all_that_an_assignee_has_not_read(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    for _ in range(3):
        await joe.made(assignee_id="ann")
    await joe.messaging.SendMessage(
        messaging_pb2.SendMessageRequest(recipient_ids=["ann", "joe"]), metadata=joe.metadata
    )
    await ann.acknowledge(2, 4)
    report = await check(team, pb.TaskFilter(states=[PENDING]), None)
    (row,) = report.assignees
    assert (row.assignee_id, row.unacknowledged_messages) == ("ann", 2)
    assert row.HasField("average_acknowledge_time")


@pytest.mark.parametrize(
    "bucket",
    [
        Duration(),
        Duration(seconds=-1),
        Duration(nanos=999_999_999),
        Duration(seconds=1, nanos=1),
        Duration(seconds=1, nanos=500_000),
        Duration(seconds=2, nanos=-1),
        Duration(seconds=366 * 24 * 3_600, nanos=1),
        Duration(seconds=366 * 24 * 3_600 + 1),
        Duration(seconds=2**62),
    ],
    ids=str,
)
async def test_a_bucket_that_is_not_of_whole_seconds_up_to_a_year_is_refused(
    team: Team, bucket: Duration
) -> None:
    assert await faults(team.caller().report(bucket_duration=bucket)) == {"bucket_duration"}


async def test_what_is_wrong_with_a_filter_is_named(team: Team) -> None:
    wrong = {"states": [0], "assignee_ids": [" "], "creator_ids": [""], "labels": {"\n": ""}}
    assert await faults(team.caller().report(filter=wrong)) == {
        "filter.states[0]",
        "filter.assignee_ids[0]",
        "filter.creator_ids[0]",
        'filter.labels["\\n"]',
    }
