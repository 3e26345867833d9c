"""Open questions of all teams: those whose deadline has passed, and those of agents away.

Away are agents that have let a question wait for long, and were not seen meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from peewee import SQL

from dovetail.server.store.queries import fn
from dovetail.server.store.schema import AgentRow, TaskRow, TeamRow
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.transaction import GlobalSnapshot, Statement, param


class OldQuestion(NamedTuple):
    """The question of a task, the agent to which it is put, and how long that may be away."""

    team_id: str
    task_id: str
    asked_id: str
    away: int


_AWAY = fn.COALESCE(TeamRow.max_away, param("away"))
_TEAM, _TASK = TaskRow.team_id, TaskRow.task_id
_IS_LATER = (param("after_team") < _TEAM) | (
    (param("after_team") == _TEAM) & (param("after_task") < _TASK)
)
# The state is written out, so that the index on open questions fits.
_OLD = Statement(
    TaskRow.select(_TEAM, _TASK, TaskRow.asked_id, _AWAY)
    .join(TeamRow, on=TeamRow.team_id == _TEAM)
    .join(
        AgentRow,
        on=(AgentRow.team_id == _TEAM) & (AgentRow.agent_id == TaskRow.asked_id),
        src=TaskRow,
    )
    .where(
        TaskRow.state == SQL(str(int(TaskState.INPUT_REQUIRED))),
        TaskRow.away_told == SQL("0"),
        _IS_LATER,
        _AWAY > 0,
        TaskRow.ask_time <= param("now") - _AWAY,
        AgentRow.last_seen_time <= param("now") - _AWAY,
    )
    .order_by(_TEAM, _TASK)
    .limit(param("most"))
)


# The conditions repeat those of the index on deadlines, or SQLite would not use it.
_DUE = Statement(
    TaskRow.select(_TEAM, _TASK)
    .where(
        TaskRow.question_deadline_time.is_null(False),
        TaskRow.state == SQL(str(int(TaskState.INPUT_REQUIRED))),
        TaskRow.question_deadline_time <= param("now"),
    )
    .order_by(TaskRow.question_deadline_time)
    .limit(param("most"))
)


class Look(NamedTuple):
    """A look at the questions of all teams: at what time, and after which task."""

    now: int
    away: int
    """How long an agent may be away where its team says nothing; 0: for ever."""

    after: tuple[str, str] = ("", "")
    most: int = 0


def old(snapshot: GlobalSnapshot, look: Look) -> list[OldQuestion]:
    """Old questions of which nobody was told yet, in order of team and task."""
    team_id, task_id = look.after
    rows = snapshot.rows(
        _OLD,
        now=look.now,
        away=look.away,
        after_team=team_id,
        after_task=task_id,
        most=look.most,
    )
    return [OldQuestion._make(row) for row in rows]


def due(snapshot: GlobalSnapshot, now: int, most: int) -> list[tuple[str, str]]:
    """The team and task of open questions whose deadline has passed."""
    return [(team_id, task_id) for team_id, task_id in snapshot.rows(_DUE, now=now, most=most)]
