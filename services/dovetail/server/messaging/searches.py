"""Searches of messages: the rules of what is found by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Paging
from dovetail.server.indexing import Indexer
from dovetail.server.messaging.inboxes import Record, shown_to
from dovetail.server.store.search.places import Place
from dovetail.server.store.search.queries import Query
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, deliveries, message_search
from dovetail.server.store.tables.message_search import MessageSearch
from dovetail.server.store.tables.messages import MessageFilter
from dovetail.server.store.transaction import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageQuestion:
    """What to look for, and among which messages; `before` is where the page begins."""

    query: Query
    recipient_id: str
    filter: MessageFilter
    before: int | None


Hit = tuple[Record, Sequence[Place]]
"""A message with the receipts that its reader may see, and where in it something was found."""


class MessageSearches:
    """Finds messages by their words."""

    def __init__(self, store: Store, indexer: Indexer) -> None:
        """Search in `store`, once `indexer` has indexed what is missing."""
        self._store = store
        self._indexer = indexer

    async def page(
        self, caller: Caller, asked: MessageQuestion, paging: Paging
    ) -> tuple[list[Hit], str]:
        """A page of hits, the newest first, and the token of the next."""
        own = asked.recipient_id
        if own:
            caller.require_own(f"the inbox of {own!r}", own)
        request = MessageSearch(
            query=asked.query,
            party_id="" if own or caller.reaches() else caller.agent_id,
            recipient_id=own,
            filter=asked.filter,
            before=asked.before,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )

        def find(snapshot: Snapshot) -> tuple[list[Hit], str]:
            if own:
                agents.require(snapshot, [own])
            found, after = message_search.page(snapshot, request)
            shown = {hit.number: shown_to(caller, hit.item) for hit in found}
            receipts = deliveries.receipts_of(snapshot, shown)
            hits: list[Hit] = [((hit.item, receipts[hit.number]), hit.places) for hit in found]
            return hits, paging.next_token(after)

        await self._indexer.catch_up(caller.team_id)
        return await self._store.scan(caller.team_id, find)
