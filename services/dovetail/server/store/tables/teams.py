"""Teams: what each keeps and how much it may keep, and the figures of what it has."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from peewee import SQL

from dovetail.server.retention import Retention
from dovetail.server.store.loop_limits import NO_LIMITS, LoopLimits
from dovetail.server.store.queries import fn
from dovetail.server.store.schema import (
    AgentRow,
    AssigneeFiguresRow,
    MessageRow,
    RemovedAssigneeFiguresRow,
    TeamRow,
)
from dovetail.server.store.tables.task_states import OPEN_STATES, TaskState
from dovetail.server.store.team_counters import Limits
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Row,
    Snapshot,
    Statement,
    Transaction,
    param,
    params,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamFigures:
    """How much a team keeps, and what was removed of it."""

    messages: int = 0
    message_bytes: int = 0
    notices: int = 0
    notice_bytes: int = 0
    unacknowledged_count: int = 0
    agents: int = 0
    tasks: int = 0
    open_tasks: int = 0
    oldest_message_time: int | None = None
    removed_messages: int = 0
    removed_tasks: int = 0
    removed_through_event: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamSettings:
    """A team and its rules. `create_time` is None for one that an older release created."""

    team_id: str
    create_time: int | None
    retention: Retention
    limits: Limits
    loop_limits: LoopLimits = NO_LIMITS

    @classmethod
    def new(cls, team_id: str) -> Self:
        """A team of which nothing is said."""
        return cls(team_id=team_id, create_time=None, retention=Retention(), limits=Limits())


_STATES = (
    "pending_tasks",
    "in_progress_tasks",
    "input_required_tasks",
    "completed_tasks",
    "failed_tasks",
    "cancelled_tasks",
)
_SETTINGS = (
    TeamRow.team_id,
    TeamRow.create_time,
    TeamRow.retention,
    TeamRow.max_inbox_messages,
    TeamRow.max_inbox_bytes,
    TeamRow.max_messages,
    TeamRow.max_bytes,
    TeamRow.max_loop_hops,
    TeamRow.max_loop_thread_messages,
    TeamRow.max_loop_depth,
    TeamRow.max_away,
)
_MINE = TeamRow.team_id == param("team_id")
_FIND = Statement(TeamRow.select(*_SETTINGS).where(_MINE))
_PAGE = Statement(
    TeamRow.select(*_SETTINGS)
    .where(TeamRow.team_id > param("after"))
    .order_by(TeamRow.team_id)
    .limit(param("most"))
)
_SAVE = Statement(TeamRow.update(params(*_SETTINGS[2:])).where(_MINE))
_RETENTION = Statement(TeamRow.select(TeamRow.retention).where(_MINE))
_FIGURES = Statement(
    TeamRow.select(
        TeamRow.message_count,
        TeamRow.message_bytes,
        TeamRow.notice_count,
        TeamRow.notice_bytes,
        TeamRow.removed_message_count,
        TeamRow.removed_task_count,
        TeamRow.removed_event,
    ).where(_MINE)
)
_AGENTS = Statement(
    AgentRow.select(fn.COUNT(SQL("*")), fn.SUM(AgentRow.unacknowledged_count)).where(
        AgentRow.team_id == param("team_id")
    )
)
_OLDEST = Statement(
    MessageRow.select(MessageRow.create_time)
    .where(MessageRow.team_id == param("team_id"))
    .order_by(MessageRow.number)
    .limit(1)
)
_TASKS, _REMOVED_TASKS = (
    Statement(
        model.select(*(fn.SUM(getattr(model, name)) for name in _STATES)).where(
            model.team_id == param("team_id")
        )
    )
    for model in (AssigneeFiguresRow, RemovedAssigneeFiguresRow)
)


def find(snapshot: Snapshot) -> TeamSettings | None:
    """The team of the snapshot, or None."""
    row = snapshot.row(_FIND)
    return _settings(row) if row else None


def page(snapshot: GlobalSnapshot, after: str, most: int) -> list[TeamSettings]:
    """Teams in order of id. The row of no team is left out, as its id comes first."""
    return [_settings(row) for row in snapshot.rows(_PAGE, after=after, most=most)]


def save(transaction: Transaction, settings: TeamSettings) -> None:
    """Write the rules of a team that exists."""
    limits, loops = settings.limits, settings.loop_limits
    rules = {name: each for name, each in asdict(settings.retention).items() if each is not None}
    transaction.write(
        _SAVE,
        retention=json.dumps(rules) if rules else None,
        max_inbox_messages=limits.inbox_messages,
        max_inbox_bytes=limits.inbox_bytes,
        max_messages=limits.messages,
        max_bytes=limits.bytes,
        max_loop_hops=loops.hops,
        max_loop_thread_messages=loops.thread_messages,
        max_loop_depth=loops.depth,
        max_away=loops.away,
    )


def retention(snapshot: Snapshot) -> Retention:
    """What is said of a team."""
    row = snapshot.row(_RETENTION)
    return read_rules(row[0]) if row else Retention()


def figures(snapshot: Snapshot) -> TeamFigures:
    """How much a team keeps. The cost grows with its agents and assignees."""
    row = snapshot.row(_FIGURES)
    if row is None:
        return TeamFigures()
    messages, message_bytes, notices, notice_bytes, *removed = row
    agents, unacknowledged = snapshot.rows(_AGENTS)[0]
    states = kept_tasks(snapshot)
    oldest = snapshot.row(_OLDEST)
    return TeamFigures(
        messages=messages,
        message_bytes=message_bytes,
        notices=notices,
        notice_bytes=notice_bytes,
        unacknowledged_count=int(unacknowledged or 0),
        agents=agents,
        tasks=sum(states.values()),
        open_tasks=sum(states[state] for state in OPEN_STATES),
        oldest_message_time=oldest[0] if oldest else None,
        removed_messages=removed[0],
        removed_tasks=removed[1],
        removed_through_event=removed[2],
    )


def kept_tasks(snapshot: Snapshot) -> dict[TaskState, int]:
    """How many tasks that are kept, and not deleted, are in each state."""
    (all_tasks,), (removed,) = snapshot.rows(_TASKS), snapshot.rows(_REMOVED_TASKS)
    return {
        state: int(all_tasks[state - 1] or 0) - int(removed[state - 1] or 0) for state in TaskState
    }


def _settings(row: Row) -> TeamSettings:
    team_id, create_time, rules, inbox_messages, inbox_bytes, messages, size, *loops = row
    return TeamSettings(
        team_id=team_id,
        create_time=create_time,
        retention=read_rules(rules),
        limits=Limits(
            inbox_messages=inbox_messages, inbox_bytes=inbox_bytes, messages=messages, bytes=size
        ),
        loop_limits=LoopLimits.of(loops) or NO_LIMITS,
    )


def read_rules(text: str | None) -> Retention:
    """The rules of a team's row."""
    rules: dict[str, Any] = json.loads(text) if text else {}
    return Retention(**rules)
