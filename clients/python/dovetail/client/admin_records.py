"""Teams, what they keep, and credentials, as an admin reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import auto
from typing import TypedDict

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.client.records import Record
from dovetail.client.words import Word, words_of


@words_of(pb.Role)
class Role(Word):
    """What a caller may do."""

    UNKNOWN = auto()
    AGENT = auto()
    OPERATOR = auto()
    OBSERVER = auto()
    ADMIN = auto()


class LoopLimits(Record, of=pb.LoopLimits):
    """What ends exchanges of agents that only answer each other; None: the server's default."""

    hops_max: int | None
    thread_messages_per_hour_max: int | None
    depth_max: int | None
    away_max: timedelta | None
    proto: pb.LoopLimits


class Retention(Record, of=pb.Retention):
    """What a team keeps: ages and counts. None: the servers' default; 0: for ever, or any number.

    A field of its own for each of `RetentionRules`.
    """

    message_age: timedelta | None
    message_count: int | None
    unacknowledged_age: timedelta | None
    notice_age: timedelta | None
    task_age: timedelta | None
    task_count: int | None
    event_age: timedelta | None
    event_count: int | None
    attempt_age: timedelta | None
    attempt_count: int | None
    proto: pb.Retention


class Limits(Record, of=pb.Limits):
    """How much a team may keep, in each inbox and in all; 0: no limit."""

    inbox_messages: int
    inbox_bytes: int
    messages: int
    bytes: int
    proto: pb.Limits


class TeamFigures(Record, of=pb.TeamFigures):
    """How much a team keeps, and what was removed."""

    messages: int
    message_bytes: int
    notices: int
    notice_bytes: int
    unacknowledged_count: int
    agents: int
    tasks: int
    open_tasks: int
    oldest_message_time: datetime | None
    removed_messages: int
    removed_tasks: int
    removed_through_event: int
    proto: pb.TeamFigures


class Team(Record, of=pb.Team):
    """A team. A list has no figures. `loop_limits` is None if none were set for it."""

    team_id: str
    create_time: datetime | None
    retention: Retention | None
    effective_retention: Retention | None
    limits: Limits | None
    figures: TeamFigures | None
    loop_limits: LoopLimits | None
    proto: pb.Team


class RetentionRules(TypedDict, total=False):
    """Rules to set for a team. None: the servers' default; FOREVER or 0: nothing is removed."""

    message_age: timedelta | None
    message_count: int | None
    unacknowledged_age: timedelta | None
    notice_age: timedelta | None
    task_age: timedelta | None
    task_count: int | None
    event_age: timedelta | None
    event_count: int | None
    attempt_age: timedelta | None
    attempt_count: int | None


class LimitValues(TypedDict, total=False):
    """Limits to set for a team; 0: none."""

    inbox_messages: int
    inbox_bytes: int
    messages: int
    bytes: int


class LoopLimitValues(TypedDict, total=False):
    """Loop limits to set for a team. None: the servers' default; 0: none."""

    hops_max: int | None
    thread_messages_per_hour_max: int | None
    depth_max: int | None
    away_max: timedelta | None


FOREVER = timedelta(0)
"""An age that nothing reaches."""


class Credential(Record, of=pb.Credential):
    """Whom a token stands for, and how long. The token itself is nowhere in it."""

    credential_id: str
    team_id: str
    agent_id: str
    role: Role
    description: str
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    creator_credential_id: str
    revoker_credential_id: str
    rotated_credential_id: str
    proto: pb.Credential
