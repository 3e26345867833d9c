"""Mutual waits: circles that a question closes are told to all in them, and nothing else is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import grpc

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.mail import notices
from support.soak import SOAK
from support.teams import Team
from support.waiting_model import ModelTask, WaitingModel

HISTORIES = 5_000 if SOAK else 15
"""On each engine."""
STEPS = 40
AGENTS = ("ann", "ben", "cid", "dan")
# How often each verb is chosen, and the state of the tasks for which it is tried, most of the time.
VERBS = {
    "create": (8, ""),
    "start": (16, "PENDING"),
    "request-input": (24, "IN_PROGRESS"),
    "provide-input": (3, "INPUT_REQUIRED"),
    "complete": (2, "IN_PROGRESS"),
    "release": (1, "INPUT_REQUIRED"),
    "fail": (1, "IN_PROGRESS"),
    "assign": (1, ""),
    "unassign": (1, ""),
    "update": (2, "PENDING"),
    "cancel": (1, "INPUT_REQUIRED"),
    "reopen": (1, "COMPLETED"),
}


async def test_two_agents_that_ask_each_other_are_told_in_the_commit_of_the_question(
    team: Team,
) -> None:
    joe, ann, ben = await team.known("joe", "ann", "ben")
    await joe.create(task_id="t1", assignee_id="ann", thread_id="talk")
    await joe.create(task_id="t2", assignee_id="ben")
    await ann.do("start", "t1")
    await ben.do("start", "t2")
    await ben.do("request-input", "t2", agent_id="ann", text="Which?")
    assert await notices(ann) == await notices(ben) == []
    asked = (await ann.do("request-input", "t1", agent_id="ben", text="What?")).notices[0]
    (told,), (same,) = await notices(ann), await notices(ben)
    assert told == same
    assert (told.kind, told.sender_id, told.thread_id) == (talk.MESSAGE_KIND_NOTICE, "", "talk")
    assert (told.task_id, told.hop_count) == ("t1", 0)
    notice = told.mail_notice
    assert (notice.event, notice.message_id) == (talk.MAIL_EVENT_MUTUAL_WAIT, asked.message_id)
    assert list(zip(notice.recipient_ids, notice.task_ids, strict=True)) == [
        ("ann", "t1"),
        ("ben", "t2"),
    ]
    assert notice.recipient_count == 2
    assert notice.reason == (
        "ann waits for ben: task t1 asks ben\nben waits for ann: task t2 asks ann"
    )
    assert told.subject == "Task t1: its question closes a circle of waits of ann, ben"
    assert notice.reason in told.body
    assert "answer first" in told.body
    # The same question again is another circle.
    await ben.do("provide-input", "t1", text="This.")
    await ann.do("request-input", "t1", agent_id="ben", text="And?")
    assert len(await notices(ben)) == 2
    assert await notices(joe) == []


async def test_a_circle_may_lead_through_dependencies_and_tasks_of_nobody(team: Team) -> None:
    joe, ann, ben, cid = await team.known("joe", "ann", "ben", "cid")
    await joe.create(task_id="first", assignee_id="ann")
    await joe.create(task_id="second", depends_on=["first"])
    await joe.create(task_id="third", depends_on=["second"], assignee_id="ben")
    await joe.create(task_id="fourth", depends_on=["third"], assignee_id="cid")
    await ann.do("start", "first")
    await ann.do("request-input", "first", agent_id="cid")
    for each in (ann, ben, cid):
        (told,) = await notices(each)
        assert list(told.mail_notice.recipient_ids) == ["ann", "cid"]
        assert list(told.mail_notice.task_ids) == ["first", "fourth"]
        assert told.mail_notice.reason.endswith(
            "cid waits for ann: task fourth depends on open tasks of ann\nIn circles with them: ben"
        )


async def test_who_has_other_work_is_in_no_circle(team: Team) -> None:
    joe, ann, ben = await team.known("joe", "ann", "ben")
    for task_id, agent in (("t1", ann), ("t2", ben)):
        await joe.create(task_id=task_id, assignee_id=agent.agent_id)
        await agent.do("start", task_id)
    await joe.create(task_id="more", assignee_id="ann")
    await ben.do("request-input", "t2", agent_id="ann")
    await ann.do("request-input", "t1", agent_id="ben")
    # It could begin with the other task; it does, and asks there too.
    await ann.do("start", "more")
    assert await notices(ben) == []
    await ann.do("request-input", "more", agent_id="joe")
    (told,) = await notices(ben)
    assert list(told.mail_notice.task_ids) == ["t1", "t2"]
    assert told.task_id == "more"
    assert await notices(joe) == []


async def test_a_question_to_an_agent_without_tasks_is_told_to_nobody_else(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    await ann.do("start", task_id)
    await ann.do("request-input", task_id)
    assert [await notices(each) for each in (joe, ann)] == [[], []]


async def test_random_histories_agree_with_a_plain_graph(
    team: Team, report_figures: Callable[[str], None]
) -> None:
    at_once = asyncio.Semaphore(64)

    async def play(seed: int) -> int:
        async with at_once:
            return await _History(Team.new(team.pair), seed).play()

    circles = await asyncio.gather(*map(play, range(HISTORIES)))
    assert sum(circles) > HISTORIES / 2
    report_figures(f"{HISTORIES:,} histories, {sum(circles):,} circles: missed 0, false 0")


class _History:
    """A random history, played by an operator for all agents."""

    def __init__(self, team: Team, seed: int) -> None:
        self._team = team
        self._seed = seed
        self._random = random.Random(seed)
        self._caller = team.caller()
        self._model = WaitingModel()
        # For each circle: the task of the question, who is in it, and who waits for whom with what.
        self._circles: list[tuple[str, set[str], set[tuple[str, str, str]]]] = []

    async def play(self) -> int:
        """Play it, and compare what was told with the model. Returns how many circles there are."""
        await self._team.known(*AGENTS)
        for agent_id in AGENTS:
            made = await self._caller.made(assignee_id=agent_id)
            self._note(await self._caller.did("start", made.task_id))
        weights = [weight for weight, _ in VERBS.values()]
        for verb in self._random.choices([*VERBS], weights, k=STEPS):
            await self._step(verb)
        page = await self._caller.list_messages(page_size=1_000)
        told = [each.message for each in page.records if each.message.HasField("mail_notice")]
        found = [(each.task_id, set(each.recipient_ids)) for each in told]
        expected = [(task_id, members) for task_id, members, _ in self._circles]
        assert found == expected, f"seed {self._seed}"
        for message, (_, members, waits) in zip(told, self._circles, strict=True):
            notice = message.mail_notice
            circle = list(notice.recipient_ids)
            assert set(circle) <= members
            named = zip(circle, [*circle[1:], circle[0]], notice.task_ids, strict=True)
            assert set(named) <= waits, f"seed {self._seed}"
        return len(told)

    async def _step(self, verb: str) -> None:
        if verb == "create":
            await self._create()
            return
        if not self._model.tasks:
            return
        suited = [key for key, task in self._model.tasks.items() if task.state == VERBS[verb][1]]
        task_id = self._random.choice(suited or [*self._model.tasks])
        try:
            response = await self._caller.do(verb, task_id, **self._fields(verb))
        except grpc.aio.AioRpcError:  # The state refuses it: nothing has changed.
            return
        self._note(response.task)
        if verb == "request-input":
            asker = response.task.assignee_id
            members = self._model.circle_members(asker) if asker else set[str]()
            if members:
                waits = {
                    (each, other, with_id)
                    for each in members
                    for other, with_id in self._model.waits(each)
                }
                self._circles.append((task_id, members, waits))

    async def _create(self) -> None:
        """Create a task; for an agent with work mostly one that waits, or hardly any was stuck."""
        assignee = self._random.choice(("", *AGENTS))
        known = [*self._model.tasks]
        has_work = any(task.assignee == assignee for task in self._model.tasks.values())
        count = self._random.choice((0, 1, 1, 2, 2) if has_work else (0, 0, 1))
        made = await self._caller.made(
            assignee_id=assignee, depends_on=self._random.sample(known, min(len(known), count))
        )
        self._note(made)

    def _fields(self, verb: str) -> dict[str, object]:
        if verb == "assign":
            return {"assignee_id": self._random.choice(AGENTS), "force": True}
        if verb == "unassign":
            return {"force": True}
        if verb == "request-input":
            return {"agent_id": self._random.choice(AGENTS)}
        if verb == "update":
            known = [*self._model.tasks]
            chosen = self._random.sample(known, min(len(known), 2))
            return {"values": {"depends_on": chosen}}
        return {}

    def _note(self, task: pb.Task) -> None:
        """Take over what the task is now: refused changes, and cycles, are the server's matter."""
        state = pb.TaskState.Name(task.state).removeprefix("TASK_STATE_")
        self._model.tasks[task.task_id] = ModelTask(
            state=state,
            assignee=task.assignee_id,
            asked=task.question.agent_id if state == "INPUT_REQUIRED" else "",
            depends_on=tuple(task.depends_on),
        )
