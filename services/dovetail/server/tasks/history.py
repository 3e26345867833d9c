"""The history of tasks: every change as an event."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.store.pages import Page
from dovetail.server.store.store import Store
from dovetail.server.store.tables import events
from dovetail.server.store.tables.events import EventFilter, TaskEvent
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.loading import require_history


@dataclass(frozen=True, kw_only=True, slots=True)
class EventQuery:
    """Which events to list, and after which number the page begins."""

    filter: EventFilter
    order: Order
    after: int | None


class History:
    """Finds events."""

    def __init__(self, store: Store) -> None:
        """Read the events of `store`."""
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
