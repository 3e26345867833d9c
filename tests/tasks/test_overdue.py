"""Overdue tasks: the assignee and the creator are told once, and once more for another due time."""

from __future__ import annotations

import time

from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.types.v1 import types_pb2
from support.teams import Team
from support.waiting import until

OVERDUE = types_pb2.TASK_VERB_BECOME_OVERDUE


def now(after: float = 0) -> Timestamp:
    made = Timestamp()
    made.FromMicroseconds(time.time_ns() // 1_000 + round(after * 1_000_000))
    return made


async def until_told(team: Team, task_id: str, times: int) -> None:
    async def is_told() -> bool:
        return (await team.verbs(task_id)).count("become-overdue") == times

    await until(is_told)


async def test_who_has_and_who_made_an_overdue_task_are_told_once(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann", due_time=now(0.3))
    await until_told(team, task.task_id, 1)
    late = await team.events(task.task_id)
    assert late[-1].create_time >= task.due_time.ToMicroseconds()
    assert late[-1].actor_id == ""
    # Another that is told later: by then the first would have been told again.
    other = await joe.made(due_time=now())
    await until_told(team, other.task_id, 1)
    assert await team.verbs(task.task_id) == ["create", "become-overdue"]
    for worker, count in ((joe, 2), (ann, 1)):
        events = [each.message.notice.verb for each in await worker.received()]
        assert events.count(OVERDUE) == count


async def test_another_due_time_is_told_of_anew(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made(due_time=now(-10))
    await until_told(team, task.task_id, 1)
    await joe.do("update", task.task_id, values={"priority": 1})
    await joe.do("update", task.task_id, values={"due_time": now(-5)})
    await until_told(team, task.task_id, 2)
    await joe.do("start", task.task_id)
    other = await joe.made(due_time=now())
    await until_told(team, other.task_id, 1)
    assert (await team.verbs(task.task_id)).count("become-overdue") == 2


async def test_nobody_is_told_of_what_has_ended_or_was_deleted(team: Team) -> None:
    joe = team.caller("joe")
    ended, gone = [(await joe.made(due_time=now(1.5))).task_id for _ in range(2)]
    await joe.do("cancel", ended)
    await joe.do("delete", gone)
    other = await joe.made(due_time=now(1.6))
    await until_told(team, other.task_id, 1)
    assert await team.verbs(ended) == ["create", "cancel"]
    assert await team.verbs(gone) == ["create", "delete"]
    await joe.do("reopen", ended)
    await until_told(team, ended, 1)
