"""The life of a task: every change is the task, its event and its notices in one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dovetail.server.callers import Caller
from dovetail.server.checks import Checks
from dovetail.server.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    Reason,
)
from dovetail.server.paging import PAGE_BYTES, Order, Paging
from dovetail.server.repeats import check_repeat
from dovetail.server.store import agents, tasks
from dovetail.server.store.database import Store
from dovetail.server.store.records import Task, TaskState
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import record
from dovetail.server.tasks.drafts import Draft, Listing, Options, Outcome, Update, check_filter
from dovetail.server.tasks.record import Act, Changed
from dovetail.server.tasks.states import Verb, next_state, owners

Alter = Callable[[Transaction, Task, int], Task | None]
"""From a task and the time now to the task as it shall be; None: nothing changes."""


def _nothing(_: Checks) -> None:
    """Nothing more to check."""


class Lifecycle:
    """Creates, finds and changes tasks."""

    def __init__(self, store: Store) -> None:
        """Keep tasks in `store`."""
        self._store = store

    async def create(self, caller: Caller, draft: Draft, options: Options) -> Changed:
        """Make a task, PENDING."""
        with Checks() as check:
            draft.check(check)
            options.check(check)

        def unit(transaction: Transaction) -> Changed:
            earlier = _earlier(transaction, caller, options)
            if earlier:
                return earlier
            if draft.task_id and tasks.find(transaction, caller.team_id, draft.task_id):
                raise AlreadyExistsError(
                    Reason.TASK_EXISTS,
                    f"task_id: {draft.task_id!r} is or was taken; task ids are never reused",
                    metadata={"task_id": draft.task_id},
                )
            _require_assignee(transaction, caller, draft.assignee_id)
            task = _new_task(transaction, caller, draft)
            act = Act(caller=caller, verb=Verb.CREATE, options=options)
            return record.write(transaction, act, None, task)

        return await self._store.write(caller.team_id, unit)

    async def get(self, caller: Caller, task_id: str) -> Task:
        """One task."""
        with Checks() as check:
            check.id("task_id", task_id)
        return await self._store.read(
            caller.team_id, lambda s: _existing(s, caller.team_id, task_id)
        )

    async def page(
        self, caller: Caller, listing: Listing, paging: Paging
    ) -> tuple[list[Task], str]:
        """A page of tasks in order of creation, and the token of the next."""
        with Checks() as check:
            check_filter(check, listing.filter)
            check.enum("order", listing.order, Order)
            after = paging.after_number(check)
        asked = tasks.ListRequest(
            filter=listing.filter,
            newest_first=listing.order == Order.NEWEST_FIRST,
            after=after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )
        page, more = await self._store.scan(
            caller.team_id, lambda s: tasks.page(s, caller.team_id, asked)
        )
        return page, paging.next_token(str(page[-1].number)) if more else ""

    async def update(
        self, caller: Caller, task_id: str, update: Update, options: Options
    ) -> Changed:
        """Set some fields of a task that has not ended."""
        with Checks() as check:
            check.id("task.task_id", task_id)
            update.check(check)
            options.check(check)

        def alter(_: Transaction, task: Task, __: int) -> Task | None:
            next_state(Verb.UPDATE, task)
            changed = update.apply(task)
            return None if changed == task else changed

        act = Act(caller=caller, verb=Verb.UPDATE, options=options)
        return await self._change(act, task_id, alter)

    async def delete(self, caller: Caller, task_id: str, options: Options) -> Changed:
        """Remove a task that nobody holds."""

        def alter(_: Transaction, task: Task, now: int) -> Task:
            next_state(Verb.DELETE, task)
            return replace(task, delete_time=now)

        act = Act(caller=caller, verb=Verb.DELETE, options=options)
        return await self._change(act, task_id, alter)

    async def assign(
        self, caller: Caller, task_id: str, assignee_id: str, options: Options
    ) -> Changed:
        """Set the assignee; with force, of a task that somebody works on."""

        def alter(transaction: Transaction, task: Task, now: int) -> Task | None:
            _require_assignee(transaction, caller, assignee_id)
            stays = task.state is TaskState.IN_PROGRESS and not options.force
            if task.assignee_id == assignee_id and (stays or task.state is TaskState.PENDING):
                return None
            state = next_state(Verb.ASSIGN, task, force=options.force)
            return replace(
                task, state=state, assignee_id=assignee_id, assign_time=now, start_time=None
            )

        act = Act(caller=caller, verb=Verb.ASSIGN, options=options)
        return await self._change(
            act, task_id, alter, lambda check: check.id("assignee_id", assignee_id)
        )

    async def unassign(self, caller: Caller, task_id: str, options: Options) -> Changed:
        """Take the assignee off; with force, off a task that somebody works on."""

        def alter(_: Transaction, task: Task, __: int) -> Task | None:
            stays = task.state is TaskState.IN_PROGRESS and not options.force
            if not task.assignee_id and (stays or task.state is TaskState.PENDING):
                return None
            state = next_state(Verb.UNASSIGN, task, force=options.force)
            return replace(task, state=state, assignee_id="", assign_time=None, start_time=None)

        act = Act(caller=caller, verb=Verb.UNASSIGN, options=options)
        return await self._change(act, task_id, alter)

    async def start(self, caller: Caller, task_id: str, options: Options) -> Changed:
        """Begin work on a task that is the caller's or nobody's."""

        def alter(_: Transaction, task: Task, now: int) -> Task:
            state = next_state(Verb.START, task)
            if caller.agent_id and task.assignee_id not in ("", caller.agent_id):
                raise FailedPreconditionError(
                    Reason.ASSIGNED_TO_ANOTHER,
                    f"task {task.task_id!r} is assigned to {task.assignee_id!r}:"
                    f" assign it to {caller.agent_id!r} first",
                    metadata={"task_id": task.task_id, "assignee_id": task.assignee_id},
                )
            assignee_id = task.assignee_id or caller.agent_id
            return replace(
                task,
                state=state,
                assignee_id=assignee_id,
                assign_time=(task.assign_time or now) if assignee_id else None,
                start_time=now,
                attempt=task.attempt + 1,
            )

        act = Act(caller=caller, verb=Verb.START, options=options)
        return await self._change(act, task_id, alter)

    async def complete(
        self, caller: Caller, task_id: str, outcome: Outcome, options: Options
    ) -> Changed:
        """End work well."""
        act = Act(caller=caller, verb=Verb.COMPLETE, options=options)
        return await self._change(
            act,
            task_id,
            _end(Verb.COMPLETE, outcome),
            lambda check: outcome.check(check, "result.summary", "result.data"),
        )

    async def fail(
        self, caller: Caller, task_id: str, outcome: Outcome, options: Options
    ) -> Changed:
        """End work badly."""

        def check_failure(check: Checks) -> None:
            outcome.check(check, "failure.message", "failure.data")
            if not outcome.text:
                check.refuse("failure.message", "must say what went wrong")

        act = Act(caller=caller, verb=Verb.FAIL, options=options)
        return await self._change(act, task_id, _end(Verb.FAIL, outcome), check_failure)

    async def cancel(self, caller: Caller, task_id: str, options: Options) -> Changed:
        """Call work off."""
        act = Act(caller=caller, verb=Verb.CANCEL, options=options)
        return await self._change(act, task_id, _end(Verb.CANCEL, Outcome(text=options.reason)))

    async def reopen(self, caller: Caller, task_id: str, options: Options) -> Changed:
        """Make an ended task PENDING again."""

        def alter(_: Transaction, task: Task, __: int) -> Task:
            return replace(
                task,
                state=next_state(Verb.REOPEN, task),
                outcome_text="",
                outcome_json=None,
                attempt=0,
                start_time=None,
                end_time=None,
            )

        act = Act(caller=caller, verb=Verb.REOPEN, options=options)
        return await self._change(act, task_id, alter)

    async def _change(
        self, act: Act, task_id: str, alter: Alter, check_more: Callable[[Checks], None] = _nothing
    ) -> Changed:
        """Change one task: find it, alter it, and write what changed with event and notices."""
        caller, options = act.caller, act.options
        with Checks() as check:
            check.id("task_id", task_id)
            options.check(check)
            check_more(check)

        def unit(transaction: Transaction) -> Changed:
            earlier = _earlier(transaction, caller, options)
            if earlier:
                return earlier
            found = tasks.find(transaction, caller.team_id, task_id)
            if found and found.delete_time and act.verb is Verb.DELETE:
                _check_own(caller, act.verb, found)
                return Changed(task=found)
            task = _existing(transaction, caller.team_id, task_id)
            _check_own(caller, act.verb, task)
            _check_etag(task, options.etag)
            altered = alter(transaction, task, transaction.team(caller.team_id).now)
            if altered is None:
                return Changed(task=task)
            return record.write(transaction, act, task, altered)

        return await self._store.write(caller.team_id, unit)


def etag(task: Task) -> str:
    """The etag of a task: another one after every change."""
    return f"v{task.version}"


def _end(verb: Verb, outcome: Outcome) -> Alter:
    def alter(_: Transaction, task: Task, now: int) -> Task:
        return replace(
            task,
            state=next_state(verb, task),
            outcome_text=outcome.text,
            outcome_json=outcome.data_json,
            end_time=now,
        )

    return alter


def _new_task(transaction: Transaction, caller: Caller, draft: Draft) -> Task:
    team = transaction.team(caller.team_id)
    number = team.next_task()
    task_id = draft.task_id or tasks.new_id(transaction, caller.team_id, number)
    return Task(
        task_id=task_id,
        number=number,
        version=0,
        title=draft.title,
        description=draft.description,
        state=TaskState.PENDING,
        assignee_id=draft.assignee_id,
        creator_id=caller.agent_id,
        priority=draft.priority,
        labels=draft.labels,
        thread_id=draft.thread_id or task_id,
        input_json=draft.input_json,
        outcome_text="",
        outcome_json=None,
        attempt=0,
        create_time=team.now,
        update_time=team.now,
        assign_time=team.now if draft.assignee_id else None,
        start_time=None,
        end_time=None,
        due_time=draft.due_time,
        delete_time=None,
    )


def _existing(snapshot: Snapshot, team_id: str, task_id: str) -> Task:
    task = tasks.find(snapshot, team_id, task_id)
    if task is None or task.delete_time is not None:
        deleted = "true" if task else "false"
        raise NotFoundError(
            Reason.TASK_NOT_FOUND,
            f"task_id: no task {task_id!r}" + (", it was deleted" if task else ""),
            metadata={"task_id": task_id, "deleted": deleted},
        )
    return task


def _require_assignee(transaction: Transaction, caller: Caller, assignee_id: str) -> None:
    """An assignee must be known; the caller becomes known by this very call."""
    if assignee_id not in ("", caller.agent_id):
        agents.require(transaction, caller.team_id, [assignee_id])


def _check_own(caller: Caller, verb: Verb, task: Task) -> None:
    owner_ids = owners(verb, task)
    if owner_ids is not None:
        caller.require_own(f"task {task.task_id!r}", *owner_ids)


def _check_etag(task: Task, expected: str) -> None:
    if expected and expected != etag(task):
        raise AbortedError(
            Reason.ETAG_MISMATCH,
            f"etag: task {task.task_id!r} has changed: its etag is {etag(task)!r},"
            f" not {expected!r}; read it again",
            metadata={"task_id": task.task_id, "etag": etag(task)},
        )


def _earlier(transaction: Transaction, caller: Caller, options: Options) -> Changed | None:
    """What an earlier request with this id did, with the task as it is now."""
    if options.repeat is None:
        return None
    event = tasks.find_repeat(
        transaction, caller.team_id, caller.agent_id, options.repeat.request_id
    )
    if event is None or event.repeat is None:
        return None
    check_repeat(options.repeat, event.repeat.request_hash)
    task = _existing(transaction, caller.team_id, event.task_id)
    return Changed(task=task, notices=record.notices_of(transaction, caller.team_id, event))
