"""Every metric of the table exists, and moves when what it measures happens."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from dovetail.server.metrics.table import METRICS, of_service
from dovetail.server.store.store import Store
from dovetail.server.store.transaction import Transaction
from dovetail.tasks.v1 import tasks_pb2 as work
from metrics.conftest import SETTINGS
from support.callers import Caller, seconds
from support.cleaning import NOW, keep
from support.pair import Pair, running_pair
from support.refusals import refusal
from support.scraping import Scrape, scrape
from support.teams import Team
from support.waiting import until

NAMES = {metric.name for metric in METRICS}
DISK_BYTES = 8 * 1024 * 1024


class Watched:
    """What was seen of each metric, on either server."""

    def __init__(self, pair: Pair) -> None:
        self._addresses = {"messaging": pair.messaging_metrics, "tasks": pair.tasks_metrics}
        self._seen: dict[str, set[frozenset[object]]] = defaultdict(set)

    async def look(self) -> dict[str, Scrape]:
        """Scrape both, and keep what they say."""
        found = {service: await scrape(each) for service, each in self._addresses.items()}
        for service, said in found.items():
            for metric in of_service(service):
                self._seen[f"{service} {metric.name}"].add(frozenset(said.of(metric.name).items()))
        return found

    async def until(self, service: str, name: str, value: float, **labels: str) -> None:
        """Look until a series has a value."""

        async def has_it() -> bool:
            return (await self.look())[service].value(name, **labels) == value

        await until(has_it)

    def moved(self) -> set[str]:
        """The metrics that had more than one value on a server."""
        return {key.partition(" ")[2] for key, values in self._seen.items() if len(values) > 1}


async def test_every_metric_moves(sqlite_url: str, tmp_path: Path) -> None:
    often = {"kept_seconds": 0.0, "cleaning_seconds": 0.2}
    async with running_pair(sqlite_url, **SETTINGS, **often) as pair:
        watched, team = Watched(pair), Team.new(pair)
        await watched.look()
        alice, bob = await team.known("alice", "bob")
        async with bob.inbox() as inbox:
            await inbox.backlog()
            await watched.until(
                "messaging", "dovetail_open_streams", 1.0, method="MessagingService/SubscribeInbox"
            )
            await alice.send("bob", body="hello")
            await inbox.take(1)
        await _work(team, alice, bob, watched)
        await _clean(team, watched)
        (tmp_path / "large").write_bytes(os.urandom(DISK_BYTES))
        await watched.look()
        await _outage(pair, bob, watched)
        assert NAMES - watched.moved() == set()


async def _work(team: Team, alice: Caller, bob: Caller, watched: Watched) -> None:
    """An attempt fails, a lease is lost, a task waits, and one is refused."""
    task = await alice.made(title="one", max_attempts=3)
    (claimed,) = await bob.claim(lease_duration=60)
    why = work.TaskFailure(message="no", retryable=True)
    await bob.do("fail", task.task_id, failure=why, lease_token=claimed.lease_token)
    await watched.until("tasks", "dovetail_task_retries_total", 1.0)
    assert await bob.claim(max_wait=30, lease_duration=0.5)
    await watched.until("tasks", "dovetail_leases_lost_total", 1.0)
    await watched.until("tasks", "dovetail_task_retries_total", 2.0)
    code, reason, _ = await refusal(alice.get("t99"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    await watched.until("tasks", "dovetail_refusals_total", 1.0, reason=reason)
    await watched.until("tasks", "dovetail_tasks", 1.0, state="PENDING")


async def _clean(team: Team, watched: Watched) -> None:
    """The cleaner of either server removes the notices."""
    await keep(team, notice_age=NOW)

    async def is_cleaned() -> bool:
        said = await watched.look()
        return any(
            each.value("dovetail_removed_rows_total", kind="notices") for each in said.values()
        )

    await until(is_cleaned)


async def _outage(pair: Pair, bob: Caller, watched: Watched) -> None:
    """A call waits for the writer; then the store is away."""
    calls: list[asyncio.Task[object]] = []

    async def is_waiting() -> bool:
        """Whether one waits behind those that the writer has taken."""
        calls.append(asyncio.create_task(bob.send("bob", body="wait")))
        said = (await watched.look())["messaging"]
        return bool(said.value("dovetail_store_waiting_jobs", queue="writer"))

    async with _held(pair.tasks_store):
        await until(is_waiting)
    await asyncio.gather(*calls)
    path = pair.store_url.removeprefix("sqlite:///")
    os.rename(path, f"{path}.away")
    await watched.until("messaging", "dovetail_store_up", 0.0)
    await watched.until("messaging", "dovetail_figures_up", 0.0)
    os.rename(f"{path}.away", path)
    await watched.until("messaging", "dovetail_store_up", 1.0)


@asynccontextmanager
async def _held(store: Store) -> AsyncGenerator[None]:
    """The other server has the writer's place."""
    begun, ended = threading.Event(), threading.Event()

    def unit(_: Transaction) -> None:
        begun.set()
        assert ended.wait(30)

    holding = asyncio.create_task(store.write("", unit))
    await asyncio.to_thread(begun.wait)
    yield
    ended.set()
    await holding


async def test_figures_are_those_of_the_store(measured: Pair) -> None:
    one, other = Team.new(measured), Team.new(measured)
    alice, bob = await one.known("alice", "bob")
    carol, dave = await other.known("carol", "dave")
    await alice.send("bob", body="hello")
    await carol.send("dave", body="hello")
    await alice.made()
    task = await carol.made(assignee_id="dave")
    await carol.do("cancel", task.task_id)
    await carol.create(title="later", depends_on=[(await carol.made()).task_id])

    async def tasks() -> bool:
        said = await scrape(measured.tasks_metrics)
        pending = said.value("dovetail_tasks", state="PENDING")
        cancelled = said.value("dovetail_tasks", state="CANCELLED")
        age = said.value("dovetail_queue_age_seconds")
        return (pending, cancelled) == (3.0, 1.0) and age is not None and 0 < age < 60

    await until(tasks)
    assert (await _oldest(measured)) is not None
    await dave.acknowledge(1)
    await bob.acknowledge(1)
    await until(lambda: _nothing_unacknowledged(measured))
    said = await scrape(measured.messaging_metrics)
    parts = {dict(labels)["part"] for _, labels in said.of("dovetail_store_bytes")}
    assert parts in ({"database", "wal"}, {"database"})
    assert said.value("dovetail_store_bytes", part="database")


async def test_commits_and_wake_ups_are_measured_on_each_engine(measured: Pair) -> None:
    alice, bob = await Team.new(measured).known("alice", "bob")

    async def woken() -> float:
        said = await scrape(measured.messaging_metrics)
        assert said.value("dovetail_commit_seconds_count")
        count = said.value("dovetail_commit_seconds_count")
        assert said.value("dovetail_transaction_seconds_count") == count
        assert said.value("dovetail_commit_group_size_count") == count
        return said.value("dovetail_wakeup_seconds_count") or 0.0

    async def once_more(than: float) -> bool:
        """Whether a stream was woken while it waited: not each time, as it may be reading."""
        await alice.create(title="a task", assignee_id="bob")
        return await woken() > than

    async with bob.inbox() as inbox:
        await inbox.backlog()
        before = await woken()
        await alice.send("bob", body="hello")
        await inbox.take(1)
        by_itself = await woken()
        assert by_itself >= before
        # The other server commits, and its notice wakes this one's stream.
        await until(lambda: once_more(by_itself))


async def _oldest(pair: Pair) -> float | None:
    async def age() -> float | None:
        said = await scrape(pair.messaging_metrics)
        return said.value("dovetail_oldest_unacknowledged_seconds")

    return await until(age)


async def _nothing_unacknowledged(pair: Pair) -> bool:
    said = await scrape(pair.messaging_metrics)
    return said.value("dovetail_oldest_unacknowledged_seconds") == 0.0


async def test_a_spent_budget_is_seen_as_a_refusal(measured_sqlite: Pair) -> None:
    alice, bob = await Team.new(measured_sqlite).known("alice", "bob")
    task = await alice.made(max_tokens=10)
    token = await bob.held(task.task_id)
    used = work.Usage(input_tokens=11)
    await bob.do("heartbeat", task.task_id, lease_token=token, usage=used)
    await bob.do("release", task.task_id, lease_token=token)
    code, reason, _ = await refusal(bob.do("start", task.task_id, lease_duration=seconds(60)))
    assert reason == "BUDGET_SPENT"
    said = await scrape(measured_sqlite.tasks_metrics)
    assert said.value("dovetail_refusals_total", reason=reason) == 1.0
    assert said.value("dovetail_calls_total", method="TaskService/StartTask", code=code.name) == 1.0


async def test_a_call_that_its_caller_leaves_is_counted_as_cancelled(measured_sqlite: Pair) -> None:
    team = Team.new(measured_sqlite)
    (alice,) = await team.known("alice")
    claim = await team.waiting(alice)
    claim.cancel()

    async def is_counted() -> bool:
        said = await scrape(measured_sqlite.tasks_metrics)
        ended = said.value("dovetail_calls_total", method="TaskService/ClaimTask", code="CANCELLED")
        return ended == 1.0

    await until(is_counted)
