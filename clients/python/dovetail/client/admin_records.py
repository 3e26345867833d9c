"""Teams and credentials, as an admin reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import auto

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


class Team(Record, of=pb.Team):
    """A team. `loop_limits` is None if none were set for it."""

    team_id: str
    create_time: datetime
    loop_limits: LoopLimits | None
    proto: pb.Team


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
