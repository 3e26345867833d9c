"""A block that holds a task: it waits, keeps the lease, and ends the task as it ends itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from client.conftest import SHORT_LEASE, is_in, seen, until_known
from dovetail.client import (
    AbortedError,
    Agent,
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    TaskState,
    WorkFailedError,
)

LATER = "later"


async def test_the_end_of_the_block_completes_with_what_was_said_last(alice: Agent, bob: Agent):
    await alice.tasks.create("title", description="at length", input={"n": 1})
    async with bob.claim() as task:
        assert (task.title, task.description, task.input) == ("title", "at length", {"n": 1})
        assert task.task.state == TaskState.IN_PROGRESS
        task.result("first")
        task.result("last", data={"n": 2})
    done = await alice.tasks.get(task.task_id)
    assert (done.state, done.assignee_id) == (TaskState.COMPLETED, "bob")
    assert (done.result.summary, done.result.data["n"]) == ("last", 2)
    assert task.task == done


async def test_a_block_that_says_nothing_completes_with_nothing(alice: Agent, bob: Agent):
    await alice.tasks.create("x")
    async with bob.claim() as task:
        assert task.input is None
    assert task.task.state == TaskState.COMPLETED
    assert (task.task.result.summary, task.task.result.data) == ("", None)


async def test_what_ends_a_task_in_the_block_is_its_end(alice: Agent, bob: Agent):
    assigned = await alice.tasks.create("x", assignee_id="bob")
    (notice,) = await bob.receive()
    async with bob.claim() as task:
        done = await task.complete("early", acknowledge=[notice.sequence])
        assert done.state == TaskState.COMPLETED
    assert (await alice.tasks.get(assigned.task_id)).result.summary == "early"
    assert await bob.receive() == []


async def test_a_block_waits_for_a_task_that_is_made_later(alice: Agent, bob: Agent):
    async def work() -> str:
        async with bob.claim() as task:
            return task.title

    working = asyncio.create_task(work())
    await until_known(alice, "alice", "bob")
    await alice.tasks.create("x")
    assert await working == "x"


async def test_a_block_chooses_by_its_filter(alice: Agent, bob: Agent):
    await alice.tasks.create("other", priority=9)
    await alice.tasks.create("mine", labels={"kind": "review"})
    async with bob.claim(labels={"kind": "review"}, lease_duration=SHORT_LEASE) as task:
        assert task.title == "mine"
        assert task.task.lease.duration == SHORT_LEASE


async def test_without_a_task_in_time_the_block_never_begins(bob: Agent):
    for timeout in (0, 0.1):
        with pytest.raises(DeadlineExceededError, match=f"no task to claim in {timeout} s"):
            async with bob.claim(timeout=timeout):
                raise AssertionError("there was no task")


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (ValueError("no \0 disk"), LATER, "ValueError: no \N{REPLACEMENT CHARACTER} disk"),
        (WorkFailedError("tomorrow", retryable=True), LATER, "tomorrow"),
        (WorkFailedError("never", data={"n": 1}), TaskState.FAILED, "never"),
    ],
)
async def test_an_exception_fails_the_task_to_be_tried_again_unless_it_says_otherwise(
    alice: Agent, bob: Agent, error: Exception, state: TaskState | str, message: str
):
    made = await alice.tasks.create("x", initial_backoff=timedelta(hours=1))
    with pytest.raises(type(error)) as raised:
        async with bob.claim():
            raise error
    assert raised.value is error
    failed = await alice.tasks.get(made.task_id)
    retried = failed.state == TaskState.PENDING and failed.schedule_time is not None
    assert (LATER if retried else failed.state) == state
    assert failed.failed_attempts == (state == LATER)
    failure = failed.last_failure if retried else failed.failure
    assert failure.message == message
    assert (failure.data is not None) == (message == "never")


async def test_the_failure_says_kind_and_text_of_the_exception(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", max_attempts=1)
    with pytest.raises(ValueError, match="no"):
        async with bob.claim():
            raise ValueError("no \0 disk \ud800" + "x" * 10_000)
    failure = (await alice.tasks.get(made.task_id)).failure
    assert failure.message.startswith("ValueError: no \N{REPLACEMENT CHARACTER} disk ?xxx")
    assert len(failure.message) == 4_096


@pytest.mark.parametrize("retryable", [True, False])
async def test_failing_in_the_block_is_its_end(alice: Agent, bob: Agent, retryable: bool):
    made = await alice.tasks.create("x", initial_backoff=timedelta(hours=1))
    async with bob.claim() as task:
        await task.fail("no disk", data={"n": 1}, retryable=retryable)
    failed = await alice.tasks.get(made.task_id)
    assert failed.state == (TaskState.PENDING if retryable else TaskState.FAILED)


async def test_a_result_that_the_server_refuses_fails_the_task(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", max_attempts=1)
    with pytest.raises(InvalidArgumentError):
        async with bob.claim() as task:
            task.result("x" * 100_000)
    failure = (await alice.tasks.get(made.task_id)).failure
    assert failure.message.startswith("InvalidArgumentError: ")


async def test_a_cancelled_block_gives_its_task_back(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    held = asyncio.Event()

    async def work() -> None:
        async with bob.claim():
            held.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await held.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    task = await alice.tasks.get(made.task_id)
    assert (task.state, task.assignee_id) == (TaskState.PENDING, "")
    assert (task.attempt, task.failed_attempts) == (1, 0)


async def test_an_interrupted_block_gives_its_task_back(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    with pytest.raises(KeyboardInterrupt):
        async with bob.claim():
            raise KeyboardInterrupt
    assert (await alice.tasks.get(made.task_id)).state == TaskState.PENDING


async def test_releasing_in_the_block_is_its_end(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    async with bob.claim() as task:
        await task.release("not for me")
    assert (await alice.tasks.get(made.task_id)).state == TaskState.PENDING


async def test_one_who_waits_and_is_cancelled_takes_no_task(alice: Agent, bob: Agent):
    async def work() -> None:
        async with bob.claim():
            pass

    working = asyncio.create_task(work())
    await until_known(alice, "alice", "bob")
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await alice.tasks.create("x")
    async with alice.claim(timeout=20) as task:
        assert task.title == "x"


async def test_heartbeats_keep_the_lease_beyond_its_length_and_carry_the_progress(
    alice: Agent, bob: Agent
):
    made = await alice.tasks.create("x")
    async with bob.claim(lease_duration=SHORT_LEASE) as task:
        task.progress(40, "half")
        end = task.task.lease.expire_time + 3 * SHORT_LEASE
        kept = await seen(alice, made.task_id, lambda task: task.lease.expire_time > end)
        assert (kept.progress.percent, kept.progress.note) == (40, "half")
        assert (kept.state, kept.attempt) == (TaskState.IN_PROGRESS, 1)
    assert task.task.state == TaskState.COMPLETED


async def test_a_heartbeat_can_be_sent_at_once(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    async with bob.claim() as task:
        task.progress(7)
        assert (await task.heartbeat()).state == TaskState.IN_PROGRESS
        assert (await alice.tasks.get(made.task_id)).progress.percent == 7


async def test_progress_that_is_none_is_refused_at_once(alice: Agent, bob: Agent):
    await alice.tasks.create("x")
    async with bob.claim() as task:
        for percent, note in ((-1, ""), (101, ""), (1, "x" * 4_097), (1, "\0")):
            with pytest.raises(ValueError, match=r"percent|note"):
                task.progress(percent, note)


async def test_a_question_is_answered(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")

    async def work() -> None:
        async with bob.claim(lease_duration=SHORT_LEASE) as task:
            answer = await task.ask("Which one?", data={"from": [1, 2]})
            task.result(answer.text, data=answer.data)

    working = asyncio.create_task(work())
    asked = await seen(alice, made.task_id, is_in(TaskState.INPUT_REQUIRED))
    assert (asked.question.agent_id, asked.question.text) == ("alice", "Which one?")
    (notice,) = await alice.receive(max_wait=20)
    await alice.tasks.answer(
        made.task_id, "the second", data={"n": 2}, acknowledge=[notice.sequence]
    )
    await working
    done = await alice.tasks.get(made.task_id)
    assert (done.result.summary, done.result.data["n"]) == ("the second", 2)
    assert notice.sequence not in [each.sequence for each in await alice.receive()]


async def test_a_question_without_an_answer_in_time_stays_open(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    async with bob.claim() as task:
        with pytest.raises(DeadlineExceededError, match="no answer"):
            await task.ask("Which one?", to="alice", timeout=0.1)
        assert (await alice.tasks.get(made.task_id)).state == TaskState.INPUT_REQUIRED
        await task.release()


async def test_a_block_that_ends_with_an_open_question_has_failed(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")

    async def work() -> None:
        async with bob.claim() as task:
            with suppress(DeadlineExceededError):
                await task.ask("Which one?", timeout=0.1)

    with pytest.raises(FailedPreconditionError):
        await work()
    failed = await alice.tasks.get(made.task_id)
    assert failed.state == TaskState.FAILED
    assert failed.failure.message.startswith("FailedPreconditionError: ")


async def test_a_question_is_answered_by_an_option_or_else_by_its_default(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", assignee_id="bob")
    hour = timedelta(hours=1)

    async def work() -> None:
        async with bob.claim() as task:
            offer = {"left": "The old one", "right": ""}
            chosen = await task.ask(
                "Which?", options=offer, answer_within=hour, default_answer="left"
            )
            assert (chosen.option, chosen.text, chosen.is_default) == ("right", "", False)
            given = await task.ask(
                "And now?",
                options=task.task.question.options,
                answer_within=timedelta(seconds=1),
                default_answer="left",
            )
            assert (given.option, given.is_default) == ("left", True)
            task.result(given.option)

    working = asyncio.create_task(work())
    asked = await seen(alice, made.task_id, is_in(TaskState.INPUT_REQUIRED))
    assert asked.question.deadline_time - asked.question.ask_time < 2 * hour
    assert [(each.name, each.description) for each in asked.question.options] == [
        ("left", "The old one"),
        ("right", ""),
    ]
    (notice,) = await alice.receive()
    question = notice.notice.question
    assert question.options == asked.question.options
    assert (question.task_etag, question.default_answer) == (asked.etag, "left")
    with pytest.raises(InvalidArgumentError, match='"left", "right"'):
        await alice.tasks.answer(made.task_id, option="up")
    await alice.tasks.answer(made.task_id, option="right", etag=question.task_etag)
    await working
    assert (await alice.tasks.get(made.task_id)).result.summary == "left"
    told = [each.notice.answer for each in await bob.receive() if each.notice.answer]
    assert [(each.option, each.is_default) for each in told] == [("right", False), ("left", True)]
    with pytest.raises(AbortedError):
        await alice.tasks.answer(made.task_id, option="right", etag=question.task_etag)
