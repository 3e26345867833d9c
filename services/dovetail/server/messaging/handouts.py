"""Handing out: what was handed to its recipient is noted in memory, and recorded a moment later.

A delivery counts as handed out (SENT) when a response with it was taken by the connection of a call
that the recipient itself made. Nothing is written for each: twice a second one unit for each team
writes the spans that are new, in whatever group of units it meets. What a killed server had not
recorded yet stays unknown, until it is handed out again: SENT may be late or missing, never false.

gRPC calls a response taken when its transport has tried to write it, also where the connection
broke in that moment; then the call ends at once, and takes nothing more. So a response is doubtful
until the call has taken another one, or is still open a while later.

All of it belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

from dovetail.server.access.caller import Caller
from dovetail.server.errors import DovetailError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import handouts
from dovetail.server.store.tables.deliveries import spans
from dovetail.server.store.tables.handouts import Handout, Span
from dovetail.server.store.transaction import Transaction

PERIOD_SECONDS = 0.5
"""Between two rounds, while something is noted or in doubt. Chosen."""

DOUBT_SECONDS = 0.5
"""A call that is still open so long after a response has not lost its connection with it.

The end of such a call is known within some microseconds. Chosen, to be far from that.
"""

NOTES_MAX = 50_000
"""Spans that are noted at once; what is beyond is not recorded. Chosen: some 10 MiB."""

UNITS_MAX = 100
"""Units that wait at once: of very many teams some follow the others."""

UNIT_NOTES_MAX = 200
"""Spans that one unit records: each takes the writer some 30 µs."""

Inbox = tuple[str, str]
"""A team and an agent."""


class Handouts:
    """Records what the calls of one server handed out."""

    def __init__(self, store: Store) -> None:
        """Record in `store`."""
        self._store = store
        self._notes: dict[Inbox, list[Handout]] = {}
        self._count = 0
        self._doubtful: set[Handing] = set()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Record until `finish`."""
        self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Record what is left, and end. The calls have ended."""
        self._closing.set()
        self._wake.set()
        if self._task:
            await self._task

    def begin(self, caller: Caller, agent_id: str) -> Handing:
        """Begin to hand out an inbox to a call; of another agent's nothing is noted."""
        return Handing(self, (caller.team_id, agent_id), is_own=caller.agent_id == agent_id)

    def note(self, inbox: Inbox, handed: Sequence[Handout]) -> None:
        """Note what was handed out for certain."""
        noted = self._notes.setdefault(inbox, [])
        for each in handed:
            if noted and noted[-1].last + 1 == each.first:
                noted[-1] = noted[-1]._replace(last=each.last, at=each.at)
            elif self._count < NOTES_MAX:
                noted.append(each)
                self._count += 1
        self._wake.set()

    def doubt(self, handing: Handing) -> None:
        """Look at a call again later."""
        self._doubtful.add(handing)
        self._wake.set()

    def settle(self, handing: Handing) -> None:
        """Look at a call no more."""
        self._doubtful.discard(handing)

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._wake.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._closing.wait()
            self._wake.clear()
            await self._round()
            if self._notes or self._doubtful:
                self._wake.set()
        await self._round()

    async def _round(self) -> None:
        """Settle what was in doubt for long, and record all notes."""
        before = time.monotonic() - DOUBT_SECONDS
        for handing in [each for each in self._doubtful if each.is_older(before)]:
            handing.confirm()
        notes, self._notes, self._count = self._notes, {}, 0
        parts = [*_parts(notes)]
        for start in range(0, len(parts), UNITS_MAX):
            some = parts[start : start + UNITS_MAX]
            await asyncio.gather(*(self._record(*part) for part in some))

    async def _record(self, team_id: str, noted: Mapping[str, Sequence[Handout]]) -> None:
        """Record notes of a team. What the store does not take is noted again."""

        def unit(transaction: Transaction) -> dict[str, list[Handout]]:
            left = {
                agent_id: handouts.record(transaction, agent_id, handed)
                for agent_id, handed in noted.items()
            }
            return {agent_id: handed for agent_id, handed in left.items() if handed}

        try:
            while noted:
                needs = [each for some in noted.items() for each in handouts.need(*some)]
                noted = await self._store.write(team_id, unit, needs)
        except DovetailError:
            for agent_id, handed in noted.items():
                self.note((team_id, agent_id), handed)


class Handing:
    """What one call hands out: offered in a response, taken by the connection, then certain."""

    def __init__(self, handouts: Handouts, inbox: Inbox, *, is_own: bool) -> None:
        self._handouts = handouts
        self._inbox = inbox
        self._is_own = is_own
        self._offered: Sequence[Span] = ()
        self._taken: Sequence[Span] = ()
        self._at = 0.0

    @property
    def team_id(self) -> str:
        """The team of the inbox."""
        return self._inbox[0]

    def offer(self, sequences: Sequence[int]) -> None:
        """Put these into the next response."""
        if self._is_own and sequences:
            first, last = sequences[0], sequences[-1]
            is_whole = last - first + 1 == len(sequences)
            self._offered = [(first, last)] if is_whole else spans(sequences)

    def take(self) -> None:
        """The connection took the response; so it had taken the one before it."""
        if not self._is_own:
            return
        self.confirm()
        if self._offered:
            self._taken, self._offered, self._at = self._offered, (), time.monotonic()
            self._handouts.doubt(self)

    def finish(self) -> None:
        """The connection took the only response, and the call did not end with it."""
        self.take()
        self.confirm()

    def confirm(self) -> None:
        """What was taken last is certain."""
        if self._taken:
            self._handouts.note(self._inbox, [Handout(*each, self._at) for each in self._taken])
        self.close()

    def close(self) -> None:
        """Forget what is in doubt: the call has ended."""
        self._taken = ()
        self._handouts.settle(self)

    def is_older(self, before: float) -> bool:
        """Whether what is in doubt was taken before a time."""
        return self._at < before


def _parts(
    notes: Mapping[Inbox, Sequence[Handout]],
) -> Iterator[tuple[str, dict[str, Sequence[Handout]]]]:
    """Notes in parts for a unit each: a team, and what was handed out of its inboxes."""
    open_parts: dict[str, tuple[int, dict[str, Sequence[Handout]]]] = {}
    for (team_id, agent_id), noted in notes.items():
        for start in range(0, len(noted), UNIT_NOTES_MAX):
            some = noted[start : start + UNIT_NOTES_MAX]
            count, part = open_parts.get(team_id, (0, {}))
            if count + len(some) > UNIT_NOTES_MAX:
                yield team_id, part
                count, part = 0, {}
            part[agent_id] = some
            open_parts[team_id] = count + len(some), part
    yield from ((team_id, part) for team_id, (_, part) in open_parts.items())
