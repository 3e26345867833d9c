"""What holders do with tasks: start, heartbeat, ask, answer, complete, fail, release.

Every change is the task, its event and its notices in one commit; a heartbeat writes an event only
where the progress differs, and no notice. The requests were checked at the edge.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.access.caller import Caller
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import DovetailError, FailedPreconditionError, Reason
from dovetail.server.store.store import Store
from dovetail.server.store.tables import (
    agents,
    attachments,
    dependencies,
    input_options,
    tasks,
)
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.tables.usage import Usage
from dovetail.server.store.transaction import Transaction
from dovetail.server.tasks import transitions, waits
from dovetail.server.tasks.budgets import check_budgets, report, settle, settled
from dovetail.server.tasks.late import change_or_raise, load_or_keep
from dovetail.server.tasks.loading import (
    find_repeat,
    load_for_change,
    needs,
    new_lease,
    require_agent,
)
from dovetail.server.tasks.questions import Answer, Question
from dovetail.server.tasks.recording import Action, TaskChange, record_change
from dovetail.server.tasks.requests import (
    ChangeOptions,
    Completion,
    Heartbeat,
    Notify,
    Outcome,
)
from dovetail.server.tasks.states import next_state

WAITING_FOR_SHOWN_MAX = 3


class Work:
    """Changes tasks for those who work on them."""

    def __init__(self, store: Store) -> None:
        """Keep tasks in `store`."""
        self._store = store

    async def start(
        self, caller: Caller, task_id: str, lease_micros: int | None, options: ChangeOptions
    ) -> tuple[TaskChange, str]:
        """Start a ready task that is the caller's or in the pool; returns its lease's token.

        A repeat returns the token of its own lease, not that of a later one.
        """
        action = Action(caller=caller, verb=TaskVerb.START, options=options)
        lease = new_lease(lease_micros) if lease_micros is not None else None

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            next_state(TaskVerb.START, task)
            _check_assignee(caller, task)
            check_budgets(transaction, task)
            _check_ready(transaction, task)
            stamp = transaction.team.stamp
            after = transitions.start(task, TaskVerb.START, caller.agent_id, lease, stamp)
            return record_change(transaction, action, task, after)

        change = await self._store.write(caller.team_id, unit, needs(action, task_id))
        is_own = change.task.lease_event == change.event_number
        return change, change.task.lease_token if is_own else ""

    async def heartbeat(self, caller: Caller, task_id: str, beat: Heartbeat) -> tuple[Task, int]:
        """Renew the lease; returns the task, and the caller's count of unacknowledged messages."""
        options = ChangeOptions(lease_token=beat.token, notify=Notify.NONE)
        action = Action(caller=caller, verb=TaskVerb.HEARTBEAT, options=options)

        def unit(transaction: Transaction) -> tuple[Task, int]:
            before = load_for_change(transaction, action, task_id)
            next_state(TaskVerb.HEARTBEAT, before)
            after = report(transitions.renew_lease(before, transaction.team.stamp), beat.usage)
            if beat.progress:
                percent, note = beat.progress.percent, beat.progress.note
                after = replace(after, progress_percent=percent, progress_note=note)
            told = after.progress_percent, after.progress_note
            if told != (before.progress_percent, before.progress_note):
                after = record_change(transaction, action, before, after).task
            else:
                tasks.save(transaction, after)
                agents.touch(transaction, caller.agent_id)
            after = settle(transaction, before, after)
            inbox = agents.find(transaction, caller.agent_id)
            return after, inbox.unacknowledged_count if inbox else 0

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def release(
        self, caller: Caller, task_id: str, options: ChangeOptions, used: Usage | None = None
    ) -> TaskChange:
        """Give work back: the task is PENDING again."""
        action = Action(caller=caller, verb=TaskVerb.RELEASE, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            after = transitions.return_to_pending(task, next_state(TaskVerb.RELEASE, task))
            change = record_change(transaction, action, task, report(after, used))
            return settled(transaction, task, change)

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def request_input(
        self, caller: Caller, task_id: str, question: Question, options: ChangeOptions
    ) -> TaskChange:
        """Ask an agent, by default the creator; the task waits for its answer."""
        action = Action(caller=caller, verb=TaskVerb.REQUEST_INPUT, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            state = next_state(TaskVerb.REQUEST_INPUT, task)
            asked_id = _agent_to_ask(caller, question.agent_id or task.creator_id)
            require_agent(transaction, caller, asked_id)
            team = transaction.team
            asking = replace(question, agent_id=asked_id)
            opened = transitions.ask(task, state, asking, team.stamp)
            # Deadlines are of the wall clock, by which they are looked for: stamps may be ahead.
            after = transitions.limit_wait(opened, question.within, team.wall_clock)
            change = record_change(transaction, action, task, after)
            waits.tell_circle(transaction, change)
            return change

        return await self._store.write(
            caller.team_id, unit, [*needs(action, task_id), *agents.need([question.agent_id])]
        )

    async def provide_input(
        self, caller: Caller, task_id: str, answer: Answer, options: ChangeOptions
    ) -> TaskChange:
        """Answer the open question: work goes on, with a whole lease."""
        action = Action(caller=caller, verb=TaskVerb.PROVIDE_INPUT, options=options)

        def unit(transaction: Transaction) -> TaskChange:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_for_change(transaction, action, task_id)
            state = next_state(TaskVerb.PROVIDE_INPUT, task)
            offered = input_options.decode(task.question_options_json)
            with Checks() as check:
                answer.check_option(check, offered)
            stamp = transaction.team.stamp
            after = transitions.resume(task, state, answer.choosing(offered), stamp)
            return record_change(transaction, action, task, after)

        return await self._store.write(caller.team_id, unit, needs(action, task_id))

    async def complete(self, caller: Caller, completion: Completion) -> TaskChange:
        """End work with a result."""
        change = await self._store.write(
            caller.team_id,
            lambda transaction: _complete(transaction, caller, completion),
            needs(_action(caller, completion), completion.task_id),
        )
        return change_or_raise(change)

    async def complete_all(
        self, caller: Caller, completions: Sequence[Completion]
    ) -> list[TaskChange | DovetailError]:
        """End many tasks with results in one commit, each by itself."""

        def unit(transaction: Transaction) -> list[TaskChange | DovetailError]:
            return [_completed_or_refused(transaction, caller, each) for each in completions]

        wanted = [
            need for each in completions for need in needs(_action(caller, each), each.task_id)
        ]
        return await self._store.write(caller.team_id, unit, wanted)

    async def fail(
        self, caller: Caller, task_id: str, outcome: Outcome, options: ChangeOptions
    ) -> TaskChange:
        """End an attempt with a failure: the task is retried, or FAILED."""
        action = Action(caller=caller, verb=TaskVerb.FAIL, options=options)

        def unit(transaction: Transaction) -> TaskChange | DovetailError:
            earlier = find_repeat(transaction, action)
            if earlier:
                return earlier
            task = load_or_keep(transaction, action, task_id, outcome)
            if isinstance(task, DovetailError):
                return task
            team = transaction.team
            failed = transitions.fail_attempt(task, TaskVerb.FAIL, outcome, team.stamp)
            # Retries wait for the wall clock: stamps may be ahead of it.
            after = transitions.delay_retry(failed, team.wall_clock)
            if task.start_time is not None:  # Otherwise there is no attempt that used anything.
                after = report(after, outcome.usage)
            change = record_change(transaction, action, task, after)
            return settled(transaction, task, change)

        change = await self._store.write(caller.team_id, unit, needs(action, task_id))
        return change_or_raise(change)


def _action(caller: Caller, completion: Completion) -> Action:
    return Action(caller=caller, verb=TaskVerb.COMPLETE, options=completion.options)


def _complete(
    transaction: Transaction, caller: Caller, completion: Completion
) -> TaskChange | DovetailError:
    """Complete a task; returns the refusal where the result was kept as a late one."""
    action = _action(caller, completion)
    earlier = find_repeat(transaction, action)
    if earlier:
        return earlier
    task = load_or_keep(transaction, action, completion.task_id, completion.outcome)
    if isinstance(task, DovetailError):
        return task
    state = next_state(TaskVerb.COMPLETE, task)
    stamp = transaction.team.stamp
    after = transitions.finish(task, state, completion.outcome, stamp)
    change = record_change(transaction, action, task, report(after, completion.outcome.usage))
    brought = completion.outcome.attachments
    attachments.add_to_task(transaction, task.task_id, task.start_event, brought)
    return settled(transaction, task, change)


def _completed_or_refused(
    transaction: Transaction, caller: Caller, completion: Completion
) -> TaskChange | DovetailError:
    """One completion of several. It refuses before it writes, so that the others are kept."""
    try:
        return _complete(transaction, caller, completion)
    except DovetailError as refusal:
        return refusal


def _check_ready(transaction: Transaction, task: Task) -> None:
    """Refuse to start a task that waits for other tasks, or for its time."""
    clock = transaction.team.wall_clock
    if transitions.is_ready(task, clock):
        return
    names = dependencies.still_open(transaction, task.depends_on)
    most = WAITING_FOR_SHOWN_MAX
    told = [repr(each) for each in names[:most]]
    more = [f"{len(names) - most} more tasks"] if len(names) > most else []
    time = ["its schedule_time"] if (task.schedule_time or 0) > clock else []
    ways = [*(["depends_on"] if names else []), *(["schedule_time"] if time else [])]
    raise FailedPreconditionError(
        Reason.TASK_NOT_READY,
        f"task {task.task_id!r} is not ready: it waits for {', '.join([*told, *more, *time])};"
        f" to start it anyway, set its {' and its '.join(ways)} by UpdateTask",
        metadata={
            "task_id": task.task_id,
            "waiting_for": json.dumps(names[:most], ensure_ascii=False),
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


def _agent_to_ask(caller: Caller, agent_id: str) -> str:
    """The agent to ask, which must be another one than the caller."""
    if not agent_id or agent_id == caller.agent_id:
        with Checks() as check:
            check.refuse(
                "agent_id",
                "must name another agent than the caller: the task's creator is none or the same",
            )
    return agent_id
