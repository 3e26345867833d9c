"""Default answers: what a question gets that has no answer at its deadline, exactly once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.transaction import Statement, Transaction
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1.types_pb2 import TASK_VERB_PROVIDE_INPUT, InputOption
from support.pair import running, running_pair
from support.refusals import refusal
from support.tables import CANCELLED, FAILED, IN_PROGRESS, INPUT_REQUIRED, PENDING
from support.teams import Team
from support.waiting import until

OPTIONS = [InputOption(name="yes"), InputOption(name="no")]
SECOND = Duration(seconds=1)
MONTH = Duration(seconds=30 * 86_400)
LEASE = 600.0


async def asked(team: Team, within: Duration, **fields: Any) -> tuple[str, str]:
    """A task that ann holds under a lease, with a question to joe; and its token."""
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    token = await ann.held(task_id, LEASE)
    fields = {"options": OPTIONS, "default_answer": "no", **fields}
    await ann.do("request-input", task_id, lease_token=token, answer_within=within, **fields)
    return task_id, token


async def let_deadlines_pass(team: Team) -> None:
    """Move the deadlines of all questions of a team into the past."""

    def unit(transaction: Transaction) -> None:
        passed = TaskRow.update({TaskRow.question_deadline_time: 1})
        ours = (TaskRow.team_id == transaction.team_id) & (
            TaskRow.question_deadline_time.is_null(False)
        )
        transaction.write(Statement(passed.where(ours)))

    await team.pair.messaging_store.write(team.team_id, unit)


async def answered(team: Team, task_id: str) -> pb.Task:
    """The task, as soon as its question has an answer."""
    caller = team.caller("joe")

    async def has_answer() -> bool:
        return (await caller.get(task_id)).HasField("answer")

    await until(has_answer)
    return await caller.get(task_id)


async def answers(team: Team, task_id: str) -> int:
    return (await team.verbs(task_id)).count("provide-input")


async def test_at_its_deadline_a_question_is_answered_by_its_default(team: Team) -> None:
    task_id, token = await asked(team, SECOND)
    ann = team.caller("ann")
    before = await ann.get(task_id)
    assert (before.state, before.HasField("lease")) == (INPUT_REQUIRED, True)
    assert not before.lease.HasField("expire_time")
    task = await answered(team, task_id)
    assert task.state == IN_PROGRESS
    assert task.answer == pb.TaskAnswer(option="no", is_default=True)
    assert (task.question, task.assignee_id) == (before.question, "ann")
    assert task.etag != before.etag
    # As by a caller: an event of no agent, and a notice to the assignee, in one commit.
    last = (await team.events(task_id))[-1]
    assert (last.verb.words, last.actor_id) == ("provide-input", "")
    deadline = before.question.deadline_time
    assert last.create_time >= deadline.ToMicroseconds()
    by = f"{deadline.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"
    assert last.reason == f"the default: there was no answer by {by}"
    message = (await ann.received())[-1].message
    assert (message.sender_id, message.notice.event_number) == ("", last.number)
    assert message.notice.verb == TASK_VERB_PROVIDE_INPUT
    assert message.notice.answer == talk.GivenAnswer(option="no", is_default=True)
    assert message.body == "no\n\nThis is the default: nobody has answered in time."
    # A whole lease, for the same token.
    lease = task.lease.expire_time.ToMicroseconds() - last.create_time
    assert lease == LEASE * 1_000_000
    await ann.do("complete", task_id, lease_token=token)


async def test_the_default_of_a_question_without_options_is_its_text(team: Team) -> None:
    task_id, _ = await asked(team, SECOND, options=[], default_answer="Go on without it.")
    task = await answered(team, task_id)
    assert task.answer == pb.TaskAnswer(text="Go on without it.", is_default=True)
    message = (await team.caller("ann").received())[-1].message
    assert message.body.startswith("Go on without it.\n\nThis is the default")


async def test_a_question_without_a_deadline_waits_on(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    await ann.do("start", task_id)
    await ann.do("request-input", task_id, options=OPTIONS)
    other, _ = await asked(team, MONTH)
    await let_deadlines_pass(team)
    await answered(team, other)
    assert (await joe.get(task_id)).state == INPUT_REQUIRED


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("provide-input", IN_PROGRESS),
        ("release", PENDING),
        ("cancel", CANCELLED),
        ("fail", FAILED),
    ],
)
async def test_a_question_that_is_open_no_more_gets_no_default(
    team: Team, verb: str, state: pb.TaskState.ValueType
) -> None:
    task_id, token = await asked(team, MONTH)
    if verb in ("release", "fail"):
        await team.caller("ann").do(verb, task_id, lease_token=token)
    else:
        await team.caller("joe").do(verb, task_id)
    # Another that is answered later: by then the first would have been, too.
    other, _ = await asked(team, MONTH)
    await let_deadlines_pass(team)
    await answered(team, other)
    task = await team.caller("joe").get(task_id)
    assert task.state == state
    assert not task.answer.is_default
    assert await answers(team, task_id) == (verb == "provide-input")


async def test_a_question_that_is_asked_again_has_a_deadline_of_its_own(team: Team) -> None:
    task_id, token = await asked(team, MONTH)
    joe, ann = team.caller("joe"), team.caller("ann")
    await joe.do("provide-input", task_id, option="yes")
    again = {"lease_token": token, "answer_within": MONTH, "default_answer": "later"}
    task = await ann.did("request-input", task_id, **again)
    assert not task.HasField("answer")
    await let_deadlines_pass(team)
    task = await answered(team, task_id)
    assert task.answer == pb.TaskAnswer(text="later", is_default=True)
    assert await answers(team, task_id) == 2


async def test_an_answer_after_the_default_is_told_that_it_is_too_late(team: Team) -> None:
    task_id, token = await asked(team, SECOND)
    etag = (await team.caller("ann").get(task_id)).etag
    await answered(team, task_id)
    joe, ann = team.caller("joe"), team.caller("ann")
    _, reason, metadata = await refusal(joe.do("provide-input", task_id, option="yes"))
    assert (reason, metadata["state"]) == ("TASK_STATE", "IN_PROGRESS")
    await ann.do("request-input", task_id, lease_token=token, options=OPTIONS)
    late = await refusal(joe.do("provide-input", task_id, option="yes", etag=etag))
    assert late[1] == "ETAG_MISMATCH"


async def test_a_deadline_that_passed_while_no_server_ran_is_kept_by_the_next(
    store_url: str,
) -> None:
    async with running_pair(store_url) as pair:
        team = Team.new(pair)
        task_id, token = await asked(team, MONTH)
    async with running("messaging", store_url) as messaging:
        pair.messaging_store = messaging.store
        await let_deadlines_pass(team)
    async with running_pair(store_url) as pair:
        team = Team(pair, team.team_id)
        task = await answered(team, task_id)
        assert task.answer == pb.TaskAnswer(option="no", is_default=True)
        await team.caller("ann").do("complete", task_id, lease_token=token)
        assert await answers(team, task_id) == 1


async def test_of_several_servers_one_gives_each_default(store_url: str) -> None:
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(running_pair(store_url))
        for _ in range(2):
            await stack.enter_async_context(running("tasks", store_url))
        team = Team.new(pair)
        task_ids = [(await asked(team, MONTH))[0] for _ in range(30)]
        await let_deadlines_pass(team)
        for task_id in task_ids:
            await answered(team, task_id)
        # A question that is asked and answered after them: all servers have looked again.
        last, _ = await asked(team, SECOND)
        await answered(team, last)
        assert [await answers(team, each) for each in task_ids] == [1] * 30
        told = [each.message.notice.verb for each in await team.caller("ann").received()]
        assert told.count(TASK_VERB_PROVIDE_INPUT) == 31
