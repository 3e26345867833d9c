"""Fills stores through the Store itself, much faster than calls would."""

from __future__ import annotations

import random
from itertools import accumulate

from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, messages, tasks
from dovetail.server.store.tables.message_bytes import Content, MessageKind, NewMessage
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import MICROS, Transaction

TEAM = "default"
AT_ONCE = 1_000
ASSIGNEES = 20
TALKERS = 50
VOCABULARY = 50_000
WORDS_OF_A_MESSAGE = 40
EVERYWHERE, RARE, RARE_SENDER = "everywhere", "seldom", "recluse"
ENDED = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
STATES = (TaskState.PENDING, TaskState.IN_PROGRESS, *[TaskState.COMPLETED] * 6, *ENDED[1:])


async def backlog(store_url: str, agent_id: str, body: str, count: int) -> None:
    """Write this many messages to an agent's inbox."""
    new = NewMessage(
        sender_id=agent_id,
        recipient_ids=[agent_id],
        kind=MessageKind.MESSAGE,
        content=Content(body=body),
    )

    def unit(transaction: Transaction) -> None:
        agents.touch(transaction, agent_id)
        for _ in range(AT_ONCE):
            last = agents.last_sequences(transaction, [agent_id])
            messages.append(transaction, new, last)

    store = Store(store_url)
    try:
        for _ in range(count // AT_ONCE):
            await store.write(TEAM, unit)
    finally:
        await store.close()


async def team_with_talk(store_url: str, team_id: str, count: int) -> None:
    """Create a team with this many messages, of words as frequent as words are."""
    chance = random.Random(count)
    weights = [*accumulate(1 / (rank + 3) for rank in range(VOCABULARY))]
    agent_ids = [*(f"talker-{number}" for number in range(TALKERS)), RARE_SENDER]

    def unit(transaction: Transaction) -> None:
        for agent_id in agent_ids:
            agents.touch(transaction, agent_id)
        last = dict(agents.last_sequences(transaction, agent_ids))
        for _ in range(AT_ONCE):
            number = transaction.team.last_message
            spoken = chance.choices(range(VOCABULARY), cum_weights=weights, k=WORDS_OF_A_MESSAGE)
            body = " ".join(f"word{each:x}" for each in spoken)
            new = NewMessage(
                sender_id=RARE_SENDER if number % 1_000 == 3 else agent_ids[number % TALKERS],
                recipient_ids=[agent_ids[number * 7 % TALKERS]],
                kind=MessageKind.MESSAGE,
                content=Content(body=f"{body} {EVERYWHERE if number % 1_000 else RARE}"),
            )
            for receipt in messages.append(transaction, new, last).receipts:
                last[receipt.recipient_id] = receipt.sequence

    store = Store(store_url)
    try:
        for _ in range(count // AT_ONCE):
            await store.write(team_id, unit)
    finally:
        await store.close()


async def team_with_tasks(store_url: str, team_id: str, count: int) -> None:
    """Create a team with this many tasks: most completed, over twenty assignees."""

    def unit(transaction: Transaction) -> None:
        for _ in range(AT_ONCE):
            task = _task(transaction.team.next_task(), transaction.team.stamp)
            tasks.insert(transaction, task)

    store = Store(store_url)
    try:
        for _ in range(count // AT_ONCE):
            await store.write(team_id, unit)
    finally:
        await store.close()


def _task(number: int, now: int) -> Task:
    """A task that started within the last day; its number determines when."""
    state = STATES[number % len(STATES)]
    created = now - (number * 7_919 % 86_400) * MICROS
    started = None if state is TaskState.PENDING else created + (number % 600) * MICROS
    ended = (started or created) + (number * 31 % 3_600) * MICROS if state in ENDED else None
    return Task(
        task_id=f"t{number}",
        number=number,
        version=1,
        title=f"Task {number}",
        description="",
        state=state,
        assignee_id=f"worker-{number % ASSIGNEES}",
        creator_id="planner",
        priority=0,
        labels={},
        thread_id=f"t{number}",
        input_json=None,
        outcome_text="",
        outcome_json=None,
        attempt=1 if started else 0,
        create_time=created,
        update_time=created,
        assign_time=created,
        start_time=started,
        end_time=ended,
        due_time=None,
        delete_time=None,
    )
