"""A store with a million messages is as quick as one with ten thousand, and becomes small again.

Times are reported beside those of a small store, and beside quiet times; none is asserted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.admin.cleaner import Cleaner
from dovetail.server.retention import DEFAULT
from dovetail.server.store import doctor
from dovetail.server.store.removal.looks import Policy
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.cleaning import NOW, clean, keep
from support.databases import empty_database
from support.figures import percentiles
from support.pair import running_pair
from support.soak import SOAK
from support.teams import Team

LARGE, SMALL, BATCH = (1_000_000, 10_000, 1_000) if SOAK else (3_000, 300, 300)
ROUNDS = 20 if SOAK else 3
QUIET_SECONDS = 20.0 if SOAK else 0.5
BODY = "What was done, what was found, and what is to be done next. " * 5
KEPT_SHARE = 10
PAGES_SPARED = 64 * 4_096
"""Free pages that a file may have whatever its size."""


class Store:
    """Servers over a store, with alice, who sends, and bob and carol, who receive."""

    def __init__(self, team: Team, callers: list[Caller]) -> None:
        self.team = team
        self.alice, self.bob, self.carol = callers
        self.count = 0

    @staticmethod
    @asynccontextmanager
    async def open(url: str) -> AsyncGenerator[Store]:
        """Servers that clean when they are told to."""
        async with running_pair(url, cleaning_seconds=1e6) as pair:
            team = Team.new(pair)
            yield Store(team, await team.known("alice", "bob", "carol"))

    async def fill(self, count: int, first: int = 0) -> None:
        """Send bob so many messages, all of which differ."""
        for begin in range(first, first + count, BATCH):
            numbers = range(begin, min(begin + BATCH, first + count))
            batch = [
                m.SendMessageRequest(recipient_ids=["bob"], subject=f"message {at}", body=BODY)
                for at in numbers
            ]
            await self.alice.call(m.BatchSendMessagesRequest(requests=batch))
        self.count += count

    async def last_page(self) -> str:
        """The token of the last page of all messages."""
        token = ""
        while True:
            page = await self.bob.list_messages(page_size=1_000, page_token=token)
            if not page.next_page_token:
                return token
            token = page.next_page_token

    async def acts(self) -> dict[str, Callable[[], Awaitable[object]]]:
        """What should take as long in a large store as in a small one."""
        token = await self.last_page()
        newest = types_pb2.ORDER_NEWEST_FIRST

        async def acknowledge() -> None:
            last = (await self.bob.look()).last_sequence
            await self.bob.acknowledge(*range(last - 99, last + 1))

        async def resume() -> None:
            last = (await self.bob.look()).last_sequence
            async with self.bob.inbox(after_sequence=last - 10) as inbox:
                await inbox.backlog()

        return {
            "last page": lambda: self.bob.list_messages(page_size=1_000, page_token=token),
            "newest first": lambda: self.bob.list_messages(page_size=100, order=newest),
            "acknowledging the newest 100": acknowledge,
            "resuming at the end": resume,
        }


@pytest.fixture(params=["sqlite", "postgres"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[list[str]]:
    """A store for each of: large, small, and fresh."""
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path}/{name}.db" for name in ("large", "small", "fresh")]
        return
    server = str(request.getfixturevalue("postgres"))
    with ExitStack() as databases:
        yield [databases.enter_context(empty_database(server)) for _ in range(3)]


def size_of(url: str) -> int:
    """The size of an embedded store's file."""
    return Path(url.removeprefix("sqlite:///")).stat().st_size


@pytest.mark.soak
@pytest.mark.timeout(7_200 if SOAK else 120)
async def test_a_large_store_is_as_quick_as_a_small_one_and_becomes_small(
    urls: list[str], report_figures: Callable[[str], None]
) -> None:
    large_url, small_url, fresh_url = urls
    async with Store.open(large_url) as large:
        await large.fill(LARGE)
        async with Store.open(small_url) as small:
            await small.fill(SMALL)
            await _compare(large, small, report_figures)
        kept = LARGE // KEPT_SHARE
        await large.bob.acknowledge(through_sequence=LARGE - kept)
        await _remove(large, report_figures)
        found = await large.bob.list_messages(page_size=1)
        assert found.records[0].message.subject == f"message {LARGE - kept}"
        # What was sent meanwhile goes too.
        await large.carol.acknowledge(through_sequence=(await large.carol.look()).last_sequence)
        await clean(large.team.pair.messaging_store)
        agent = await large.bob.look()
        assert agent.last_sequence - agent.first_sequence + 1 == kept
    levels = {each.check: each.level for each in doctor.check_store(large_url)}
    assert doctor.Level.FAIL not in levels.values(), levels
    if large_url.startswith("sqlite"):
        async with Store.open(fresh_url) as fresh:
            await fresh.fill(kept, first=LARGE - kept)
        sizes = [size_of(large_url), size_of(fresh_url)]
        report_figures(f"file {sizes[0] / sizes[1]:.2f} times that of a fresh store")
        assert sizes[0] <= 1.5 * sizes[1] + PAGES_SPARED


async def _compare(large: Store, small: Store, report: Callable[[str], None]) -> None:
    """Report how long each act takes in the large store beside the small one, in turns."""
    acts = await large.acts(), await small.acts()
    for name in acts[0]:
        took: tuple[list[float], list[float]] = [], []
        for _ in range(ROUNDS):
            for store, seconds in zip(acts, took, strict=True):
                began = time.perf_counter()
                await store[name]()
                seconds.append(time.perf_counter() - began)
        ratio = sorted(took[0])[ROUNDS // 2] / sorted(took[1])[ROUNDS // 2]
        report(f"{name}: {ratio:.2f} times the small store ({percentiles(took[0])})")


async def _remove(store: Store, report: Callable[[str], None]) -> None:
    """Remove what is acknowledged while somebody sends, and report what the sender notices."""
    quiet = await _sending(store, asyncio.sleep(QUIET_SECONDS))
    await keep(store.team, message_age=NOW)
    messaging = store.team.pair.messaging_store
    policy = Policy(default=DEFAULT, kept_micros=0)
    began = time.perf_counter()
    meanwhile = await _sending(store, Cleaner(messaging, policy, period=60.0).round())
    took = time.perf_counter() - began
    at = [sorted(each)[int(len(each) * 0.99)] for each in (quiet, meanwhile)]
    report(f"sending quietly: {percentiles(quiet)}")
    report(f"beside the cleaner: {percentiles(meanwhile)}, p99 {at[1] / at[0]:.2f} times")
    report(f"removed {LARGE * (KEPT_SHARE - 1) // KEPT_SHARE / took:,.0f} messages a second")


async def _sending(store: Store, until: Awaitable[object]) -> list[float]:
    """How long each message of one sender took, until something has ended."""
    end = asyncio.ensure_future(until)
    seconds: list[float] = []
    while not end.done() or len(seconds) < ROUNDS:
        began = time.perf_counter()
        await store.alice.send("carol", body=BODY)
        seconds.append(time.perf_counter() - began)
    await end
    return seconds
