"""A held task: what its holder can read, report and do."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, Unpack

from dovetail.client.attachments import Attachment, AttachmentLike, loaded
from dovetail.client.drafts import Offer, completion, new_id
from dovetail.client.errors import DeadlineExceededError, DovetailError, LeaseLostError
from dovetail.client.reconnecting import PAUSE_SECONDS_MAX, pauses
from dovetail.client.task_records import ClaimedTask, Heartbeat, Task, TaskAnswer
from dovetail.client.tasks import Tasks
from dovetail.client.usage import UsageFields, usage_of
from dovetail.client.words import TaskState
from dovetail.tasks.v1 import tasks_pb2 as pb

T = TypeVar("T")

NOTE_CHARACTERS_MAX = 4_096

Complete = Callable[[pb.CompleteTaskRequest], Awaitable[Task]]

log = logging.getLogger("dovetail.client")


class HeldTask:
    """A task that this agent holds. `task` is its state in the last response of a server.

    Methods repeat their calls through outages of the servers, and raise LeaseLostError once this
    agent no longer holds the task. `progress`, `used` and `result` may be called from any thread.
    """

    def __init__(self, tasks: Tasks, claimed: ClaimedTask, complete: Complete) -> None:
        """Use `Agent.claim` or `Agent.work`."""
        self.task = claimed.task
        self.lease_token = claimed.lease_token
        self.over = False
        """Whether it was completed, failed or released here, or such a call is under way."""
        self.lost: DovetailError | None = None
        """Why this agent no longer holds the task, once that is known."""
        self._tasks = tasks
        self._send_completion = complete
        self._progress: dict[str, Any] = {}
        self._usage: UsageFields | None = None
        self.budget_spent = False
        """Whether its budget, or that of a task that it is a part of, is spent, by a heartbeat."""
        self._result = completion(self.task_id, lease_token=self.lease_token)

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self.task.task_id

    @property
    def title(self) -> str:
        """What to do, in one line."""
        return self.task.title

    @property
    def description(self) -> str:
        """What to do, in full."""
        return self.task.description

    @property
    def input(self) -> Mapping[str, Any] | None:
        """The data the work starts from, or None."""
        return self.task.input

    def progress(self, percent: int, note: str = "") -> None:
        """Set how far the work is (0 to 100 percent); the next heartbeat carries it."""
        self.check()
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be 0 to 100, is {percent}")
        if len(note) > NOTE_CHARACTERS_MAX or "\0" in note:
            raise ValueError(
                f"note must have at most {NOTE_CHARACTERS_MAX:,} characters, and no NUL"
            )
        self._progress = {"percent": percent, "note": note}

    def used(self, **usage: Unpack[UsageFields]) -> None:
        """Set what this attempt has used so far, in all; heartbeats and its end carry it.

        task.used(input_tokens=1_200, output_tokens=80, cost=("0.02", "USD"))
        """
        usage_of(usage)
        self._usage = usage

    async def attachment(self, name: str) -> Attachment:
        """Return one attachment of the task's input, with its bytes."""
        read = partial(self._tasks.attachment, self.task_id, name)
        return await through_outages(self._tasks, read)

    def result(
        self,
        summary: str = "",
        *,
        data: Mapping[str, Any] | None = None,
        attachments: Iterable[AttachmentLike] = (),
        acknowledge: Iterable[int] = (),
    ) -> None:
        """Set the result with which the end of the block completes the task.

        Each of `attachments` is an Attachment, or the path of a file, which is read now.
        """
        self._result = completion(
            self.task_id,
            summary,
            data=data,
            attachments=attachments,
            acknowledge=acknowledge,
            lease_token=self.lease_token,
        )

    def check(self) -> None:
        """Raise the refusal (mostly LeaseLostError) if this agent no longer holds the task."""
        if self.lost is not None:
            raise self.lost

    async def heartbeat(self) -> Heartbeat:
        """Send a heartbeat with the progress now, beside those that are sent automatically."""
        beat = await self._call(self._tasks.heartbeat, **self._progress, usage=self._usage)
        self.budget_spent = beat.budget_spent
        return beat

    async def ask(
        self,
        question: str,
        *,
        to: str = "",
        data: Mapping[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - of the answer, not of this call
        **offer: Unpack[Offer],
    ) -> TaskAnswer:
        """Ask an agent, by default the task's creator, and wait for the answer.

        While the question is open the lease does not expire. Raises DeadlineExceededError if there
        is no answer after `timeout` seconds (default: no limit); the question stays open. With
        `answer_within` the servers give the `default_answer` after that time.
        """
        self.task = await self._call(
            self._tasks.ask, question, agent_id=to, data=data, request_id=new_id(), **offer
        )
        try:
            async with asyncio.timeout(timeout):
                return await self._answer()
        except TimeoutError:
            raise DeadlineExceededError(
                f"no answer to the question about task {self.task_id!r} in {timeout:g} s",
                metadata={"task_id": self.task_id},
            ) from None

    async def complete(
        self,
        summary: str = "",
        *,
        data: Mapping[str, Any] | None = None,
        attachments: Iterable[AttachmentLike] = (),
        acknowledge: Iterable[int] = (),
    ) -> Task:
        """Complete the task now, with this result or else the one that `result` has set."""
        files = await loaded(attachments)
        if summary or data is not None or files or acknowledge:
            self.result(summary, data=data, attachments=files, acknowledge=acknowledge)
        used = usage_of(self._usage)
        if used is not None:
            self._result.usage.CopyFrom(used)
        return await self._end(partial(self._send_completion, self._result))

    async def fail(
        self,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        retryable: bool = True,
        acknowledge: Iterable[int] = (),
    ) -> Task:
        """Fail this attempt now. `retryable`: try the task again while it has attempts left."""
        fail = self._of_this(
            self._tasks.fail,
            message,
            data=data,
            retryable=retryable,
            acknowledge=list(acknowledge),
            request_id=new_id(),
            usage=self._usage,
        )
        return await self._end(fail)

    async def release(self, reason: str = "") -> Task:
        """Release the task now, for any worker to claim."""
        release = self._of_this(self._tasks.release, reason, request_id=new_id(), usage=self._usage)
        return await self._end(release)

    async def _answer(self) -> TaskAnswer:
        """Wait for the answer. Nothing notifies this client of it, so it polls the task."""
        for pause in pauses():
            await asyncio.sleep(pause)
            self.task = await through_outages(self._tasks, partial(self._tasks.get, self.task_id))
            if self.task.state != TaskState.INPUT_REQUIRED:
                break
        await self.heartbeat()  # Raises if this agent no longer holds the task.
        assert self.task.answer is not None
        return self.task.answer

    def _of_this(
        self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
    ) -> Callable[[], Awaitable[T]]:
        """A method of `Tasks`, bound to this task and its lease token."""
        return partial(method, self.task_id, *args, lease_token=self.lease_token, **kwargs)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        self.check()
        try:
            return await through_outages(self._tasks, self._of_this(method, *args, **kwargs))
        except LeaseLostError as lost:
            if not self.over:  # Otherwise this holder itself ended the task meanwhile.
                self.lost = lost
            raise

    async def _end(self, call: Callable[[], Awaitable[Task]]) -> Task:
        self.check()
        self.over = True
        try:
            self.task = await through_outages(self._tasks, call)
        except BaseException as error:
            self.over = False
            if isinstance(error, LeaseLostError):
                self.lost = error
            raise
        return self.task


async def through_outages(
    tasks: Tasks, call: Callable[[], Awaitable[T]], end: float = math.inf
) -> T:
    """Repeat a call that is safe to repeat until a server responds, or the loop's time is `end`."""
    clock = asyncio.get_running_loop().time
    for pause in pauses():
        try:
            return await call()
        except DovetailError as outage:
            if not outage.is_passing or clock() + pause > end:
                raise
            log.warning("%s; trying again", outage)
        await asyncio.sleep(pause)
        await tasks.connection.watch.wait(min(PAUSE_SECONDS_MAX, end - clock()))
    raise AssertionError("pauses never end")
