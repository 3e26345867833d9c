"""The agents of the demo. Each reads its own inbox and acts on its messages, without a director."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from dovetail.cli.demo import story
from dovetail.cli.demo.stage import Event, Stage
from dovetail.cli.output.exit_codes import NO_ANSWER, CommandError
from dovetail.cli.output.signs import signs
from dovetail.client import Agent, Notice, ReceivedMessage, SendResult, TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as work

READING = 0.7
WRITING = 0.9
SILENCE = 60.0
ACCEPTED_TASKS_MAX = 2
ABOUT = "about"
"""The label that tells agents the kind of a message."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The speed of the demo: 1 is for people to follow, 2 is twice as fast, 0 has no pauses."""

    speed: float

    async def pause(self, seconds: float) -> None:
        """Wait long enough for people to follow."""
        await asyncio.sleep(seconds / self.speed if self.speed else 0)

    @property
    def bucket(self) -> int:
        """The bucket of the report, in seconds."""
        return ceil(1 / min(self.speed or 1.0, 1.0))

    @property
    def silence(self) -> float:
        """Seconds without a message after which an agent gives up."""
        return SILENCE / min(self.speed or 1.0, 1.0)


class Member(ABC):
    """One agent at its inbox: it reads each message, acts, and acknowledges."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Act as `agent`, and show it on `stage`."""
        self.agent = agent
        self.agent_id = agent.agent_id
        self.stage = stage
        self.pace = pace

    async def run(self) -> None:
        """Act on messages until the planner says that all is done."""
        async with self.agent.inbox() as inbox:
            ended = False
            while not ended:
                try:
                    async with asyncio.timeout(self.pace.silence):
                        message = await anext(inbox)
                except TimeoutError as error:
                    raise CommandError(f"{self.agent_id} gets no messages", NO_ANSWER) from error
                self._show(message)
                await self.pace.pause(READING)
                ended = await self.act(message)
                await message.acknowledge()

    async def act(self, message: ReceivedMessage) -> bool:
        """Act on a message; return whether it was the last."""
        if message.notice:
            await self.on_notice(message, message.notice)
            return self.has_finished()
        about = message.labels.get(ABOUT, "")
        await self.on_message(message, about)
        return about == "end"

    @abstractmethod
    async def on_notice(self, message: ReceivedMessage, notice: Notice) -> None:
        """A task changed."""

    async def on_message(self, message: ReceivedMessage, about: str) -> None:  # noqa: ARG002
        """Another agent wrote."""
        return

    def has_finished(self) -> bool:
        """Whether this agent need not wait for more messages."""
        return False

    async def reply(self, to: ReceivedMessage, text: str, about: str) -> None:
        """Reply to a message, in its thread."""
        await self.pace.pause(WRITING)
        sent = await self.agent.send(
            to.sender_id,
            text,
            in_reply_to=to.message_id,
            task_id=to.task_id,
            labels={ABOUT: about},
        )
        self.show_sent((to.sender_id,), sent, f"replies to {to.message_id}: {text}", to.task_id)

    def show_sent(
        self, to: tuple[str, ...], sent: SendResult, text: str, task_id: str = ""
    ) -> None:
        """Show a message of this agent."""
        line = f"{', '.join(to)}  [{sent.thread_id}] {text}"
        self.stage.show(Event(agent_id=self.agent_id, event="send", task_id=task_id, text=line))

    async def do(self, job: story.Job) -> None:
        """Start a task, and work on it for a while."""
        task = await self.agent.tasks.start(job.task_id)
        self.stage.task(self.agent_id, "start", task, f"starts {job.task_id}: {job.title}")
        await self.pace.pause(job.seconds)

    async def complete(self, job: story.Job) -> None:
        """Complete a task with its result."""
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
    """Hands out the work, helps with difficulties, and ends the demo."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Start with the first tasks open."""
        super().__init__(agent, stage, pace)
        self._open = {job.task_id for job in story.FIRST_JOBS}
        self._finished = False

    async def run(self) -> None:
        """Hand out the first tasks, then act on messages."""
        for job in story.FIRST_JOBS:
            await self._create(job)
        await super().run()

    async def on_notice(self, message: ReceivedMessage, notice: Notice) -> None:
        """Continue when a task is completed; help when it failed."""
        if notice.verb == TaskVerb.FAIL:
            await self.reply(message, story.ADVICE, "advice")
            task = await self.agent.tasks.reopen(notice.task_id, story.TRY_AGAIN)
            line = f"reopens {task.task_id} for {task.assignee_id}: {story.TRY_AGAIN}"
            self.stage.task(self.agent_id, "reopen", task, line)
        elif notice.verb == TaskVerb.COMPLETE:
            await self._go_on(notice.task_id)

    async def on_message(self, message: ReceivedMessage, about: str) -> None:
        """Reassign a task of an agent that has too much work."""
        if about == "too much":
            task = await self.agent.tasks.assign(message.task_id, story.BEN)
            arrow = signs("⇒")
            line = f"reassigns {task.task_id}: {message.sender_id} {arrow} {task.assignee_id}"
            self.stage.task(self.agent_id, "assign", task, line)
            await self.reply(message, story.HANDED_OVER, "handed over")

    def has_finished(self) -> bool:
        """Whether the planner has announced the end."""
        return self._finished

    async def report(self) -> work.Report:
        """The report over the team's work."""
        bucket = timedelta(seconds=self.pace.bucket)
        return (await self.agent.tasks.report(bucket_duration=bucket)).proto

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
        line = f"creates {job.task_id} for {job.assignee_id}: {job.title}"
        self.stage.task(self.agent_id, "create", task, line)
        await self.pace.pause(WRITING)

    async def _wrap_up(self) -> None:
        others = tuple(name for name in story.NAMES if name != self.agent_id)
        sent = await self.agent.send(others, story.WRAP_UP, labels={ABOUT: "end"})
        self.show_sent(others, sent, story.WRAP_UP)
        self._finished = True


class Worker(Member):
    """Works on its tasks one after the other, and reads its inbox meanwhile."""

    def __init__(self, agent: Agent, stage: Stage, pace: Pace) -> None:
        """Start without tasks."""
        super().__init__(agent, stage, pace)
        self._accepted: set[str] = set()
        self._todo: asyncio.Queue[story.Job] = asyncio.Queue()
        self._advised: set[str] = set()

    async def run(self) -> None:
        """Read and work at the same time."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work())
            await super().run()
            working.cancel()

    async def on_notice(self, message: ReceivedMessage, notice: Notice) -> None:
        """Accept a task that is mine; ask for help if it is one too many."""
        if notice.assignee_id != self.agent_id:
            return
        if notice.task_id not in self._accepted and len(self._accepted) == ACCEPTED_TASKS_MAX:
            await self.reply(message, story.TOO_MUCH, "too much")
            return
        self._accepted.add(notice.task_id)
        self._todo.put_nowait(story.JOBS[notice.task_id])

    async def on_message(self, message: ReceivedMessage, about: str) -> None:
        """Follow advice, and answer questions."""
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
                line = f"fails at {job.task_id}: {job.mishap}"
                self.stage.task(self.agent_id, "fail", task, line)
            else:
                await self.complete(job)


class Reviewer(Member):
    """Reviews, asks the author, and approves after the answer."""

    async def on_notice(self, message: ReceivedMessage, notice: Notice) -> None:
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
"""The role of each agent beside the planner."""
