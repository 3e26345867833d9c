"""The mail monitor: what becomes of messages without a caller, because a time has passed.

Deliveries expire, senders are told of deadlines that were missed, and what the loop guard counted
in an hour is removed after it. Every messaging server has a monitor, over all teams. Each unit
reads again what it is about, so the first to write does it, and the others find nothing. Nobody
waits for a monitor: what has expired counts as such for every reader at once
(`tables/deliveries.py`), and is only counted off by it.

All state belongs to the event loop; units run on the store's thread and see only their arguments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from dovetail.server import clock
from dovetail.server.errors import DovetailError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import (
    deadlines,
    endings,
    mail_notices,
    message_heads,
    thread_hours,
)
from dovetail.server.store.tables.delivery_states import DeliveryAct
from dovetail.server.store.tables.endings import Ending
from dovetail.server.store.tables.mail_notices import MailReport
from dovetail.server.store.tables.message_bytes import MailEvent
from dovetail.server.store.transaction import GlobalSnapshot, Transaction

PERIOD_SECONDS = 1.0
"""Between two looks. What has expired is counted off, and a missed deadline told, soon after."""

PAUSE_SECONDS_MAX = 10.0
PAUSE_RATIO = 25
"""The pause is at least so many times as long as the look: with very many teams, less often."""

TEAMS_MAX = 200
"""Teams whose units wait or run at once; others are found by a later look."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.mail")


class MailMonitor:
    """Ends what has expired, and tells senders of missed deadlines."""

    def __init__(self, store: Store) -> None:
        """Watch the mail of `store`."""
        self._store = store
        self._task: asyncio.Task[None] | None = None
        # A team whose writes must wait delays neither the looks nor other teams.
        self._settling: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop watching. A unit that runs still ends; nobody waits for it."""
        for task in (self._task, *self._settling.values()):
            if task:
                task.cancel()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                for team_id in await self._store.read("", _teams_due):
                    self._begin(team_id)
            except DovetailError:
                pass  # the store is away: health checks say so
            except Exception:
                log.exception("expired mail cannot be looked for")
            pause = max(PERIOD_SECONDS, (time.monotonic() - began) * PAUSE_RATIO)
            await asyncio.sleep(min(pause, PAUSE_SECONDS_MAX))

    def _begin(self, team_id: str) -> None:
        """Start to settle a team, unless that is under way."""
        if team_id not in self._settling and len(self._settling) < TEAMS_MAX:
            self._settling[team_id] = asyncio.create_task(self._settle(team_id))

    async def _settle(self, team_id: str) -> None:
        """Do all that is due in a team. Each step is a commit, so other writers come between."""
        try:
            steps: tuple[Callable[[Transaction], bool], ...] = (
                expire_some,
                tell_some,
                thread_hours.forget,
            )
            for step in steps:
                while await self._store.write(team_id, step):
                    pass
        except DovetailError as error:
            log.warning("mail could not be ended", team_id=team_id, reason=error.reason.value)
        finally:
            del self._settling[team_id]


def _teams_due(snapshot: GlobalSnapshot) -> set[str]:
    """The teams in which there is something to do."""
    now = clock.now()
    expired = endings.teams_due(snapshot, now, TEAMS_MAX)
    passed = deadlines.teams_due(snapshot, now, TEAMS_MAX)
    return {*expired, *passed, *thread_hours.teams_due(snapshot, now, TEAMS_MAX)}


def expire_some(transaction: Transaction) -> bool:
    """End some deliveries whose time has passed. Returns whether there may be more."""
    records = endings.due(transaction)
    endings.end(transaction, records, Ending(act=DeliveryAct.EXPIRE))
    return len(records) == endings.EXPIRED_MAX


def tell_some(transaction: Transaction) -> bool:
    """Tell the senders of some messages who missed their deadline; whether there may be more."""
    passed = deadlines.due(transaction)
    heads = message_heads.find_all(transaction, [number for _, number in passed])
    late = {number: endings.open_recipients(transaction, number) for number in heads}
    deadlines.remove(transaction, passed)
    for _, number in passed:
        if late.get(number):
            head = heads[number]
            report = MailReport(
                event=MailEvent.UNACKNOWLEDGED,
                message=head,
                recipient_ids=[each for each in head.recipient_ids if each in late[number]],
            )
            mail_notices.write(transaction, report)
    return len(passed) == deadlines.DEADLINES_MAX
