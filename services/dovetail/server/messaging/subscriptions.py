"""Subscriptions: one inbox as a stream.

What a stream sends comes from the table, or, while it waits at the end of its inbox, from the
commits of this process that add to it. The table is the truth: it is read wherever there may be a
gap between the cursor and what was handed over, and always with a filter.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.messaging.agents import Directory
from dovetail.server.messaging.handouts import Handing, Handouts
from dovetail.server.preconditions import check_kept, check_reached
from dovetail.server.readers import Slot
from dovetail.server.store.rings import Delivery
from dovetail.server.store.store import Store
from dovetail.server.store.tables import deliveries, inboxes
from dovetail.server.store.tables.agents import Agent
from dovetail.server.store.tables.inboxes import PageRequest
from dovetail.server.store.tables.messages import MessageFilter
from dovetail.server.streams import NEVER, RESPONSE_BYTES, Mark, StartPosition, Streams

TURN_SECONDS = 1.0
"""A wait for a slot is at most so long: the stream then sees whether the server stops."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscribeRequest:
    """What a subscriber asks for. `after_sequence` is None where it names a position."""

    agent_id: str
    position: StartPosition
    after_sequence: int | None
    include_acknowledged: bool
    max_outstanding: int
    filter: MessageFilter | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """What was ready of an inbox: all up to `through_sequence`, as far as the stream wants it."""

    agent_id: str
    deliveries: Sequence[Delivery]
    through_sequence: int
    mark: Mark


class Subscriptions:
    """Opens streams of inboxes."""

    def __init__(
        self, store: Store, directory: Directory, streams: Streams, handouts: Handouts
    ) -> None:
        """Stream from `store`."""
        self._store = store
        self._directory = directory
        self._streams = streams
        self._handouts = handouts

    async def open(self, caller: Caller, request: SubscribeRequest) -> AsyncGenerator[Response]:
        """Open a stream: the backlog, CAUGHT_UP, then what arrives; see `Streams.follow`."""
        agent_id = request.agent_id or caller.require_agent("a subscription without an agent_id")
        agent = await self._directory.open_inbox(caller, agent_id)
        own = replace(request, agent_id=agent_id)
        names = [agent_id]
        if request.max_outstanding:
            names.append(deliveries.room(agent_id))

        def begin(slot: Slot) -> _Inbox:
            handing = self._handouts.begin(caller, agent_id)
            return _Inbox(self._store, handing, own, agent, slot)

        # The generator itself, and none around it: that would keep what a slow reader has yet to
        # take.
        return self._streams.follow(caller, names, begin, [agent_id])


class _Inbox:
    """The cursor of one stream, and what of it is outstanding."""

    def __init__(
        self, store: Store, handing: Handing, request: SubscribeRequest, agent: Agent, slot: Slot
    ) -> None:
        """Begin where the request says, in the inbox of `agent` as it was a moment ago."""
        self._store = store
        self._handing = handing
        self._team_id = handing.team_id
        self._agent_id = request.agent_id
        self._wanted = request
        self._slot = slot
        self._is_large = False
        # What was removed before the stream opened is not missed by it, what is removed later is.
        self._removed = agent.removed_through(request.include_acknowledged)
        self._cursor = _start(request, agent.last_sequence, self._removed)
        self._backlog_end = agent.last_sequence
        self._outstanding: set[int] = set()
        self._owed: tuple[Mark, bool] | None = None

    def taken(self) -> None:
        """Note what was handed out."""
        self._handing.take()

    def close(self) -> None:
        """Forget what was not taken for certain."""
        self._handing.close()

    def mark(self, mark: Mark) -> Response:
        """A response without deliveries."""
        return self._response((), mark)

    def take(self, handed: Sequence[Delivery]) -> tuple[list[Response], bool] | None:
        """The response of what a commit handed over, as `next` returns it; None: read the table.

        Sequences rise in the order of commits, so what is as long as its last sequence is beyond
        the cursor has no gap.
        """
        if not handed or self._wanted.filter:
            return None
        # A read may have been quicker than the ring.
        fresh = [each for each in handed if each.sequence > self._cursor]
        if not fresh:
            return [], False
        limit = self._wanted.max_outstanding
        if (
            fresh[-1].sequence != self._cursor + len(fresh)
            or (limit and len(self._outstanding) + len(fresh) > limit)
            or sum(len(each.payload) for each in fresh) > RESPONSE_BYTES
            # The read leaves out what has expired on its way here.
            or any(each.expire_time and each.expire_time <= clock.now() for each in fresh)
        ):
            return None
        self._count(fresh)
        self._cursor = fresh[-1].sequence
        return [self._response(fresh, Mark.NONE)], False

    async def next(self, seconds: float) -> tuple[list[Response], bool]:
        """The next response, or none, and whether more may be ready.

        A large one waits up to `seconds` for a slot (`readers.py`).
        """
        if self._owed:
            (mark, more), self._owed = self._owed, None
            return [self.mark(mark)], more
        credit = await self._credit()
        if not credit:
            return [], False
        if self._is_large and not await self._slot.take(min(seconds, TURN_SECONDS)):
            return [], True
        request = self._request(credit)
        look = self._store.scan if self._wanted.filter else self._store.read
        async with self._slot.reads:
            page = await look(self._team_id, lambda s: inboxes.page(s, request))
            if _is_large(page.deliveries) and not await self._slot.take(0):
                self._is_large = (
                    True  # drop it, and read it again with a slot: they bound the memory
                )
                return [], True
        self._is_large = False
        if page.removed_through > self._removed:
            check_kept(self._cursor, page.removed_through, page.through_sequence)
            self._removed = page.removed_through
        self._cursor = page.through_sequence
        self._count(page.deliveries)
        caught_up = self._cursor >= self._backlog_end
        if not page.deliveries and not caught_up:
            return [], not page.exhausted
        if caught_up:
            self._backlog_end = NEVER
        if not page.deliveries:
            return [self.mark(Mark.CAUGHT_UP)], not page.exhausted
        if caught_up:
            # In a response of its own: whoever reads the backlog and leaves has taken all of it
            # for certain once the connection took this one (`handouts.py`).
            self._owed = Mark.CAUGHT_UP, not page.exhausted
        return [self._response(page.deliveries, Mark.NONE)], caught_up or not page.exhausted

    def _count(self, sent: Sequence[Delivery]) -> None:
        """Offer these to the reader, and count what is outstanding if that is limited."""
        self._handing.offer([each.sequence for each in sent])
        self._store.meter.delivered(len(sent))
        if self._wanted.max_outstanding:
            self._outstanding.update(each.sequence for each in sent if not each.acknowledge_time)

    def _response(self, deliveries: Sequence[Delivery], mark: Mark) -> Response:
        return Response(
            agent_id=self._agent_id,
            deliveries=deliveries,
            through_sequence=self._cursor,
            mark=mark,
        )

    def _request(self, credit: int) -> PageRequest:
        return PageRequest(
            agent_id=self._agent_id,
            after=self._cursor,
            include_acknowledged=self._wanted.include_acknowledged,
            filter=self._wanted.filter,
            most=credit,
            most_bytes=RESPONSE_BYTES,
        )

    async def _credit(self) -> int:
        """How many more deliveries may be sent now."""
        if not self._wanted.max_outstanding:
            return inboxes.SCANNED_ROWS
        if len(self._outstanding) >= self._wanted.max_outstanding:
            sent = sorted(self._outstanding)
            self._outstanding = await self._store.read(
                self._team_id,
                lambda s: deliveries.unacknowledged(s, self._agent_id, sent),
            )
        return self._wanted.max_outstanding - len(self._outstanding)


def _is_large(deliveries: Sequence[Delivery]) -> bool:
    """Whether a page is above RESPONSE_BYTES. Only a single delivery can be."""
    return len(deliveries) == 1 and len(deliveries[0].payload) > RESPONSE_BYTES


def _start(request: SubscribeRequest, last_sequence: int, removed: int) -> int:
    if request.after_sequence is not None:
        check_reached(request.after_sequence, last_sequence)
        check_kept(request.after_sequence, removed, last_sequence)
        return request.after_sequence
    return last_sequence if request.position is StartPosition.NOW else 0
