"""The loop of `dovetail top`: read, draw, wait for a key."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import time
import tty
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from dovetail.cli.options.calling import Session
from dovetail.cli.output.cells import one_line
from dovetail.cli.output.failures import command_error
from dovetail.cli.output.json_values import fields, words
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import NO_LIMIT, Group, Listing, Shown, Table
from dovetail.cli.output.terminal import is_in_foreground
from dovetail.cli.output.times import local_time
from dovetail.cli.overview import picture, snapshot
from dovetail.cli.overview.snapshot import Snapshot
from dovetail.client import Agent, DovetailError
from dovetail.tasks.v1 import tasks_pb2 as work

BAR_CELLS = 40
REST_FACTOR = 4
"""A look that took long is followed by a pause of so many times its length: the servers have other
things to do."""

PAGE = (NO_LIMIT, 66)
"""The columns and lines of one look in a pipe."""

TABLE_LINES = 4
"""What the two tables need beside their rows."""


async def watch(session: Session, every: float, *, once: bool) -> None:
    """Show the team again and again, or once where no terminal shows it."""
    if once or not session.out.for_people or not is_in_foreground():
        seen = await look(session.agent)
        if seen.agents is None and seen.work is None:
            raise seen.faults[0]
        session.out.facts(_facts(seen), lambda: draw(session.team_id, seen, "", PAGE))
        return
    # Without patience: an outage is a line of the screen, and the next look tries again.
    identity = (session.agent.agent_id, session.team_id)
    async with session.servers.connect(*identity, session.timeout, 0.0) as caller:
        await _redraw(session.team_id, caller, every)


async def _redraw(team_id: str, caller: Agent, every: float) -> None:
    from dovetail.cli.output.screen import ForegroundLive, console

    screen = console()
    with keys() as pressed, ForegroundLive(console=screen, screen=True, auto_refresh=False) as live:
        while not pressed.done():
            begin = time.monotonic()
            seen = await look(caller)
            took = time.monotonic() - begin
            how = f"  every {every:g} s, q ends"
            live.update(draw(team_id, seen, how, screen.size), refresh=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(every, REST_FACTOR * took)):
                    await asyncio.shield(pressed)


async def look(caller: Agent) -> Snapshot:
    """Read all at once. A server that is away is a fault of this look, not of the next."""
    agents, found = await asyncio.gather(
        snapshot.read_agents(caller),
        snapshot.read_work(caller, with_throughput=True),
        return_exceptions=True,
    )
    for each in (agents, found):
        if isinstance(each, BaseException) and not isinstance(each, DovetailError):
            raise each
    return Snapshot(
        time=datetime.now(UTC),
        agents=None if isinstance(agents, BaseException) else agents,
        work=None if isinstance(found, BaseException) else found,
        faults=[each for each in (agents, found) if isinstance(each, DovetailError)],
    )


@contextmanager
def keys() -> Generator[asyncio.Future[None]]:
    """A future that is done once q is pressed. Ctrl-C interrupts, as everywhere."""
    loop = asyncio.get_running_loop()
    pressed: asyncio.Future[None] = loop.create_future()
    source = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else -1
    if source < 0 or not is_in_foreground(sys.stdin):
        yield pressed
        return

    def read() -> None:
        is_asked = is_in_foreground(sys.stdin) and b"q" in os.read(source, 64).lower()
        if is_asked and not pressed.done():
            pressed.set_result(None)

    before = termios.tcgetattr(source)
    tty.setcbreak(source)
    loop.add_reader(source, read)
    try:
        yield pressed
    finally:
        loop.remove_reader(source)
        termios.tcsetattr(source, termios.TCSADRAIN, before)


def draw(team_id: str, seen: Snapshot, how: str, size: tuple[int, int]) -> Shown:
    """One look as a screen of so many columns and lines; `how` says how it goes on."""
    team = f"team {one_line(team_id)}" if team_id else "the team of the caller"
    parts: list[Shown] = [
        Text.assemble((team, "bold"), f"  {local_time(seen.time)}{how}"),
        *(_fault(each) for each in seen.faults),
    ]
    facts = picture.facts_table(list(_lines(seen)))
    above = len(parts) + len(list(facts.lines(size[0])))
    room = max(2, size[1] - above - TABLE_LINES)
    parts.append(facts)
    if seen.work:
        parts += _rows(picture.UNDER_WAY, seen.work.under_way, room // 2)
    if seen.agents is not None:
        left = room - min(room // 2, len(seen.work.under_way) if seen.work else 0)
        parts += _rows(picture.AGENTS, _most_wanted(seen), left)
    return Group(*parts)


def _lines(seen: Snapshot) -> Iterator[tuple[str, Text]]:
    """What is said in a line each."""
    if seen.work:
        yield "", picture.states_bar(seen.work.report, BAR_CELLS)
        yield from picture.work_facts(seen.work)
        yield "pace", picture.throughput(seen.work)
    if seen.agents is not None:
        yield "agents", picture.agents_fact(seen.agents)


def _rows(listing: Listing[Any], items: Sequence[Any], room: int) -> list[Shown]:
    """The first rows of a table, and how many more there are."""
    if not items:
        return [Text(), Text(listing.empty)]
    shown = items[: max(1, room - (len(items) > room))]
    left = len(items) - len(shown)
    more: list[Shown] = [Text(f"and {left:,} more", style="dim")] if left else []
    table = Table(*listing.columns)
    for item in shown:
        table.add_row(*listing.row(item))
    return [Text(), table, *more]


def _most_wanted(seen: Snapshot) -> list[Any]:
    """Agents with unread messages first, then those that were seen last."""
    return sorted(
        seen.agents or (),
        key=lambda agent: (-agent.unacknowledged_count, -agent.last_seen_time.seconds),
    )


def _fault(error: Exception) -> Text:
    line = command_error(error).line if isinstance(error, DovetailError) else str(error)
    return Text(f"! {line}", style="red")


def _facts(seen: Snapshot) -> dict[str, Any]:
    """One look for programs."""
    facts: dict[str, Any] = {"time": seen.time.isoformat().replace("+00:00", "Z")}
    if seen.agents is not None:
        facts["agents"] = [fields(agent) for agent in seen.agents]
    if seen.work:
        names = words(work.TaskState.DESCRIPTOR)
        facts["total_tasks"] = seen.work.report.total_tasks
        facts["states"] = {names[each.state]: each.count for each in seen.work.report.states}
        facts["under_way"] = [fields(task) for task in seen.work.under_way]
        ready = seen.work.oldest_ready
        facts["oldest_ready_task"] = fields(ready) if ready else None
        facts["completed_in_hour"] = seen.work.completed_in_hour
    return facts
