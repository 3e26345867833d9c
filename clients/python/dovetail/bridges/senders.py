"""Who wrote a text, by the directory of the team."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from dovetail.bridges.fences import Origin, origin_of
from dovetail.client import Agent, AgentRecord, DovetailError

SENDERS_KEPT = 500
LABELS_AGE = timedelta(minutes=1)

Labels = Mapping[str, str] | None


def labels_of(agent: AgentRecord) -> Mapping[str, str]:
    """The labels of an agent, with its kind where that marks it as a person."""
    return {**agent.labels, "kind": "person"} if agent.kind == "person" else agent.labels


class Senders:
    """What the directory says of senders, kept for a minute."""

    def __init__(self, agent: Agent) -> None:
        """Know nobody yet."""
        self._agent = agent
        self._known: OrderedDict[str, tuple[datetime, Labels]] = OrderedDict()

    async def origin(self, sender_id: str, time: datetime | None = None) -> Origin:
        """The origin of a text of this agent."""
        return origin_of(sender_id, time, await self._labels(sender_id) if sender_id else None)

    async def _labels(self, agent_id: str) -> Labels:
        now = datetime.now(UTC)
        read_time, labels = self._known.get(agent_id, (None, None))
        if read_time is None or now - read_time > LABELS_AGE:
            labels = await self._read(agent_id)
            self._known[agent_id] = (now, labels)
            self._known.move_to_end(agent_id)
            if len(self._known) > SENDERS_KEPT:
                self._known.popitem(last=False)
        return labels

    async def _read(self, agent_id: str) -> Labels:
        """Labels are a courtesy: a text is shown without them when they cannot be read."""
        try:
            return labels_of(await self._agent.agent(agent_id))
        except DovetailError:
            return None
