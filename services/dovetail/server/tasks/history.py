"""The history of tasks: every change as an event, and every attempt."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.store.pages import Page
from dovetail.server.store.store import Store
from dovetail.server.store.tables import attempts, events, tasks
from dovetail.server.store.tables.attempts import Attempt
from dovetail.server.store.tables.events import EventFilter, TaskEvent
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.attempts import present_attempt
from dovetail.server.tasks.loading import require_history, task_not_found


@dataclass(frozen=True, kw_only=True, slots=True)
class EventQuery:
    """Which events to list, and after which number the page begins."""

    filter: EventFilter
    order: Order
    after: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptQuery:
    """The attempts of which task to list, and after which start event the page begins."""

    task_id: str
    order: Order
    after: int | None


class History:
    """Finds events and attempts."""

    def __init__(self, store: Store) -> None:
        """Read the events and attempts of `store`."""
        self._store = store

    async def page(
        self, caller: Caller, query: EventQuery, paging: Paging
    ) -> tuple[list[TaskEvent], str]:
        """A page of events in order, and the token of the next."""
        request = events.ListRequest(
            filter=query.filter,
            newest_first=query.order == Order.NEWEST_FIRST,
            after=query.after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )

        def find(snapshot: Snapshot) -> Page[TaskEvent]:
            require_history(snapshot, query.filter.task_id)
            return events.page(snapshot, request)

        page, after = await self._store.scan(caller.team_id, find)
        return page, paging.next_token(after)

    async def attempts(
        self, caller: Caller, query: AttemptQuery, paging: Paging
    ) -> tuple[list[Attempt], str]:
        """A page of the attempts of a task, deleted or not, and the token of the next."""

        def find(snapshot: Snapshot) -> Page[Attempt]:
            task = tasks.find(snapshot, query.task_id)
            if task is None:
                raise task_not_found("task_id", query.task_id)
            request = attempts.ListRequest(
                task_id=query.task_id,
                present=present_attempt(task),
                newest_first=query.order == Order.NEWEST_FIRST,
                after=query.after,
                most=paging.most,
                most_bytes=PAGE_BYTES,
            )
            return attempts.page(snapshot, request)

        page, after = await self._store.scan(caller.team_id, find)
        return page, paging.next_token(after)
