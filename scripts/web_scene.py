"""Fill a team for a look at the page: agents at work, questions, failures, threads, hostile texts.

.venv/bin/python scripts/web_scene.py --team scene --agents 20 --seconds 120 --me petra
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from dovetail.client import Agent, DovetailError, connect

WORK = (
    (
        "Find out where the export spends its time",
        "Nine tenths go into sorting; an index spares that",
    ),
    ("Resume a broken download where it stopped", "It resumes by ranges, and checks the hash"),
    ("Write the migration guide for 0.2", "Written, with an example for each renamed field"),
    (
        "Check the parser with the corpus of the customer",
        "14 of 2,000 files were refused, all rightly",
    ),
    ("Translate the error texts", "312 texts, 9 are left for a native speaker"),
    ("Measure the cold start on the small machine", "1.9 s, of which 1.2 s are imports"),
    ("Review the change of the scheduler", "Two remarks, one blocks the merge"),
    ("Draft the reply to the incident report", "Drafted, the cause is named in one sentence"),
)
TALK = (
    ("The parser", "Can you look at the parser? It refuses trailing commas."),
    (
        "Numbers of the export",
        "I have 41 s for a million rows, you said 12. Which machine was that?",
    ),
    ("Review", "Two remarks in the change of the scheduler; please read them before you merge."),
    ("Corpus", "The corpus is in the shared folder now, 2,000 files."),
)
QUESTIONS = (
    ("Shall the export go to the bucket of the customer? It has 3.1 GB.", ("approve", "refuse")),
    ("Which branch does the fix go to?", ("main", "release-0.2", "both")),
    ("The test of the importer fails since yesterday. May I skip it for this release?", ()),
)
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(1)</script><b>bold</b>",
    "invoice \u202egpj.exe\u202c and \u2066isolated\u2069 and \u200fmarks",
    "bell \x07 escape \x1b[31mred\x1b[0m backspace \x08 delete \x7f",
    "z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a\u030b\u030c" * 20,
    "w" * 400,
)
LEASE = timedelta(seconds=10)


class Scene:
    """A team with its planner, its agents, and the person that looks at the page."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(7)
        self.agents: list[Agent] = []

    def caller(self, agent_id: str) -> Agent:
        """Act as one of the team."""
        wanted = self.options
        return connect(
            agent_id,
            team_id=wanted.team,
            messaging=wanted.messaging,
            tasks=wanted.tasks,
            insecure=True,
        )

    async def play(self) -> None:
        """Register all, set the special cases, and work until the time is over."""
        me = self.options.me
        async with self.caller("planner") as planner, self.caller(me) as person:
            await person.register(kind="person")
            if not self.options.agents:
                return
            await planner.register(kind="model")
            names = [
                f"{['coder', 'reviewer', 'writer', 'tester'][each % 4]}-{each + 1}"
                for each in range(self.options.agents)
            ]
            gate = asyncio.Semaphore(20)
            await asyncio.gather(*(self._register(gate, name) for name in names))
            busy = names[: self.options.busy]
            self.agents = [self.caller(name) for name in busy]
            await self._specials(planner)
            end = asyncio.get_running_loop().time() + self.options.seconds
            jobs = [self._work(agent, busy, end) for agent in self.agents]
            await asyncio.gather(self._plan(planner, end), *jobs)
            for agent in self.agents:
                await agent.close()

    async def _register(self, gate: asyncio.Semaphore, name: str) -> None:
        async with gate, self.caller(name) as agent:
            await agent.register(kind="service" if name.startswith("tester") else "model")

    async def _plan(self, planner: Agent, end: float) -> None:
        clock = asyncio.get_running_loop().time
        count = 0
        while clock() < end:
            title, _ = self.random.choice(WORK)
            first = await planner.tasks.create(
                title,
                max_tokens=5_000_000,
                description=f"{title}.\n\nSay in one sentence what you found, how sure you are.",
            )
            if count % 3 == 0:
                await planner.tasks.create(f"Review: {title}", depends_on=[first.task_id])
            count += 1
            await asyncio.sleep(self.random.uniform(0.2, 1.2))

    async def _work(self, agent: Agent, names: Sequence[str], end: float) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < end:
            with suppress(DovetailError):
                await self._one(agent, names)
            await asyncio.sleep(self.random.uniform(0.1, 1.5))

    async def _one(self, agent: Agent, names: Sequence[str]) -> None:
        roll = self.random.random()
        if roll < 0.3:
            to = self.random.choice([*names, "planner", self.options.me])
            subject, body = self.random.choice(TALK)
            await agent.send(to, body, subject=subject)
        if roll > 0.6:
            found = await agent.receive(max_messages=3)
            for message in found:
                if (
                    not message.sender_id.startswith(agent.agent_id)
                    and self.random.random() < 0.4
                    and message.subject
                    and message.kind != "notice"
                ):
                    await message.reply("Done: I have looked at it, and left a remark.")
                await message.acknowledge()
        for task_id, token in await self._claimed(agent):
            await self._do(agent, task_id, token)

    async def _claimed(self, agent: Agent) -> list[tuple[str, str]]:
        found = await agent.tasks.claim(lease_duration=LEASE)
        return [(each.task.task_id, each.lease_token) for each in found]

    async def _do(self, agent: Agent, task_id: str, token: str) -> None:
        steps = self.random.randint(2, 6)
        for step in range(steps):
            percent = 100 * step // steps
            used: Any = {
                "input_tokens": 9_000 * step,
                "output_tokens": 700 * step,
                "cost": (f"0.0{step}", "USD"),
            }
            await agent.tasks.heartbeat(
                task_id,
                percent=percent,
                note=f"step {step + 1} of {steps}",
                lease_token=token,
                usage=used,
            )
            await asyncio.sleep(self.random.uniform(0.4, 2.0))
        roll = self.random.random()
        if roll < 0.01:
            text, names = self.random.choice(QUESTIONS)
            offer: dict[str, Any] = {"options": names} if names else {}
            await agent.tasks.ask(
                task_id, text, agent_id=self.options.me, lease_token=token, **offer
            )
        elif roll < 0.16:
            await agent.tasks.fail(
                task_id,
                "The build machine is away: connection refused",
                retryable=True,
                lease_token=token,
            )
        elif roll < 0.2:
            await agent.tasks.fail(
                task_id, "The file that was named is not in the archive", lease_token=token
            )
        else:
            await agent.tasks.complete(task_id, self.random.choice(WORK)[1], lease_token=token)

    async def _specials(self, planner: Agent) -> None:
        me = self.options.me
        first, second = self.agents[0], self.agents[1 % len(self.agents)]
        soon = datetime.now(UTC) + timedelta(seconds=1)
        await planner.tasks.create("Send the weekly figures", due_time=soon, assignee_id="planner")
        dead = await planner.tasks.create(
            "Fetch the mirror of the corpus", max_attempts=1, assignee_id=first.agent_id
        )
        await first.tasks.start(dead.task_id)
        await first.tasks.fail(
            dead.task_id, "HTTP 403 from the mirror, three times", retryable=True
        )
        lost = await planner.tasks.create("Index the archive", assignee_id=second.agent_id)
        await second.tasks.start_leased(lost.task_id, LEASE)
        quiet = await planner.tasks.create("Wait for the build machine", assignee_id=first.agent_id)
        await first.tasks.start(quiet.task_id)
        await first.tasks.heartbeat(quiet.task_id, percent=35, note="the queue has 12 before us")
        spent = await planner.tasks.create(
            "Summarise all minutes of the year", max_tokens=1_000, assignee_id=second.agent_id
        )
        await second.tasks.start(spent.task_id)
        await second.tasks.heartbeat(
            spent.task_id, percent=10, usage={"input_tokens": 1_200, "output_tokens": 100}
        )
        asked = await planner.tasks.create("Publish the release notes", assignee_id=first.agent_id)
        await first.tasks.start(asked.task_id)
        options = {"publish": "at once, to all readers", "wait": "until Monday, with the blog post"}
        await first.tasks.ask(
            asked.task_id,
            "The notes are ready.\n\nShall I publish them now, or wait for the blog post?",
            agent_id=me,
            options=options,
            answer_within=timedelta(minutes=45),
            default_answer="wait",
        )
        await self._circle(planner)
        if self.options.hostile:
            await self._hostile(planner, first)

    async def _circle(self, planner: Agent) -> None:
        """Two agents that have nothing but a question to each other."""
        async with self.caller("editor") as one, self.caller("illustrator") as other:
            await one.register(kind="model")
            await other.register(kind="model")
            for mine, asked in ((one, "illustrator"), (other, "editor")):
                task = await planner.tasks.create(
                    f"The chapter of {mine.agent_id}", assignee_id=mine.agent_id
                )
                await mine.tasks.start(task.task_id)
                await mine.tasks.ask(
                    task.task_id, "How large is the picture to be?", agent_id=asked
                )

    async def _hostile(self, planner: Agent, first: Agent) -> None:
        me = self.options.me
        async with self.caller(
            "\u05e9\u05dc\u05d5\u05dd <b>&amp; \u0442\u0435\u0441\u0442"
        ) as stranger:
            await stranger.register(display_name=HOSTILE[0])
            for text in HOSTILE:
                task = await planner.tasks.create(
                    text[:500], description=text, assignee_id=first.agent_id
                )
                await first.tasks.start(task.task_id)
                await stranger.send(
                    [me, first.agent_id], text, subject=text[:200], task_id=task.task_id
                )
                await first.tasks.ask(
                    task.task_id,
                    text,
                    agent_id=me,
                    options=[" ".join("".join(filter(str.isprintable, text[:100])).split()) or "x"],
                )
            await stranger.send(me, "x\u202ey " * 170_000, subject="one mebibyte")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--team", default="scene")
    parser.add_argument("--agents", type=int, default=20)
    parser.add_argument("--busy", type=int, default=12, help="how many of them work")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--me", default="petra")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--messaging", default=None)
    parser.add_argument("--tasks", default=None)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(Scene(_options()).play())
