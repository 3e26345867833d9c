"""The agents of the demo. Each reads its own inbox and acts on what comes; nobody directs them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from dovetail.cli.demo import story
from dovetail.cli.demo.stage import Event, Stage
from dovetail.cli.exit_codes import NO_ANSWER, CommandError
from dovetail.client import Agent, ReceivedMessage
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2

READING = 0.7
WRITING = 0.9
SILENCE = 60.0
MOST_ACCEPTED = 2
ABOUT = "about"
"""The label by which agents know what kind of message they have before them."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the demo goes: 1 is for people to follow, 2 is twice as fast, 0 has no pauses."""

    speed: float

    async def pause(self, seconds: float) -> None:
        """Take as long as a person would want to look."""
        await asyncio.sleep(seconds / self.speed if self.speed else 0)

    @property
    def bucket(self) -> int:
        """Seconds of the demo that the report counts together."""
        return ceil(1 / min(self.speed or 1.0, 1.0))

    @property
    def silence(self) -> float:
        """Seconds after which an agent that hears nothing gives up."""
        return SILENCE / min(self.speed or 1.0, 1.0)


class Member(ABC):
    """One agent at its inbox: it reads each message, acts, and acknowledges."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Be `agent`, for all to see on `stage`."""
        self.agent = agent
        self.agent_id = agent.agent_id
        self.stage = stage
        self.pace = pace

    async def run(self) -> None:
        """Live until the planner says that all is done."""
        async with self.agent.inbox() as inbox:
            ended = False
            while not ended:
                try:
                    async with asyncio.timeout(self.pace.silence):
                        message = await anext(inbox)
                except TimeoutError as error:
                    raise CommandError(f"{self.agent_id} hears nothing", NO_ANSWER) from error
                self._show(message)
                await self.pace.pause(READING)
                ended = await self.act(message)
                await message.acknowledge()

    async def act(self, message: ReceivedMessage) -> bool:
        """Act on a message; answer whether it was the last."""
        if message.notice:
            await self.on_notice(message, message.notice)
            return self.has_finished()
        about = message.labels.get(ABOUT, "")
        await self.on_message(message, about)
        return about == "end"

    @abstractmethod
    async def on_notice(self, message: ReceivedMessage, notice: pb.Notice) -> None:
        """A task changed."""

    async def on_message(self, message: ReceivedMessage, about: str) -> None:  # noqa: ARG002
        """Somebody wrote."""
        return

    def has_finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return False

    async def reply(self, to: ReceivedMessage, text: str, about: str) -> None:
        """Answer a message, in its thread."""
        await self.pace.pause(WRITING)
        sent = await self.agent.send(
            to.sender_id,
            text,
            in_reply_to=to.message_id,
            task_id=to.task_id,
            labels={ABOUT: about},
        )
        self.show_sent((to.sender_id,), sent, f"answers {to.message_id}: {text}", to.task_id)

    def show_sent(
        self, to: tuple[str, ...], sent: pb.SendMessageResponse, text: str, task_id: str = ""
    ) -> None:
        """Show what this agent wrote."""
        said = f"{', '.join(to)}  [{sent.thread_id}] {text}"
        self.stage.show(Event(agent_id=self.agent_id, event="send", task_id=task_id, text=said))

    async def do(self, job: story.Job) -> None:
        """Start a task, and work on it for a while."""
        task = await self.agent.tasks.start(job.task_id)
        self.stage.task(self.agent_id, "start", task, f"starts {job.task_id}: {job.title}")
        await self.pace.pause(job.seconds)

    async def complete(self, job: story.Job) -> None:
        """Say that a task is done, and what it gave."""
        task = await self.agent.tasks.complete(job.task_id, job.result)
        self.stage.task(self.agent_id, "complete", task, f"completes {job.task_id}: {job.result}")

    def _show(self, message: ReceivedMessage) -> None:
        what = message.subject if message.notice else f"{message.sender_id}: {message.body}"
        self.stage.show(
            Event(
                agent_id=self.agent_id,
                event="arrive",
                task_id=message.task_id,
                text=f"#{message.sequence} {what}",
            )
        )


class Planner(Member):
    """Hands out the work, helps where it sticks, and sees to the end."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Begin with nothing done."""
        super().__init__(agent, stage, pace)
        self._open = {job.task_id for job in story.FIRST_JOBS}
        self._finished = False

    async def run(self) -> None:
        """Hand out the first tasks, then see what comes."""
        for job in story.FIRST_JOBS:
            await self._create(job)
        await super().run()

    async def on_notice(self, message: ReceivedMessage, notice: pb.Notice) -> None:
        """Go on when something is done; help when it failed."""
        if notice.verb == types_pb2.TASK_VERB_FAIL:
            await self.reply(message, story.ADVICE, "advice")
            task = await self.agent.tasks.reopen(notice.task_id, story.TRY_AGAIN)
            said = f"reopens {task.task_id} for {task.assignee_id}: {story.TRY_AGAIN}"
            self.stage.task(self.agent_id, "reopen", task, said)
        elif notice.verb == types_pb2.TASK_VERB_COMPLETE:
            await self._go_on(notice.task_id)

    async def on_message(self, message: ReceivedMessage, about: str) -> None:
        """Take work off whoever has too much."""
        if about == "too much":
            task = await self.agent.tasks.assign(message.task_id, story.BEN)
            said = f"reassigns {task.task_id}: {message.sender_id} ⇒ {task.assignee_id}"
            self.stage.task(self.agent_id, "assign", task, said)
            await self.reply(message, story.HANDED_OVER, "handed over")

    def has_finished(self) -> bool:
        """The planner says so itself."""
        return self._finished

    async def report(self) -> work.Report:
        """The report over the team's work."""
        return await self.agent.tasks.report(bucket_duration=timedelta(seconds=self.pace.bucket))

    async def _go_on(self, task_id: str) -> None:
        self._open.discard(task_id)
        if self._open:
            return
        if task_id == story.NOTES.task_id:
            await self._wrap_up()
            return
        job = story.NOTES if task_id == story.REVIEW.task_id else story.REVIEW
        self._open = {job.task_id}
        await self._create(job)

    async def _create(self, job: story.Job) -> None:
        task = await self.agent.tasks.create(
            job.title,
            task_id=job.task_id,
            assignee_id=job.assignee_id,
            priority=job.priority,
            labels={"area": "export"},
        )
        said = f"creates {job.task_id} for {job.assignee_id}: {job.title}"
        self.stage.task(self.agent_id, "create", task, said)
        await self.pace.pause(WRITING)

    async def _wrap_up(self) -> None:
        others = tuple(name for name in story.NAMES if name != self.agent_id)
        sent = await self.agent.send(others, story.WRAP_UP, labels={ABOUT: "end"})
        self.show_sent(others, sent, story.WRAP_UP)
        self._finished = True


class Worker(Member):
    """Works on what it is assigned, one task after the other, while it goes on reading."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Begin with nothing to do."""
        super().__init__(agent, stage, pace)
        self._accepted: set[str] = set()
        self._todo: asyncio.Queue[story.Job] = asyncio.Queue()
        self._advised: set[str] = set()

    async def run(self) -> None:
        """Read and work, side by side."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work())
            await super().run()
            working.cancel()

    async def on_notice(self, message: ReceivedMessage, notice: pb.Notice) -> None:
        """Take on what is mine; ask for help when it is too much for one."""
        if notice.assignee_id != self.agent_id:
            return
        if notice.task_id not in self._accepted and len(self._accepted) == MOST_ACCEPTED:
            await self.reply(message, story.TOO_MUCH, "too much")
            return
        self._accepted.add(notice.task_id)
        self._todo.put_nowait(story.JOBS[notice.task_id])

    async def on_message(self, message: ReceivedMessage, about: str) -> None:
        """Heed advice, answer questions."""
        if about == "advice":
            self._advised.add(message.task_id)
            await self.reply(message, story.THANKS, "thanks")
        elif about == "question":
            await self.reply(message, story.ANSWER, "answer")

    async def _work(self) -> None:
        while True:
            job = await self._todo.get()
            await self.do(job)
            if job.mishap and job.task_id not in self._advised:
                task = await self.agent.tasks.fail(job.task_id, job.mishap)
                said = f"fails at {job.task_id}: {job.mishap}"
                self.stage.task(self.agent_id, "fail", task, said)
            else:
                await self.complete(job)


class Reviewer(Member):
    """Reads, asks who wrote it, and says yes when the answer is good."""

    async def on_notice(self, message: ReceivedMessage, notice: pb.Notice) -> None:
        """Start, and ask in the thread of the task."""
        await self.do(story.JOBS[notice.task_id])
        sent = await self.agent.send(
            story.ADA,
            story.QUESTION,
            thread_id=message.thread_id,
            task_id=message.task_id,
            labels={ABOUT: "question"},
        )
        self.show_sent((story.ADA,), sent, story.QUESTION, message.task_id)

    async def on_message(self, message: ReceivedMessage, about: str) -> None:
        """Approve."""
        if about == "answer":
            await self.complete(story.JOBS[message.task_id])


ROLES: dict[str, type[Member]] = {
    story.ADA: Worker,
    story.BEN: Worker,
    story.REVIEWER: Reviewer,
    story.WRITER: Worker,
}
"""Who plays whom, beside the planner."""
