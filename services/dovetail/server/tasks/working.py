"""The life of a task as its holder works on it: start, heartbeat, ask, complete, fail, release.

Every change is the task, its event and its notices in one commit; a heartbeat is neither.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.server.access.caller import Caller
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import DovetailError, FailedPreconditionError, Reason
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, dependencies, leases
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Transaction
from dovetail.server.tasks import transitions
from dovetail.server.tasks.loading import (
    Alter,
    ChangeRequest,
    change_in,
    change_task,
    load_for_heartbeat,
    new_lease,
    require_agent,
)
from dovetail.server.tasks.recording import Action, TaskChange
from dovetail.server.tasks.requests import ChangeOptions, Exchange, Outcome, Progress, check_lease
from dovetail.server.tasks.states import next_state

MOST_COMPLETED = 1_000
MOST_TOLD = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One of several tasks to complete."""

    task_id: str
    outcome: Outcome
    options: ChangeOptions


class Work:
    """Changes tasks for those who work on them."""

    def __init__(self, store: Store, shortest_lease: int) -> None:
        """Keep tasks in `store`; no lease is shorter than so many microseconds."""
        self._store = store
        self._shortest_lease = shortest_lease

    async def start(
        self, caller: Caller, task_id: str, lease_duration: int | None, options: ChangeOptions
    ) -> tuple[TaskChange, str]:
        """Begin work on a ready task that is the caller's or nobody's.

        A repeat answers the token of its own lease, not that of a later one.
        """
        lease = new_lease(lease_duration) if lease_duration is not None else None

        def check_duration(check: Checks) -> None:
            if lease_duration is not None:
                check_lease(check, lease_duration, self._shortest_lease)

        def alter(transaction: Transaction, task: Task, now: int) -> Task:
            next_state(TaskVerb.START, task)
            _check_assignee(caller, task)
            _check_ready(transaction, caller.team_id, task)
            return transitions.start(task, TaskVerb.START, caller.agent_id, lease, now)

        act = Action(caller=caller, verb=TaskVerb.START, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, check=check_duration)
        changed = await change_task(self._store, wanted)
        task = changed.task
        return changed, task.lease_token if task.lease_event == changed.event_number else ""

    async def heartbeat(
        self, caller: Caller, task_id: str, token: str, progress: Progress | None
    ) -> tuple[Task, int]:
        """The task as it now is, and how many messages wait for the caller."""
        options = ChangeOptions(lease_token=token)
        with Checks() as check:
            check.id("task_id", task_id)
            options.check(check)
            if progress:
                progress.check(check)
        act = Action(caller=caller, verb=TaskVerb.HEARTBEAT, options=options)

        def unit(transaction: Transaction) -> tuple[Task, int]:
            task = load_for_heartbeat(transaction, act, task_id)
            if progress:
                task = replace(task, progress_percent=progress.percent, progress_note=progress.note)
            leases.renew(transaction, caller.team_id, task)
            agents.touch(transaction, caller.team_id, caller.agent_id)
            inbox = agents.find(transaction, caller.team_id, caller.agent_id)
            return task, inbox.unacknowledged_count if inbox else 0

        return await self._store.write(caller.team_id, unit)

    async def release(self, caller: Caller, task_id: str, options: ChangeOptions) -> TaskChange:
        """Give work back."""

        def alter(_: Transaction, task: Task, __: int) -> Task:
            return transitions.return_to_pending(task, next_state(TaskVerb.RELEASE, task))

        act = Action(caller=caller, verb=TaskVerb.RELEASE, options=options)
        return await change_task(self._store, ChangeRequest(act=act, task_id=task_id, alter=alter))

    async def request_input(
        self,
        caller: Caller,
        task_id: str,
        agent_id: str,
        question: Exchange,
        options: ChangeOptions,
    ) -> TaskChange:
        """Ask an agent, by default the creator, and wait for its answer."""

        def check_question(check: Checks) -> None:
            check.optional_id("agent_id", agent_id)
            question.check(check)
            if not question.text:
                check.refuse("text", "must say what is asked")

        def alter(transaction: Transaction, task: Task, now: int) -> Task:
            state = next_state(TaskVerb.REQUEST_INPUT, task)
            asked_id = _whom_to_ask(caller, agent_id or task.creator_id)
            require_agent(transaction, caller, asked_id)
            return replace(
                task,
                state=state,
                asked_id=asked_id,
                question_agent_id=asked_id,
                question_text=question.text,
                question_json=question.data_json,
                ask_time=now,
                answered=False,
                answer_text="",
                answer_json=None,
                lease_expire_time=None,
            )

        act = Action(caller=caller, verb=TaskVerb.REQUEST_INPUT, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, check=check_question)
        return await change_task(self._store, wanted)

    async def provide_input(
        self, caller: Caller, task_id: str, answer: Exchange, options: ChangeOptions
    ) -> TaskChange:
        """Answer what was asked: work goes on, with a whole lease."""

        def check_answer(check: Checks) -> None:
            answer.check(check)
            if not answer.text and answer.data_json is None:
                check.refuse("text", "must not be empty unless data is set")

        def alter(_: Transaction, task: Task, now: int) -> Task:
            state = next_state(TaskVerb.PROVIDE_INPUT, task)
            answered = replace(
                task,
                state=state,
                asked_id="",
                answered=True,
                answer_text=answer.text,
                answer_json=answer.data_json,
                input_wait=task.input_wait + max(1, now - (task.ask_time or now)),
            )
            return transitions.renew_lease(answered, now)

        act = Action(caller=caller, verb=TaskVerb.PROVIDE_INPUT, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, check=check_answer)
        return await change_task(self._store, wanted)

    async def complete(
        self, caller: Caller, task_id: str, outcome: Outcome, options: ChangeOptions
    ) -> TaskChange:
        """End work well."""
        act = Action(caller=caller, verb=TaskVerb.COMPLETE, options=options)
        wanted = ChangeRequest(
            act=act,
            task_id=task_id,
            alter=_completed(outcome),
            check=lambda check: outcome.check(check, "result.summary", "result.data"),
        )
        return await change_task(self._store, wanted)

    async def complete_all(
        self, caller: Caller, completions: Sequence[Completion]
    ) -> list[TaskChange | DovetailError]:
        """End much work well: each by itself, in one commit."""
        with Checks() as check:
            count = len(completions)
            if not 1 <= count <= MOST_COMPLETED:
                check.refuse("requests", f"must have 1 to {MOST_COMPLETED:,}, has {count:,}")
            for index, each in enumerate(completions[:MOST_COMPLETED]):
                prefix = f"requests[{index}]."
                check.id(f"{prefix}task_id", each.task_id)
                each.options.check(check, prefix)
                each.outcome.check(check, f"{prefix}result.summary", f"{prefix}result.data")

        def unit(transaction: Transaction) -> list[TaskChange | DovetailError]:
            return [_complete_in(transaction, caller, each) for each in completions]

        return await self._store.write(caller.team_id, unit)

    async def fail(
        self, caller: Caller, task_id: str, outcome: Outcome, options: ChangeOptions
    ) -> TaskChange:
        """End an attempt badly: the task is tried again, or over."""

        def check_failure(check: Checks) -> None:
            outcome.check(check, "failure.message", "failure.data")
            if not outcome.text:
                check.refuse("failure.message", "must say what went wrong")

        def alter(transaction: Transaction, task: Task, now: int) -> Task:
            failed = transitions.fail_attempt(task, TaskVerb.FAIL, outcome, now)
            return transitions.delay_retry(failed, transaction.team(caller.team_id).wall_clock)

        act = Action(caller=caller, verb=TaskVerb.FAIL, options=options)
        wanted = ChangeRequest(act=act, task_id=task_id, alter=alter, check=check_failure)
        return await change_task(self._store, wanted)


def _completed(outcome: Outcome) -> Alter:
    def alter(_: Transaction, task: Task, now: int) -> Task:
        return transitions.finish(task, next_state(TaskVerb.COMPLETE, task), outcome, now)

    return alter


def _complete_in(
    transaction: Transaction, caller: Caller, each: Completion
) -> TaskChange | DovetailError:
    """One completion of several: it refuses before it writes, so that the others stand."""
    act = Action(caller=caller, verb=TaskVerb.COMPLETE, options=each.options)
    try:
        wanted = ChangeRequest(act=act, task_id=each.task_id, alter=_completed(each.outcome))
        return change_in(transaction, wanted)
    except DovetailError as refusal:
        return refusal


def _check_ready(transaction: Transaction, team_id: str, task: Task) -> None:
    """Refuse to start what waits: for other tasks, or for its time."""
    clock = transaction.team(team_id).wall_clock
    if transitions.is_ready(task, clock):
        return
    names = dependencies.still_open(transaction, team_id, task.depends_on)
    told = [repr(each) for each in names[:MOST_TOLD]]
    more = [f"{len(names) - MOST_TOLD} more tasks"] if len(names) > MOST_TOLD else []
    time = ["its schedule_time"] if (task.schedule_time or 0) > clock else []
    raise FailedPreconditionError(
        Reason.TASK_NOT_READY,
        f"task {task.task_id!r} is not ready: it waits for {', '.join([*told, *more, *time])}",
        metadata={
            "task_id": task.task_id,
            "waiting_for": json.dumps(names[:MOST_TOLD], ensure_ascii=False),
            "waiting_for_count": str(len(names)),
            "waits_for_time": str(bool(time)).lower(),
        },
    )


def _check_assignee(caller: Caller, task: Task) -> None:
    if caller.agent_id and task.assignee_id not in ("", caller.agent_id):
        raise FailedPreconditionError(
            Reason.ASSIGNED_TO_ANOTHER,
            f"task {task.task_id!r} is assigned to {task.assignee_id!r}:"
            f" assign it to {caller.agent_id!r} first",
            metadata={"task_id": task.task_id, "assignee_id": task.assignee_id},
        )


def _whom_to_ask(caller: Caller, agent_id: str) -> str:
    """An agent that can answer: not nobody, and not the one who asks."""
    if not agent_id or agent_id == caller.agent_id:
        with Checks() as check:
            check.refuse(
                "agent_id",
                "must name another agent than the caller: the task's creator is none or the same",
            )
    return agent_id
