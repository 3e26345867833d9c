"""Five models that use the tools alone do rounds of work, while all around them is killed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.hosts import Workplace, bridges
from bridges.models import TEAM, Team
from dovetail.client import TaskState
from support.processes import ServerProcess
from support.servers import serving
from support.soak import SOAK, full_or_tenth

CALLS_BETWEEN_KILLS = 80
UNREAD_SECONDS_MAX = 10.0


class Killer:
    """Kills a bridge or a server each time that the models have made some calls more."""

    def __init__(self, *servers: ServerProcess) -> None:
        self.kills = Counter[str]()
        self._servers = servers
        self._calls = 0
        self._due = asyncio.Event()
        self._random = random.Random(int.from_bytes(os.urandom(4)))

    def called(self) -> None:
        """Count a call."""
        self._calls += 1
        if self._calls % CALLS_BETWEEN_KILLS == 0:
            self._due.set()

    async def run(self) -> None:
        """Kill, and start servers again, until it is cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            if sum(self.kills.values()) % 3 == 1:
                server = self._random.choice(self._servers)
                server.kill()
                self.kills[server.service] += 1
                await asyncio.to_thread(server.start)
            else:
                self._kill_bridge()

    def _kill_bridge(self) -> None:
        if running := bridges():
            self._random.choice(running).kill()
            self.kills["bridge"] += 1


@pytest.mark.soak
async def test_a_team_of_models_loses_nothing_when_bridges_and_servers_are_killed(
    tmp_path: Path, report_figures: Callable[[str], None]
):
    rounds = full_or_tenth(100)
    options = ("--shortest-lease-seconds", "0.5")
    async with serving(f"sqlite:///{tmp_path}/store.db", tmp_path, options) as servers:
        workplace = Workplace(
            messaging=servers.messaging.address, tasks=servers.tasks.address, team_id="models"
        )
        killer = Killer(*servers.both)
        async with workplace.agent("ada") as ada:
            for agent_id in TEAM:
                await ada.register(agent_id)
        team = Team(workplace=workplace, rounds=rounds, logs=tmp_path, called=killer.called)
        killing = asyncio.create_task(killer.run())
        try:
            await team.work()
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)
            for server in servers.both:
                server.wait_until_serving()
        found = await look_back(team)
    kills = ", ".join(f"{count} {what}" for what, count in sorted(killer.kills.items()))
    report_figures(
        f"{rounds} rounds, {team.calls} calls, killed: {kills}; {found}, longest unread"
        f" {found.longest_unread:.1f} s"
    )
    assert (found.lost, found.unread, found.twice) == (0, 0, 0)
    if SOAK:  # How long a start takes in other runs depends on what else runs.
        assert found.longest_unread < UNREAD_SECONDS_MAX


class Found:
    """What became of a team's work."""

    def __init__(self) -> None:
        self.lost = self.unread = self.twice = 0
        self.longest_unread = 0.0

    def __str__(self) -> str:
        return f"assignments lost {self.lost}, left unread {self.unread}, done twice {self.twice}"


async def look_back(team: Team) -> Found:
    """Compare what the models saw with what the store says."""
    found = Found()
    async with team.workplace.agent("ada") as ada:
        tasks = [task async for task in ada.tasks.list()]
        found.lost += team.rounds - sum(task.state == TaskState.COMPLETED for task in tasks)
        found.twice += len(tasks) - team.rounds
        events = [event async for event in ada.tasks.events()]
        completed = Counter(each.task_id for each in events if each.verb == "complete")
        found.twice += sum(count - 1 for count in completed.values())
        found.twice += sum(max(0, count - 1) for count in team.completions.values())
        assigned = Counter(each.assignee_id for each in events if each.verb in ("create", "assign"))
        found.lost += sum((assigned - team.assignments_shown).values())
        for agent_id in TEAM:
            await look_at_inbox(team, agent_id, found)
    return found


async def look_at_inbox(team: Team, agent_id: str, found: Found) -> None:
    async with (
        team.workplace.agent(agent_id) as agent,
        agent.inbox(include_acknowledged=True) as inbox,
    ):
        async for message in inbox.backlog():
            shown = team.first_shown.get((agent_id, message.sequence))
            found.unread += shown is None or not message.acknowledged
            waited = (shown or 0.0) - message.create_time.timestamp()
            found.longest_unread = max(found.longest_unread, waited)
