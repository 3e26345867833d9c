"""Writes responses about teams. For the servicer only."""

from __future__ import annotations

from dataclasses import asdict

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.server.admin.teams import LOOP_COUNTS, TeamState
from dovetail.server.edge.convert import optional_duration, optional_timestamp
from dovetail.server.retention import AGES, COUNTS, Retention
from dovetail.server.store.loop_limits import NO_LIMITS, LoopLimits
from dovetail.server.store.tables.teams import TeamFigures


def team_proto(state: TeamState) -> pb.Team:
    """A team."""
    settings = state.settings
    limits = {name: value or 0 for name, value in asdict(settings.limits).items()}
    return pb.Team(
        team_id=settings.team_id,
        create_time=optional_timestamp(settings.create_time),
        retention=_retention(settings.retention),
        effective_retention=_retention(state.effective),
        limits=pb.Limits(**limits),
        loop_limits=_loop_limits(settings.loop_limits),
        figures=_figures(state.figures) if state.figures else None,
    )


def _retention(rules: Retention) -> pb.Retention:
    ages = {name: optional_duration(getattr(rules, name)) for name in AGES}
    counts = {name: getattr(rules, name) for name in COUNTS}
    return pb.Retention(**ages, **counts)


def _loop_limits(limits: LoopLimits) -> pb.LoopLimits | None:
    if limits == NO_LIMITS:
        return None
    counts = {name: getattr(limits, own) for name, own in LOOP_COUNTS.items()}
    return pb.LoopLimits(**counts, away_max=optional_duration(limits.away))


def _figures(figures: TeamFigures) -> pb.TeamFigures:
    values = asdict(figures)
    oldest = optional_timestamp(values.pop("oldest_message_time"))
    return pb.TeamFigures(**values, oldest_message_time=oldest)
