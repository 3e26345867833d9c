"""A program of somebody who installed Dovetail: its types are checked, it is not run."""

from __future__ import annotations

from datetime import timedelta

from dovetail import client
from dovetail.client import (
    Agent,
    DovetailError,
    NotFoundError,
    ReceivedMessage,
    TaskState,
    TaskVerb,
    blocking,
    connect,
)


async def work(agent: Agent, name: str) -> list[tuple[int, str]]:
    """Everything that an agent does."""
    await agent.register(labels={"role": "worker"})
    sent = await agent.send([name], "hello", importance="high")
    answer = await agent.ask(name, "How many?", timeout=5, data={"n": 1})
    await answer.reply("thanks", subject=sent.message_id)
    messages: list[ReceivedMessage] = await agent.receive(
        max_wait=1.5, acknowledge=[answer.sequence]
    )
    task = await agent.tasks.create("work", assignee_id=name)
    await agent.tasks.start(task.task_id)
    done = await agent.tasks.complete(task.task_id, "done", data={"n": [1, 2]})
    assert done.state == TaskState.COMPLETED
    assert done.result is not None
    assert done.create_time < done.update_time
    assert done.end_time is None or done.result.data
    async for each in agent.tasks.list(states=["pending"], assignee=name, order="newest_first"):
        await agent.tasks.update(each.task_id, priority=each.priority + 1, due_time=None)
    for message in messages:
        if message.notice and message.notice.verb == TaskVerb.REQUEST_INPUT:
            await agent.tasks.answer(message.task_id, "blue")
    report = await agent.tasks.report(bucket_duration=timedelta(hours=1))
    async with agent.inbox() as inbox:
        async for message in inbox:
            await message.acknowledge()
            break
    return [(message.sequence, message.body) for message in messages[: report.total_tasks]]


async def main() -> None:
    """Asynchronous."""
    async with connect("alice", messaging=["127.0.0.1:1", "127.0.0.1:2"]) as alice:
        try:
            await work(alice, "bob")
        except NotFoundError as error:
            print(error.reason, error.metadata["nearest_ids"], error.retry_after)


async def without_a_block() -> str:
    """Closed by hand."""
    alice = connect("alice")
    try:
        return (await alice.send("bob", "hello")).message_id + client.__version__
    finally:
        await alice.close()


def wait() -> str:
    """Blocking."""
    bob = blocking.connect("bob")
    bob.close()
    with blocking.connect("alice") as alice, alice.inbox() as inbox:
        try:
            answer = alice.ask("bob", "How many?", timeout=5)
            answer.reply("thanks")
        except DovetailError as error:
            return str(error)
        return " ".join(message.body for message in inbox)
