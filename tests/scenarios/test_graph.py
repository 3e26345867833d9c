"""A graph of tasks, solved by workers from the command line, one of which is killed midway."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.audit import faults, rows
from support.servers import Servers, insist, serving
from support.soak import SOAK, full_or_tenth

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

TASKS = full_or_tenth(500)
WORKERS = 8 if SOAK else 3
LAYER = 20 if SOAK else 5
LEASE_SECONDS = 2
OPTIONS = ("--shortest-lease-seconds", str(LEASE_SECONDS))
FATAL = f"task-{TASKS // 2}"
# Whoever is the first to have the fatal task is killed with it.
PROGRAM = """
    cat > /dev/null
    test $DOVETAIL_TASK_ID = {fatal} && mkdir {doom} && kill -9 $PPID && exit 1
    echo $DOVETAIL_TASK_ID is done
"""
EVENTS = "SELECT number, task_id, verb FROM task_events ORDER BY number"


async def test_workers_solve_a_graph_though_one_is_killed_midway(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    graph = _layered_graph()
    async with serving(store_url, tmp_path, OPTIONS) as servers:
        await _create(servers, graph)
        with _working(servers, PROGRAM.format(fatal=FATAL, doom=tmp_path / "doom")) as workers:
            assert await _watch(servers) == graph.keys()
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            codes = [await asyncio.to_thread(worker.wait, 30) for worker in workers]
    assert sorted(codes) == [-signal.SIGKILL, *[0] * (WORKERS - 1)]
    events = rows(store_url, EVENTS)
    assert FATAL in [task_id for _, task_id, verb in events if verb == "EXPIRE_LEASE"]
    _check_order(graph, events)
    assert faults(store_url) == []
    report_figures(f"{TASKS} tasks, {WORKERS} workers, one killed midway: all done, in order")


def _layered_graph() -> dict[str, list[str]]:
    """What each task waits for: up to three of the layer before its own."""
    chance = random.Random(500)
    graph: dict[str, list[str]] = {}
    before: list[str] = []
    for first in range(0, TASKS, LAYER):
        layer = [f"task-{number}" for number in range(first, min(first + LAYER, TASKS))]
        for task_id in layer:
            graph[task_id] = chance.sample(before, min(len(before), chance.randint(1, 3)))
        before = layer
    return graph


async def _create(servers: Servers, graph: dict[str, list[str]]) -> None:
    """Make all tasks at once, those first that wait for others."""
    request = pb.BatchCreateTasksRequest(request_id="graph")
    for task_id, depends_on in reversed(graph.items()):
        request.requests.add(task_id=task_id, title="a part", depends_on=depends_on)
    await insist(servers.tasks_stub.BatchCreateTasks, request, "planner")


@contextmanager
def _working(servers: Servers, program: str) -> Generator[list[subprocess.Popen[bytes]]]:
    """Run workers that have a program do their tasks; at the end none is left."""
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(WORKERS):
            words = ("--as", f"worker-{number}", "--lease", f"{LEASE_SECONDS}s")
            command = [*_reaching(servers, "worker"), *words, "sh", "-c", program]
            workers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(30)


async def _watch(servers: Servers) -> set[str]:
    """Watch from the command line until all has ended: which tasks were completed."""
    command = [*_reaching(servers, "task", "graph"), "--watch", "--json"]
    watcher = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await watcher.communicate()
    assert watcher.returncode == 0
    states = {task["task_id"]: task["state"] for task in map(json.loads, output.splitlines())}
    return {task_id for task_id, state in states.items() if state == "completed"}


def _reaching(servers: Servers, *words: str) -> list[str]:
    """A command that reaches these servers."""
    addresses = ("--messaging", servers.messaging.address, "--tasks", servers.tasks.address)
    return [sys.executable, "-m", "dovetail.cli", *words, *addresses]


def _check_order(graph: dict[str, list[str]], events: list[tuple[int, str, str]]) -> None:
    """Nothing was begun before all that it waits for was completed, once."""
    completed = {task_id: number for number, task_id, verb in events if verb == "COMPLETE"}
    assert len([verb for _, _, verb in events if verb == "COMPLETE"]) == len(completed) == TASKS
    for number, task_id, verb in events:
        if verb == "CLAIM":
            assert all(completed[other] < number for other in graph[task_id])
