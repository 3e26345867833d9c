"""Watches: the history of a team, or of one task, as a stream.

A watch holds its cursor and nothing else; what it sends comes from the table. Each commit that
appends an event wakes all watches of its team, and each of them reads once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dovetail.server.access.caller import Caller
from dovetail.server.errors import OutOfRangeError, Reason
from dovetail.server.readers import Slot
from dovetail.server.store.rings import EVENTS, Delivery
from dovetail.server.store.store import Store
from dovetail.server.store.tables import events
from dovetail.server.store.tables.events import EventFilter, Stretched, StretchRequest, TaskEvent
from dovetail.server.store.transaction import Snapshot
from dovetail.server.streams import NEVER, RESPONSE_BYTES, Mark, StartPosition, Streams
from dovetail.server.tasks.loading import require_history

RESPONSE_EVENTS_MAX = 256
"""So that a response is made in a few milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchRequest:
    """What a watcher asks for. `after_event` is None where it names a position."""

    position: StartPosition
    after_event: int | None
    filter: EventFilter


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchResponse:
    """What was ready: all events up to `through_event`, as far as the watch wants them."""

    events: Sequence[TaskEvent]
    through_event: int
    mark: Mark


class Watches:
    """Opens streams of events."""

    def __init__(self, store: Store, streams: Streams) -> None:
        """Stream from `store`."""
        self._store = store
        self._streams = streams

    async def open(self, caller: Caller, request: WatchRequest) -> AsyncGenerator[WatchResponse]:
        """Open a stream: the backlog, CAUGHT_UP, then new events; see `Streams.follow`."""

        def find_ends(snapshot: Snapshot) -> tuple[int, int]:
            require_history(snapshot, request.filter.task_id)
            last, removed = events.ends(snapshot)
            return last, _removed(snapshot, request.filter, removed)

        ends = await self._store.read(caller.team_id, find_ends)

        def begin(slot: Slot) -> _Watch:
            return _Watch(self._store, caller.team_id, request, ends, slot)

        return self._streams.follow(caller, [EVENTS], begin)


class _Watch:
    """The cursor of one stream."""

    def __init__(
        self, store: Store, team_id: str, request: WatchRequest, ends: tuple[int, int], slot: Slot
    ) -> None:
        """Begin where the request says, in a history with this last and last removed event."""
        last, self._removed = ends
        self._store = store
        self._team_id = team_id
        self._filter = request.filter
        self._slot = slot
        self._cursor = _start(request, *ends)
        self._backlog_end = last

    def take(self, handed: Sequence[Delivery]) -> None:
        """Nothing is handed over: the table is read."""
        del handed

    def mark(self, mark: Mark) -> WatchResponse:
        """A response without events."""
        return self._response((), mark)

    def taken(self) -> None:
        """Nothing is recorded of events."""

    def close(self) -> None:
        """Nothing is left open."""

    async def next(self, seconds: float) -> tuple[list[WatchResponse], bool]:
        """The next response, or none, and whether more may be ready."""
        del seconds  # An event is small: it waits for no slot.
        request = StretchRequest(
            filter=self._filter,
            after=self._cursor,
            most=RESPONSE_EVENTS_MAX,
            most_bytes=RESPONSE_BYTES,
        )
        found, removed = await self._read(partial(_stretch, asked=request, known=self._removed))
        if removed > self._removed:
            _check_kept(self._cursor, removed, found.through_event)
            self._removed = removed
        self._cursor = found.through_event
        caught_up = self._cursor >= self._backlog_end
        if caught_up:
            self._backlog_end = NEVER
        elif not found.events:
            return [], not found.exhausted
        mark = Mark.CAUGHT_UP if caught_up else Mark.NONE
        return [self._response(found.events, mark)], not found.exhausted

    async def _read(
        self, stretch: Callable[[Snapshot], tuple[Stretched, int]]
    ) -> tuple[Stretched, int]:
        """Read a stretch of events.

        A filtered backlog may need many steps until something matches, while what is new is few
        events. It is read beside other long queries, and keeps no other stream from its next page.
        """
        if events.is_stepped(self._filter) and self._backlog_end != NEVER:
            return await self._store.scan(self._team_id, stretch)
        async with self._slot.reads:
            return await self._store.read(self._team_id, stretch)

    def _response(self, found: Sequence[TaskEvent], mark: Mark) -> WatchResponse:
        return WatchResponse(events=found, through_event=self._cursor, mark=mark)


def _stretch(snapshot: Snapshot, asked: StretchRequest, known: int) -> tuple[Stretched, int]:
    """The next events, and up to which number some that the watch is for may be removed.

    `known`: what was known of that before; only if it has grown a filter is asked about.
    """
    found = events.stretch(snapshot, asked)
    removed = found.removed_through
    return found, _removed(snapshot, asked.filter, removed) if removed > known else known


def _removed(snapshot: Snapshot, filter: EventFilter, removed: int) -> int:
    if filter.task_id and removed:
        return events.removed_of_task(snapshot, filter.task_id)
    return removed


def _start(request: WatchRequest, last: int, removed: int) -> int:
    after = request.after_event
    if after is None:
        return last if request.position is StartPosition.NOW else 0
    if after > last:
        raise OutOfRangeError(
            Reason.CURSOR_IN_FUTURE,
            f"event {after:,} lies beyond the team's last one: 0 to {last:,} are legal",
            metadata={"event": str(after), "first": "0", "last": str(last)},
        )
    _check_kept(after, removed, last)
    return after


def _check_kept(after: int, removed: int, last: int) -> None:
    """Raise OutOfRangeError for a cursor past which events were removed that would be sent."""
    if after < removed:
        raise OutOfRangeError(
            Reason.CURSOR_TOO_OLD,
            f"event {after:,} lies before what retention has removed: {removed:,} to {last:,} are"
            " legal. Begin at the first event that is kept (BEGINNING), or list the tasks anew",
            metadata={"event": str(after), "first": str(removed), "last": str(last)},
        )
