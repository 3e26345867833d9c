"""Receiving: the unacknowledged messages of one inbox, for callers that cannot hold a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES
from dovetail.server.edge.validation import PAGE_SIZE_DEFAULT
from dovetail.server.errors import NotFoundError, UnauthenticatedError
from dovetail.server.messaging.agents import Directory
from dovetail.server.messaging.handouts import Handouts
from dovetail.server.messaging.inboxes import Acknowledgement, Inboxes
from dovetail.server.presence import Presence
from dovetail.server.store.rings import Delivery
from dovetail.server.store.tables import agents, inboxes
from dovetail.server.store.tables.inboxes import InboxPage, PageRequest
from dovetail.server.store.tables.messages import MessageFilter
from dovetail.server.store.transaction import MICROS, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiveRequest:
    """What a caller wants of an inbox. `max_wait` is in microseconds, `max_messages` 0 for 50."""

    acknowledgement: Acknowledgement
    max_wait: int
    max_messages: int
    filter: MessageFilter | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """Deliveries of an inbox, and how many messages it still has unacknowledged."""

    agent_id: str
    deliveries: Sequence[Delivery]
    acknowledged_count: int
    unacknowledged_count: int
    taken: Callable[[], None]
    """To be called once the connection has taken the response."""


class Receiver:
    """Returns the unacknowledged messages of an inbox, and waits for the first."""

    def __init__(
        self, directory: Directory, inboxes: Inboxes, handouts: Handouts, presence: Presence
    ) -> None:
        """Receive from the store of `directory`."""
        self._store = directory.store
        self._presence = presence
        self._handouts = handouts
        self._directory = directory
        self._inboxes = inboxes
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Answer all waiting calls at once."""
        self._closing.set()
        self._store.bells.ring_all()

    async def receive(self, caller: Caller, request: ReceiveRequest) -> Received:
        """Acknowledge, then return what is unacknowledged; wait up to `max_wait` for the first."""
        acknowledgement = request.acknowledgement
        agent_id = acknowledgement.agent_id or caller.require_agent("a request without an agent_id")
        await self._directory.open_inbox(caller, agent_id)
        acknowledged, left = 0, 0
        if acknowledgement.sequences or acknowledgement.through_sequence:
            acknowledged, left = await self._inboxes.acknowledge(caller, acknowledgement)
        try:
            deliveries, left = await self._wait(caller, agent_id, request)
        except (UnauthenticatedError, NotFoundError):
            # The credential ended meanwhile, or the agent was removed. The caller must learn what
            # was acknowledged, and gets nothing else.
            if not acknowledged:
                raise
            deliveries = ()
        handing = self._handouts.begin(caller, agent_id)
        handing.offer([each.sequence for each in deliveries])
        self._store.meter.delivered(len(deliveries))
        return Received(
            agent_id=agent_id,
            deliveries=deliveries,
            acknowledged_count=acknowledged,
            unacknowledged_count=left,
            taken=handing.finish,
        )

    async def _wait(
        self, caller: Caller, agent_id: str, request: ReceiveRequest
    ) -> tuple[Sequence[Delivery], int]:
        """Return what is unacknowledged, as soon as there is something or the time has passed."""
        clock = asyncio.get_running_loop().time
        end = clock() + request.max_wait / MICROS
        with (
            self._presence.waiting(caller, agent_id) as stay,
            self._store.bells.watch(caller.team_id, [agent_id]) as bell,
        ):
            stay.on_end = lambda _: bell.ring()
            while True:
                bell.clear()
                caller.check_live()  # Before the read as well: a store that hangs ends no read.
                deliveries, left = await self._look(caller, agent_id, request)
                caller.check_live()
                stay.check()
                if deliveries or clock() >= end or self._closing.is_set():
                    return deliveries, left
                await bell.wait(end - clock())

    async def _look(
        self, caller: Caller, agent_id: str, request: ReceiveRequest
    ) -> tuple[Sequence[Delivery], int]:
        """Return the first page of what is asked for, and how many are unacknowledged.

        A page looks at a bounded number of rows, so a filter may need several. Each is a read of
        its own: with a filter among the scans, so that it delays no short read.
        """
        look = self._store.scan if request.filter else self._store.read
        after = 0
        while True:
            step = partial(_page, agent_id=agent_id, request=request, after=after)
            page, left = await look(caller.team_id, step)
            if page.deliveries or page.exhausted:
                return page.deliveries, left
            after = page.through_sequence


def _page(
    snapshot: Snapshot, agent_id: str, request: ReceiveRequest, after: int
) -> tuple[InboxPage, int]:
    """What comes after a sequence of an inbox, and how many of it are unacknowledged in all."""
    page = PageRequest(
        agent_id=agent_id,
        after=after,
        include_acknowledged=False,
        filter=request.filter,
        most=request.max_messages or PAGE_SIZE_DEFAULT,
        most_bytes=PAGE_BYTES,
    )
    agent = agents.get(snapshot, agent_id)
    return inboxes.page(snapshot, page), agent.unacknowledged_count
