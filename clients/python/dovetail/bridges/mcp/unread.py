"""The line with which every answer ends: what waits in the inbox, and what was lost meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from dovetail.bridges.fences import word
from dovetail.client import Agent, DovetailError

HIGH_COUNTED_MAX = 9
LINE_SECONDS = 3.0
"""How long the line may take: an answer does not wait for an outage of messaging."""


async def unread_line(agent: Agent, lost: list[str]) -> str:
    """`unread 3, oldest 4 min, 1 high`; never raises for a server that does not answer."""
    try:
        async with asyncio.timeout(LINE_SECONDS):
            line = await _counts(agent)
    except (DovetailError, TimeoutError):
        line = "unread unknown: messaging does not answer"
    return f"{line}; no longer yours: {', '.join(map(word, lost))}" if lost else line


async def _counts(agent: Agent) -> str:
    me = await agent.agent()
    if not me.unacknowledged_count:
        return "unread 0"
    oldest, high = await asyncio.gather(_oldest(agent, me.agent_id), _high(agent, me.agent_id))
    line = f"unread {me.unacknowledged_count:,}"
    if oldest:
        line += f", oldest {passed(oldest)}"
    if high:
        line += f", {high}{'+' if high > HIGH_COUNTED_MAX else ''} high"
    return line


async def _oldest(agent: Agent, agent_id: str) -> datetime | None:
    """When the oldest unacknowledged message was sent."""
    found = agent.messages(recipient_id=agent_id, states="unacknowledged", page_size=1)
    async for each in found:
        return each.message.create_time
    return None


async def _high(agent: Agent, agent_id: str) -> int:
    """How many unacknowledged messages are of high importance, up to one more than are counted."""
    found = agent.messages(
        recipient_id=agent_id,
        states="unacknowledged",
        minimum_importance="high",
        page_size=HIGH_COUNTED_MAX + 1,
    )
    count = 0
    async for _ in found:
        count += 1
        if count > HIGH_COUNTED_MAX:
            break
    return count


def passed(time: datetime) -> str:
    """How long ago, in its largest unit."""
    seconds = max(0, int((datetime.now(UTC) - time).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
