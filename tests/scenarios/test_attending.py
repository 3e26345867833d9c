"""Agents that are `dovetail attend` and a small program do rounds of work, while all is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from dovetail.client import Agent, AttemptEnd, TaskState, connect
from support.children import SECONDS
from support.processes import ServerProcess, process_pair
from support.soak import SOAK

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1_800)]

AGENTS = [f"agent-{number}" for number in range(5)]
ROUNDS = 100 if SOAK else 5
"""Of each some ten commands, of 0.3 s each."""
ROUNDS_AT_ONCE = 5
KILL_CHANCE = 0.3
"""Of a kill, each time that the lead hears something."""

UNREAD_SECONDS_MAX = 10.0
PROGRAM = Path(__file__).parent / "teammate.py"


class Attending:
    """One agent: a process that is killed and started again."""

    def __init__(self, agent_id: str, log: Path, environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "dovetail.cli", "attend", "--as", agent_id]
        self._command += [
            "--attempts",
            "100",
            "--concurrency",
            "4",
            "--",
            sys.executable,
            str(PROGRAM),
        ]
        self._log, self._environment = log, environment
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def kill(self, *, with_program: bool) -> None:
        """kill -9, sometimes of what it runs as well; what it left goes on otherwise."""
        programs = psutil.Process(self.process.pid).children()
        self.process.kill()
        self.process.wait()
        for each in programs if with_program else ():
            with suppress(psutil.NoSuchProcess):  # It has just ended.
                each.kill()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(SECONDS)


@contextmanager
def attending(folder: Path, servers: tuple[ServerProcess, ...]) -> Generator[list[Attending]]:
    """The agents, which have ended at the end of the block."""
    messaging, tasks = servers
    environment = {
        **os.environ,
        "DOVETAIL_MESSAGING": messaging.address,
        "DOVETAIL_TASKS": tasks.address,
        "DOVETAIL_PATIENCE": "60s",
        "SEEN": str(folder / "seen"),
    }
    with ExitStack() as stack:
        agents: list[Attending] = []
        for agent_id in AGENTS:
            agent = Attending(agent_id, folder / f"{agent_id}.log", environment)
            stack.callback(lambda a=agent: a.process.poll() is None and a.process.kill())
            agents.append(agent)
        yield agents


class Lead:
    """Who has the rounds done: it asks, assigns when it has the answer, and hears the report."""

    def __init__(self, agent: Agent, kill: Callable[[], None]) -> None:
        self._agent = agent
        self._kill = kill
        self._begun = 0
        self.heard = Counter[str]()

    async def run(self) -> None:
        """Do all rounds, some at once."""
        for _ in range(ROUNDS_AT_ONCE):
            await self._begin()
        async with self._agent.inbox() as inbox:
            async for message in inbox:
                await message.acknowledge()
                for line in message.body.splitlines() if not message.notice else ():
                    await self._hear(line)
                if self._is_done():
                    return

    async def hear_the_rest(self) -> None:
        """What comes after the last report, which would be twice."""
        async with self._agent.inbox() as inbox:
            async for message in inbox.backlog():
                self.heard.update(message.body.splitlines() if not message.notice else ())

    async def _begin(self) -> None:
        """Ask the agent of a round; in every fourth round another agent asks it."""
        number = self._begun
        if number == ROUNDS:
            return
        self._begun += 1
        worker, other = (AGENTS[(number + step) % len(AGENTS)] for step in (0, 1))
        if number % 4 == 0:
            await self._agent.send(other, f"ask {worker} {number}")
        else:
            await self._agent.send(worker, f"question {number}")

    async def _hear(self, line: str) -> None:
        self.heard[line] += 1
        word, _, number = line.partition(" ")
        if self.heard[line] > 1 or word not in ("answer", "report"):
            return
        if word == "answer":
            title = f"Do {number}" + ("!" if int(number) % 5 == 0 else "")
            worker = AGENTS[int(number) % len(AGENTS)]
            await self._agent.tasks.create(
                title, task_id=number, assignee_id=worker, max_attempts=50
            )
        else:
            await self._begin()
        await asyncio.to_thread(self._kill)

    def _is_done(self) -> bool:
        return all(self.heard[f"report {number}"] for number in range(ROUNDS))


async def test_rounds_of_work_lose_nothing_and_report_once(
    sqlite_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    chance, killed = random.Random(14), Counter[str]()
    options = ("--shortest-lease-seconds", "0.5")
    with process_pair(sqlite_url, tmp_path, options) as servers:
        async with connect("lead", messaging=servers[0].address, tasks=servers[1].address) as agent:
            for agent_id in AGENTS:
                await agent.register(agent_id)
            with attending(tmp_path, servers) as agents:

                def kill() -> None:
                    """Kill one of all, at the next good moment, and start it again."""
                    if chance.random() > KILL_CHANCE:
                        return
                    each = chance.choice([*servers, *agents])
                    killed[type(each).__name__] += 1
                    if isinstance(each, ServerProcess):
                        each.kill()
                        each.start(wait=False)
                    else:
                        each.kill(with_program=chance.random() > 0.5)
                        each.start()

                lead = Lead(agent, kill)
                await lead.run()
                for server in servers:
                    await asyncio.to_thread(server.wait_until_serving)
                async for each in agent.agents():
                    while each.agent_id in AGENTS and each.unacknowledged_count:
                        each = await agent.agent(each.agent_id)
                        await asyncio.sleep(0.05)
                await lead.hear_the_rest()
                stopped = {await asyncio.to_thread(each.stop) for each in agents}
                assert stopped <= {0, -signal.SIGTERM}  # That of one that was starting again.
            done = [task.task_id async for task in agent.tasks.list(states=TaskState.COMPLETED)]
            completed = Counter[str]()
            for task_id in done:
                async for attempt in agent.tasks.attempts(task_id):
                    completed[task_id] += attempt.end is AttemptEnd.COMPLETED
    seen = [line.split() for line in (tmp_path / "seen").read_text().splitlines()]
    first = {(agent_id, sequence): float(waited) for agent_id, sequence, waited in reversed(seen)}
    unread = sum(waited > UNREAD_SECONDS_MAX for waited in first.values())
    twice = sum(count - 1 for count in lead.heard.values())
    lost = ROUNDS - len(done)
    report_figures(
        f"{ROUNDS} rounds, killed {dict(killed)}: lost {lost}, unread for more than 10 s {unread}"
        f" (longest {max(first.values()):.1f} s), replies twice {twice}, tasks done twice"
        f" {sum(completed.values()) - len(done)}, programs run again {len(seen) - len(first)}"
    )
    expected = {f"{word} {number}": 1 for word in ("answer", "report") for number in range(ROUNDS)}
    assert dict(lead.heard) == expected
    assert sorted(map(int, done)) == list(range(ROUNDS))
