"""Agents in hosts with hooks work as a team, while servers and watchers are killed."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from cli.shell import Shell
from dovetail.client import Agent, connect
from support.background import Background
from support.fake_hosts import FakeHost, end_watchers
from support.processes import ServerProcess, process_pair
from support.scripted_model import KINDS, Model
from support.soak import SOAK, full_or_tenth
from support.waiting import until

pytestmark = pytest.mark.soak

HOSTS = {"ann": "claude", "ben": "claude", "cid": "codex", "dee": "cursor", "eva": "gemini"}
ROUNDS = 100 if SOAK else 4
KILLS = 30 if SOAK else 2
PAUSE_SECONDS = (0.5, 2.0)
UNREAD_SECONDS_MAX = 10.0
END_SECONDS = 1_200.0

WATCHED = full_or_tenth(100)
IDLE_SECONDS = 600.0 if SOAK else 1.0
TEAM = "hooked"


async def test_a_team_that_only_has_hooks_loses_nothing_while_servers_and_watchers_die(
    tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    with process_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as servers:
        shell = _shell(servers, tmp_path)
        for agent_id in HOSTS:
            shell.says("agent", "register", agent_id)
        hosts = [_host(host, agent_id, shell) for agent_id, host in HOSTS.items()]
        with _running(hosts, tmp_path):
            killing = asyncio.create_task(_kill_at_random(servers, hosts))
            created = await asyncio.to_thread(_create_all, shell)
            await killing
            async with _reader(servers) as reader:
                await _until_done(reader, hosts, created)
                completions = await _completions(reader)
    lost = created - completions.keys()
    twice = [task_id for task_id, count in completions.items() if count > 1]
    latest = max(host.model.latest_seconds for host in hosts)
    report_figures(
        f"{len(created)} rounds by {len(hosts)} agents in hosts with hooks, {KILLS} kills,"
        f" {sum(host.turns for host in hosts)} turns, {sum(host.wakes for host in hosts)} wakes,"
        f" {sum(host.holds for host in hosts)} held ends; assignments lost {len(lost)}, done twice"
        f" {len(twice)}, unread for {latest:.1f} s at most"
    )
    assert (lost, twice) == (set(), [])
    assert latest <= UNREAD_SECONDS_MAX or not SOAK


async def test_idle_watchers_are_silent_and_one_broadcast_wakes_each_once(
    tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    names = [f"agent-{number:03}" for number in range(WATCHED)]
    with process_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as servers:
        shell = _shell(servers, tmp_path)
        async with _reader(servers) as caller:
            for name in names:
                await caller.register(name)
        with ExitStack() as stack:
            watchers = [
                stack.enter_context(Background(("watch", "--as", name), shell.environment))
                for name in names
            ]
            await until(lambda: len(list(tmp_path.glob("dovetail/*/socket"))) == WATCHED)
            before = _cpu_seconds(servers)
            await asyncio.sleep(IDLE_SECONDS)
            share = (_cpu_seconds(servers) - before) / IDLE_SECONDS
            assert all(each.is_running for each in watchers)
            begin = time.monotonic()
            async with _reader(servers) as caller:
                await caller.send(names, "for all")
            await until(lambda: not any(each.is_running for each in watchers))
            took = time.monotonic() - begin
            assert [each.wait() for each in watchers] == [0] * WATCHED
        assert {each.out.partition(".")[0] for each in watchers} == {"1 new, 1 unread"}
        with Background(("watch", "--as", names[0]), shell.environment) as again:
            await until(lambda: list(tmp_path.glob("dovetail/*/socket")))
            assert again.is_running
    report_figures(
        f"{WATCHED} watched agents, idle for {IDLE_SECONDS:g} s: {100 * share:.2f} % of a core of"
        f" the servers; a broadcast woke all in {took:.2f} s, once each"
    )


def _shell(servers: tuple[ServerProcess, ServerProcess], runtime: Path) -> Shell:
    messaging, tasks = servers
    shell = Shell(messaging=messaging.address, tasks=tasks.address, team=TEAM)
    return shell.within(
        XDG_RUNTIME_DIR=str(runtime), DOVETAIL_AGENT="driver", DOVETAIL_PATIENCE="30s"
    )


def _host(host: str, agent_id: str, shell: Shell) -> FakeHost:
    return FakeHost(
        host,
        Model(agent_id=agent_id, team=list(HOSTS), shell=shell.within(DOVETAIL_AGENT=agent_id)),
    )


@contextmanager
def _running(hosts: list[FakeHost], runtime: Path) -> Generator[None]:
    """Run the hosts inside the block; raise the fault of one that fails."""
    threads = [threading.Thread(target=host.run) for host in hosts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for host in hosts:
            host.stop()
        for thread in threads:
            thread.join()
        end_watchers(runtime)
    for host in hosts:
        if host.fault:
            raise host.fault


def _create_all(shell: Shell) -> set[str]:
    """Tasks of each kind, from each agent to the next one."""
    names = list(HOSTS)
    created = set[str]()
    for number in range(ROUNDS):
        creator = names[number % len(names)]
        model = Model(agent_id=creator, team=names, shell=shell.within(DOVETAIL_AGENT=creator))
        task_id = f"round-{number}"
        model.create(task_id, KINDS[number % len(KINDS)], names[(number + 1) % len(names)])
        created.add(task_id)
    return created


async def _kill_at_random(
    servers: tuple[ServerProcess, ServerProcess], hosts: list[FakeHost]
) -> None:
    """kill -9, again and again: a server that comes back, or a watcher."""
    chance = random.Random(55)
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))
        if number % 3 == 0:
            server = servers[number % 2]
            server.kill()
            await asyncio.to_thread(server.start)
        else:
            chance.choice(hosts).kill_watcher()


def _reader(servers: tuple[ServerProcess, ServerProcess]) -> Agent:
    messaging, tasks = servers
    return connect("driver", team_id=TEAM, messaging=messaging.address, tasks=tasks.address)


async def _until_done(reader: Agent, hosts: list[FakeHost], created: set[str]) -> None:
    """Wait until all is completed and read; a host that failed ends the wait."""
    async with asyncio.timeout(END_SECONDS):
        while not any(host.fault for host in hosts):
            open_tasks = [task async for task in reader.tasks.list() if task.state != "completed"]
            unread = [each.unacknowledged_count async for each in reader.agents()]
            if not open_tasks and not any(unread):
                return
            await asyncio.sleep(0.1)


async def _completions(reader: Agent) -> Counter[str]:
    events = reader.tasks.events(verbs="complete")
    return Counter([event.task_id async for event in events])


def _cpu_seconds(servers: tuple[ServerProcess, ServerProcess]) -> float:
    times = [psutil.Process(each.process.pid).cpu_times() for each in servers if each.process]
    return sum(each.user + each.system for each in times)
