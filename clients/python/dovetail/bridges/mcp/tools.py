"""The tools: what a model may do as its agent. Names, parameters and docstrings are its manual.

Every word of them is paid for in every turn of every session: a test counts their tokens.
"""
# ruff: noqa: PLR0913 - one parameter per argument

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Literal

from dovetail.bridges.fences import word
from dovetail.bridges.mcp.rows import agent_row, task_row, totals_text, workload_rows
from dovetail.bridges.mcp.session import Bridge
from dovetail.bridges.mcp.steps import RefusedError
from dovetail.bridges.texts import FencedTexts, Ways, task_facts
from dovetail.client import (
    DovetailError,
    HeldTask,
    LeaseLostError,
)
from dovetail.client.claims import ClaimOptions, claim_many
from dovetail.client.drafts import Offer
from dovetail.client.task_records import ClaimedTask, Task

WAITS = {"none": 0.0, "short": 18.0}
MESSAGES_SHOWN = 10
ROWS_SHOWN = 30
AGENTS_SHOWN = 100

WAYS = Ways(
    message="receive_messages(message_id={id})",
    rest="receive_messages(message_id={id}, offset={offset})",
    task="get_task(task_id={id}, offset={offset})",
)

ENDED = ("completed", "failed", "cancelled")
OPEN = ("pending", "in_progress", "input_required")

Wait = Literal["none", "short"]


class Tools:
    """The tools of a session, each a method."""

    def __init__(self, bridge: Bridge) -> None:
        """Act in a session."""
        self._bridge = bridge
        self._agent = bridge.agent
        self._tasks = bridge.agent.tasks
        self._held = bridge.held

    async def whoami(self) -> str:
        """Your agent, team, servers, and the tasks you hold."""
        me = await self._agent.agent()
        place = self._bridge.place
        held = ", ".join(map(word, self._held.task_ids)) or "none"
        team = word(place.team_id) if place.team_id else "of your token"
        return (
            f"agent {word(me.agent_id)}, team {team}, inbox at #{me.last_sequence}, holds {held}"
            f"\nmessaging {place.messaging}, tasks {place.tasks}"
        )

    async def list_agents(self) -> str:
        """The agents of your team."""
        listing = self._agent.agents(page_size=AGENTS_SHOWN)
        rows = [agent_row(each) for each in await listing.next_page()]
        text = self._texts().rows(rows, "agents")
        return f"{text}\nand more" if listing.page_token else text

    async def send_message(
        self,
        to: list[str],
        text: str,
        groups: list[str] | None = None,
        reply_to: str = "",
        task_id: str = "",
        importance: Literal["low", "normal", "high"] = "normal",
        request_id: str = "",
    ) -> str:
        """Send text to agents by id, and to groups. reply_to: the id of the message you answer.

        A repeat with the same request_id is sent once.
        """
        sent = await self._agent.send(
            to,
            text,
            groups=groups or (),
            in_reply_to=reply_to,
            task_id=task_id,
            importance=importance,
            request_id=request_id,
        )
        return f"{sent.message_id} sent"

    async def receive_messages(
        self,
        wait: Wait = "none",
        acknowledge: list[int] | None = None,
        message_id: str = "",
        offset: int = 0,
    ) -> str:
        """Your unacknowledged messages, the oldest first; they come again until acknowledged.

        acknowledge: first mark these as dealt with, by the number after #. wait=short: if there is
        none, wait up to 18 s. message_id: show this one alone, whole.
        """
        if message_id:
            if acknowledge:
                await self._agent.acknowledge(acknowledge)
            found = (await self._agent.message(message_id)).message
            return await self._texts().message(found, max(0, offset))
        received = await self._agent.receive(
            max_wait=WAITS[wait], max_messages=MESSAGES_SHOWN + 1, acknowledge=acknowledge or ()
        )
        if not received:
            return "no messages"
        shown = received[:MESSAGES_SHOWN]
        self._bridge.pass_on(each.sequence for each in shown)
        text = await self._texts().messages(shown)
        return f"{text}\nmore after these" if len(received) > len(shown) else text

    async def create_task(
        self,
        title: str,
        description: str = "",
        assignee: str = "",
        depends_on: list[str] | None = None,
        parent: str = "",
        priority: int = 0,
        request_id: str = "",
    ) -> str:
        """Create a task; without an assignee any agent may claim it. A message says how it ends.

        depends_on: tasks that must be completed before. priority: higher first, default 0.
        A repeat with the same request_id creates nothing more.
        """
        task = await self._tasks.create(
            title,
            description=description,
            assignee_id=assignee,
            depends_on=depends_on or (),
            parent_task_id=parent,
            priority=priority,
            request_id=request_id,
        )
        return task_facts(task)

    async def list_tasks(
        self,
        whose: Literal["mine", "created", "unassigned", "all"] = "mine",
        state: Literal["open", "ended", "all"] = "open",
        page: str = "",
    ) -> str:
        """Tasks, the last changed first: assigned to you, created by you, of nobody, or all."""
        listing = self._tasks.list(
            assignee=self._bridge.agent_id if whose == "mine" else None,
            creator=self._bridge.agent_id if whose == "created" else None,
            unassigned=whose == "unassigned",
            states={"open": OPEN, "ended": ENDED, "all": None}[state],
            order="newest_first",
            order_by="update_time",
            page_size=ROWS_SHOWN,
            page_token=page,
        )
        rows = [task_row(task) for task in await listing.next_page()]
        text = self._texts().rows(rows, "tasks")
        return f"{text}\nmore: page={listing.page_token}" if listing.page_token else text

    async def get_task(self, task_id: str, offset: int = 0) -> str:
        """A task with all its texts (from a character on)."""
        return await self._texts().task(await self._tasks.get(task_id), max(0, offset))

    async def claim_task(self, task_id: str = "", wait: Wait = "none") -> str:
        """Start work on this task, or on the next that is ready for you, and show it.

        It is yours, however long you think, until you finish or release it or the session ends.
        wait=short: if none is ready, wait up to 18 s.
        """
        self._held.refuse_more()
        if task_id and self._held.get(task_id):
            return await self._texts().task(await self._tasks.get(task_id))
        claimed = await self._claimed(task_id, WAITS[wait])
        if claimed is None:
            return "no task is ready for you"
        return await self._texts().task(self._held.hold(claimed).task)

    async def update_task(
        self,
        task_id: str,
        action: Literal["progress", "ask", "answer", "assign", "reassign", "release", "cancel"],
        text: str = "",
        to: str = "",
        percent: int = 0,
        acknowledge: list[int] | None = None,
        options: list[str] | None = None,
        option: str = "",
        minutes: int = 0,
    ) -> str:
        """Change a task, with a text for the others.

        progress: percent done, of a task you hold. ask: a question about it to its creator, or
        `to`, with options to choose from; without an answer in so many minutes it is `option`. The
        answer comes as a message, and you hold it meanwhile. answer: the question that you were
        asked, by text or `option`. assign: `to` an agent; reassign: also if another works on it.
        release: give it back.
        """
        changes: dict[str, Callable[[], Awaitable[Task]]] = {
            "progress": lambda: self._progress(task_id, percent, text),
            "ask": lambda: self._tasks.ask(
                task_id,
                text,
                agent_id=to,
                lease_token=self._held.token(task_id),
                **_offer(options or (), option, minutes),
            ),
            "answer": lambda: self._tasks.answer(
                task_id, text, option=option, acknowledge=acknowledge or ()
            ),
            "assign": lambda: self._tasks.assign(task_id, _named(to)),
            "reassign": lambda: self._tasks.assign(task_id, _named(to), force=True),
            "release": lambda: self._release(task_id, text),
            "cancel": lambda: self._tasks.cancel(task_id, text),
        }
        try:
            task = await changes[action]()
        except LeaseLostError:
            await self._held.let_go(task_id)
            raise
        if task.state not in ("in_progress", "input_required"):
            await self._held.let_go(task_id)
        if acknowledge and action != "answer":
            await self._agent.acknowledge(acknowledge)
        return task_facts(task)

    async def finish_task(
        self,
        task_id: str,
        summary: str,
        outcome: Literal["completed", "failed", "retry"] = "completed",
        acknowledge: list[int] | None = None,
    ) -> str:
        """End a task you hold. summary: the result, or why it failed.

        retry: it failed, but may be tried again. acknowledge: messages that are thereby dealt with,
        in the same commit.
        """
        try:
            task = await self._finish(task_id, summary, outcome, acknowledge or [])
        except DovetailError as error:
            task = await self._finished_before(task_id, summary, error)
        await self._held.let_go(task_id)
        return task_facts(task)

    async def get_report(self) -> str:
        """Totals, times and workload of the team."""
        report = await self._tasks.report()
        return f"{totals_text(report)}\n{self._texts().rows(workload_rows(report), 'assignees')}"

    async def attachment(self, message_id: str, name: str) -> str:
        """An attachment of a message; a resource, and no tool."""
        message = (await self._agent.message(message_id)).message
        found = await self._agent.attachment(message_id, name)
        return await self._texts().attachment(message, found)

    def _texts(self) -> FencedTexts:
        """What an answer shows of others; made when that was read."""
        return FencedTexts(self._bridge.senders, WAYS)

    async def _claimed(self, task_id: str, wait: float) -> ClaimedTask | None:
        if task_id:
            return await self._tasks.start_leased(task_id, self._bridge.lease)
        options = ClaimOptions(lease_duration=self._bridge.lease)
        found = await claim_many(self._tasks, options, wait)
        return found[0] if found else None

    async def _progress(self, task_id: str, percent: int, note: str) -> Task:
        if held := self._held.get(task_id):
            held.progress(percent, note)
            await held.heartbeat()
        else:
            await self._tasks.heartbeat(task_id, percent=percent, note=note)
        return await self._tasks.get(task_id)

    async def _release(self, task_id: str, reason: str) -> Task:
        held = self._held.get(task_id)
        return await (held.release(reason) if held else self._tasks.release(task_id, reason))

    async def _finish(
        self, task_id: str, summary: str, outcome: str, acknowledge: list[int]
    ) -> Task:
        """Complete or fail it, and acknowledge, in one commit."""
        held: HeldTask | None = self._held.get(task_id)
        if outcome == "completed":
            if held:
                return await held.complete(summary, acknowledge=acknowledge)
            return await self._tasks.complete(task_id, summary, acknowledge=acknowledge)
        retryable = outcome == "retry"
        if held:
            return await held.fail(summary, retryable=retryable, acknowledge=acknowledge)
        return await self._tasks.fail(
            task_id, summary, retryable=retryable, acknowledge=acknowledge
        )

    async def _finished_before(self, task_id: str, summary: str, error: DovetailError) -> Task:
        """The task, if it ended as the caller wants; a call may be repeated whose answer was lost.

        Else raise the error: the first call may come from a session that was killed.
        """
        if isinstance(error, LeaseLostError):
            await self._held.let_go(task_id)
        task = await self._tasks.get(task_id)
        said = task.result.summary if task.result else task.failure and task.failure.message
        if task.state not in ENDED or task.assignee_id != self._bridge.agent_id or said != summary:
            raise error
        return task


def _offer(options: Iterable[str], option: str, minutes: int) -> Offer:
    """What a question offers; one that waits for a time has a default."""
    if bool(option) != bool(minutes):
        raise RefusedError("give minutes and option, the answer after them, together or not at all")
    within = timedelta(minutes=minutes) if minutes else None
    return Offer(options=options, answer_within=within, default_answer=option)


def _named(agent_id: str) -> str:
    if not agent_id:
        raise RefusedError("to: name the agent. list_agents shows the ids.")
    return agent_id
