"""Teams and credentials: what belongs to the servers themselves, not to a team.

Each change of a credential has a number that grows, and that becomes visible in order, because all
changes lock one row: the counters of the empty team id. So a server that asks for the changes after
a number misses none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Any

from peewee import Expression

from dovetail.server.store.schema import CredentialRow, TeamRow
from dovetail.server.store.transaction import Row, Snapshot, Statement, Transaction, param, params


class Role(IntEnum):
    """What a caller may do."""

    AGENT = 1
    OPERATOR = 2
    OBSERVER = 3
    ADMIN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """A team. `create_time` is None for one that an older release created."""

    team_id: str
    create_time: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What a token stands for, and until when. An admin's has no team; `lifetime` None: no end.

    `creator_id` and `revoker_id` are the credentials that created and ended it, `rotated_id` is the
    one that it replaced.
    """

    credential_id: str
    number: int
    change_number: int
    team_id: str
    agent_id: str
    role: Role
    description: str
    create_time: int
    lifetime: int | None
    expire_time: int | None
    revoke_time: int | None
    creator_id: str
    revoker_id: str
    rotated_id: str

    def ended(self, now: int) -> bool:
        """Whether it was revoked, or has expired at `now`."""
        expired = self.expire_time is not None and self.expire_time <= now
        return expired or self.revoke_time is not None


NO_TEAM = ""
"""The team id under which credentials and teams are written. No team has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of credentials: which ones, after which number. `now` tells which have ended."""

    team_id: str
    agent_id: str
    role: int
    include_ended: bool
    now: int
    after: int
    most: int


_COLUMNS = tuple(getattr(CredentialRow, field.name) for field in fields(Credential))
_ADD = Statement(CredentialRow.insert(params(*_COLUMNS, CredentialRow.token_hash)))
_FIND = Statement(
    CredentialRow.select(*_COLUMNS).where(CredentialRow.credential_id == param("credential_id"))
)
_FIND_TOKEN = Statement(
    CredentialRow.select(*_COLUMNS).where(CredentialRow.token_hash == param("token_hash"))
)
_CHANGED = Statement(
    CredentialRow.select(*_COLUMNS)
    .where(CredentialRow.change_number > param("after"))
    .order_by(CredentialRow.change_number)
)
_LAST_CHANGE = Statement(TeamRow.select(TeamRow.last_event).where(TeamRow.team_id == NO_TEAM))
_CHANGES = (
    CredentialRow.change_number,
    CredentialRow.expire_time,
    CredentialRow.revoke_time,
    CredentialRow.revoker_id,
)
_CHANGE = Statement(
    CredentialRow.update(params(*_CHANGES)).where(
        CredentialRow.credential_id == param("credential_id")
    )
)
_TEAM = Statement(
    TeamRow.select(TeamRow.team_id, TeamRow.create_time).where(TeamRow.team_id == param("team_id"))
)


def insert(transaction: Transaction, credential: Credential, token_hash: bytes) -> None:
    """Write a new credential."""
    transaction.write(_ADD, **_values(credential), token_hash=token_hash)


def change(transaction: Transaction, credential: Credential) -> None:
    """Write when a credential ends, and which credential ended it."""
    values = _values(credential)
    chosen = {field.name: values[field.name] for field in _CHANGES}
    transaction.write(_CHANGE, credential_id=credential.credential_id, **chosen)


def find(snapshot: Snapshot, credential_id: str) -> Credential | None:
    """One credential, or None."""
    row = snapshot.row(_FIND, credential_id=credential_id)
    return _credential(row) if row else None


def find_token(snapshot: Snapshot, token_hash: bytes) -> Credential | None:
    """The credential of a token, or None."""
    row = snapshot.row(_FIND_TOKEN, token_hash=token_hash)
    return _credential(row) if row else None


def last_change(snapshot: Snapshot) -> int:
    """The number of the last change."""
    row = snapshot.row(_LAST_CHANGE)
    return row[0] if row else 0


def changed(snapshot: Snapshot, after: int) -> list[Credential]:
    """The credentials that changed after a number, as they are now."""
    return [_credential(row) for row in snapshot.rows(_CHANGED, after=after)]


def any_admin(snapshot: Snapshot, now: int) -> bool:
    """Whether an admin's credential is valid."""
    query = CredentialRow.select(*_COLUMNS).where(
        CredentialRow.role == int(Role.ADMIN), *_not_ended(now)
    )
    return bool(snapshot.select(query.limit(1)))


def page(snapshot: Snapshot, asked: ListRequest) -> tuple[list[Credential], bool]:
    """A page of credentials in order of creation, and whether more follow."""
    tests = (
        (asked.team_id, CredentialRow.team_id == asked.team_id),
        (asked.agent_id, CredentialRow.agent_id == asked.agent_id),
        (asked.role, CredentialRow.role == asked.role),
    )
    wanted = [condition for given, condition in tests if given]
    if not asked.include_ended:
        wanted += _not_ended(asked.now)
    query = CredentialRow.select(*_COLUMNS).where(CredentialRow.number > asked.after, *wanted)
    rows = snapshot.select(query.order_by(CredentialRow.number).limit(asked.most + 1))
    return [_credential(row) for row in rows[: asked.most]], len(rows) > asked.most


def add_team(transaction: Transaction, team_id: str) -> Team:
    """Create a team that does not exist yet."""
    transaction.add_team(team_id)
    team = find_team(transaction, team_id)
    assert team is not None
    return team


def find_team(snapshot: Snapshot, team_id: str) -> Team | None:
    """One team, or None."""
    row = snapshot.row(_TEAM, team_id=team_id)
    return Team(team_id=row[0], create_time=row[1]) if row else None


def _not_ended(now: int) -> list[Expression]:
    unexpired = CredentialRow.expire_time.is_null() | (CredentialRow.expire_time > now)
    return [CredentialRow.revoke_time.is_null(), unexpired]


def _values(credential: Credential) -> dict[str, Any]:
    values = asdict(credential)
    values["role"] = int(credential.role)
    return values


def _credential(row: Row) -> Credential:
    values: dict[str, Any] = dict(zip((each.name for each in _COLUMNS), row, strict=True))
    values["role"] = Role(values["role"])
    return Credential(**values)
