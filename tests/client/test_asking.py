"""Asking and replying: a question finds its reply, however early or late it comes."""

from __future__ import annotations

import asyncio

import pytest

from dovetail.client import Agent, DeadlineExceededError, MessageContent, NotFoundError

TOO_SOON = 0.2


async def test_a_question_is_answered_in_its_thread(alice: Agent, bob: Agent):
    asking = asyncio.create_task(alice.ask("bob", "How many?", subject="Apples", data={"n": 1}))
    async with bob.inbox() as inbox:
        question = await anext(inbox)
    assert (question.subject, question.body, question.data) == ("Apples", "How many?", {"n": 1})
    await question.reply("Seven", data={"n": 7}, labels={"k": "v"})
    answer = await asking
    assert (answer.sender_id, answer.body, answer.data) == ("bob", "Seven", {"n": 7})
    assert (answer.in_reply_to, answer.thread_id) == (question.message_id, question.thread_id)
    assert answer.labels == {"k": "v"}


async def test_the_answer_is_acknowledged_and_the_question_is_not(alice: Agent, bob: Agent):
    asking = asyncio.create_task(alice.ask("bob", "?"))
    (question,) = await bob.receive(max_wait=50)
    await bob.reply(question, "!")
    await asking
    assert await alice.receive() == []
    assert [message.body for message in await bob.receive()] == ["?"]


async def test_only_a_reply_to_this_very_message_answers_it(alice: Agent, bob: Agent):
    first = await alice.send("bob", "first")
    asking = asyncio.create_task(
        alice.ask("bob", "second", thread_id=first.thread_id, in_reply_to=first.message_id)
    )
    async with bob.inbox() as inbox:
        earlier, question = await anext(inbox), await anext(inbox)
    assert (question.thread_id, question.in_reply_to) == (first.thread_id, first.message_id)
    await earlier.reply("to the first")
    await bob.send("alice", "to none", thread_id=first.thread_id)
    await question.reply("to the second")
    assert (await asking).body == "to the second"
    assert [message.body for message in await alice.receive()] == ["to the first", "to none"]


async def test_a_question_to_oneself_does_not_answer_itself(alice: Agent):
    asking = asyncio.create_task(alice.ask("alice", "?"))
    (question,) = await alice.receive(max_wait=50)
    await question.reply("!")
    assert (await asking).body == "!"


async def test_many_questions_at_once_each_get_their_own_answer(alice: Agent, bob: Agent):
    async def answer_all() -> None:
        async with bob.inbox() as inbox:
            async for question in inbox:
                await question.reply(f"answer to {question.body}")
                await question.acknowledge()

    answering = asyncio.create_task(answer_all())
    answers = await asyncio.gather(*(alice.ask("bob", str(number)) for number in range(20)))
    answering.cancel()
    await asyncio.wait((answering,))
    assert [answer.body for answer in answers] == [f"answer to {n}" for n in range(20)]


async def test_without_an_answer_in_time_the_question_is_told_to_be_open(alice: Agent, bob: Agent):
    with pytest.raises(DeadlineExceededError, match="no reply to message m1 in") as late:
        await alice.ask("bob", "?", timeout=TOO_SOON)
    assert late.value.metadata == {"message_id": "m1"}
    assert [message.message_id for message in await bob.receive()] == ["m1"]


async def test_an_answer_that_comes_late_waits_in_the_inbox(alice: Agent, bob: Agent):
    with pytest.raises(DeadlineExceededError):
        await alice.ask("bob", "?", timeout=TOO_SOON)
    (question,) = await bob.receive()
    await question.reply("!")
    assert [message.body for message in await alice.receive()] == ["!"]


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_asking_again_finds_the_answer_that_came_meanwhile(
    alice: Agent, bob: Agent, acknowledged: bool
):
    sent = await alice.send("bob", "?", request_id="r")
    (question,) = await bob.receive()
    await question.reply("!")
    if acknowledged:
        await alice.acknowledge(through=1)
    answer = await alice.ask("bob", "?", request_id="r")
    assert (answer.body, answer.in_reply_to) == ("!", sent.message_id)
    assert (await bob.agent()).last_sequence == 1


async def test_a_question_to_nobody_is_refused_as_a_message_is(alice: Agent):
    with pytest.raises(NotFoundError, match="nobody"):
        await alice.ask("nobody", "?")


async def test_a_reply_says_all_that_a_message_can_say(alice: Agent, bob: Agent):
    task = await alice.tasks.create("x")
    await alice.send("bob", "?")
    (question,) = await bob.receive()
    content = MessageContent(subject="s", importance="high", task_id=task.task_id, request_id="r")
    one = await question.reply("!", **content)
    assert await bob.reply(question, "!", **content) == one
    (answer,) = await alice.receive()
    assert (answer.subject, answer.importance, answer.task_id) == (
        "s",
        "high",
        task.task_id,
    )
