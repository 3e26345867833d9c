"""Reads requests about teams. For the servicer only."""

from __future__ import annotations

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.server.admin.teams import LIMITS, LOOP_COUNTS, TeamUpdate
from dovetail.server.edge.convert import read_duration, read_optional_number
from dovetail.server.edge.validation import Checks
from dovetail.server.retention import AGES, COUNTS, Retention


def read_team_update(check: Checks, request: pb.UpdateTeamRequest) -> TeamUpdate:
    """New rules for a team."""
    team, given = request.team, request.team.retention
    ages = {name: read_duration(check, f"team.retention.{name}", given, name) for name in AGES}
    counts = {name: read_optional_number(given, name) for name in COUNTS}
    loops = {name: read_optional_number(team.loop_limits, name) for name in LOOP_COUNTS}
    away = read_duration(check, "team.loop_limits.away_max", team.loop_limits, "away_max")
    update = TeamUpdate(
        team_id=team.team_id,
        paths=tuple(request.update_mask.paths),
        retention=Retention(**ages, **counts),
        limits={name: getattr(team.limits, name) for name in LIMITS},
        loop_limits={**loops, "away_max": away},
    )
    update.check(check)
    return update
