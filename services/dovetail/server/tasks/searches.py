"""Searches of tasks: the rules of what is found."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Paging
from dovetail.server.indexing import Indexer
from dovetail.server.store.search.queries import Query
from dovetail.server.store.store import Store
from dovetail.server.store.tables import task_search
from dovetail.server.store.tables.search_pages import Hit
from dovetail.server.store.tables.task_search import TaskSearch
from dovetail.server.store.tables.tasks import Task, TaskFilter


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQuestion:
    """What to look for, and among which tasks; `before` is where the page begins."""

    query: Query
    filter: TaskFilter
    before: int | None


class TaskSearches:
    """Finds tasks by their words."""

    def __init__(self, store: Store, indexer: Indexer) -> None:
        """Search in `store`, once `indexer` has indexed what is missing."""
        self._store = store
        self._indexer = indexer

    async def page(
        self, caller: Caller, asked: TaskQuestion, paging: Paging
    ) -> tuple[list[Hit[Task]], str]:
        """A page of hits, those created last first, and the token of the next."""
        request = TaskSearch(
            query=asked.query,
            filter=asked.filter,
            before=asked.before,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )
        await self._indexer.catch_up(caller.team_id)
        found, after = await self._store.scan(
            caller.team_id, lambda snapshot: task_search.page(snapshot, request)
        )
        return found, paging.next_token(after)
