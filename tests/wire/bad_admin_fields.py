"""Bad fields of AdminService: teams and credentials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.server.retention import AGES, COUNTS
from wire.requests import BAD_IDS, Row, made


def credential(**fields: Any) -> a.CreateCredentialRequest:
    return made(
        a.CreateCredentialRequest, fields, team_id="red", agent_id="alice", role=a.ROLE_AGENT
    )


def rotating(**fields: Any) -> a.RotateCredentialRequest:
    return made(a.RotateCredentialRequest, fields, credential_id="c1")


def administration() -> Iterator[Row]:
    """The rows of AdminService, which asks who calls before it looks at a field."""
    wrong: Any = 99
    for value in (*BAD_IDS, ""):
        yield "CreateTeam", a.CreateTeamRequest(team_id=value), "team_id"
        yield "CreateCredential", credential(team_id=value), "team_id"
        yield "CreateCredential", credential(agent_id=value), "agent_id"
        yield "RotateCredential", rotating(credential_id=value), "credential_id"
        yield "RevokeCredential", a.RevokeCredentialRequest(credential_id=value), "credential_id"
    for value in BAD_IDS:
        yield "CreateCredential", credential(agent_id=value, role=a.ROLE_OBSERVER), "agent_id"
        yield "ListCredentials", a.ListCredentialsRequest(team_id=value), "team_id"
        yield "ListCredentials", a.ListCredentialsRequest(agent_id=value), "agent_id"
    for role in (a.ROLE_UNSPECIFIED, wrong):
        yield "CreateCredential", credential(role=role), "role"
    yield "ListCredentials", a.ListCredentialsRequest(role=wrong), "role"
    for role in (a.ROLE_AGENT, a.ROLE_OPERATOR, a.ROLE_OBSERVER):
        yield "CreateCredential", credential(role=role, team_id=""), "team_id"
    yield "CreateCredential", credential(role=a.ROLE_ADMIN, agent_id=""), "team_id"
    yield "CreateCredential", credential(role=a.ROLE_ADMIN, team_id=""), "agent_id"
    for text in ("x" * 257, "\0"):
        yield "CreateCredential", credential(description=text), "description"
    yield from _lengths()
    yield from _rules()
    yield from _admin_pages()


def updating(path: str, **fields: Any) -> a.UpdateTeamRequest:
    team = made(a.Team, fields, team_id="red")
    return a.UpdateTeamRequest(team=team, update_mask=FieldMask(paths=[path]))


def _rules() -> Iterator[Row]:
    """What a team may not be told to keep."""
    method, hour = "UpdateTeam", 3_600
    for value in (*BAD_IDS, ""):
        yield "GetTeam", a.GetTeamRequest(team_id=value), "team_id"
        yield method, updating("limits", team_id=value), "team.team_id"
    for paths in ([], ["team_id"], ["retention.x"], ["effective_retention"], ["limits", "\0"]):
        request = a.UpdateTeamRequest(
            team=a.Team(team_id="red"), update_mask=FieldMask(paths=paths)
        )
        yield method, request, "update_mask"
    too_long = Duration(seconds=36_500 * 24 * hour, nanos=1_000)
    for name in AGES:
        for age in (Duration(seconds=hour - 1), Duration(seconds=-1), Duration(nanos=1), too_long):
            given: dict[str, Any] = {name: age}
            rules = a.Retention(**given)
            yield method, updating("retention", retention=rules), f"team.retention.{name}"
    for name in COUNTS:
        for count in (-1, 10**15 + 1):
            given = {name: count}
            rules = a.Retention(**given)
            path = f"retention.{name}"
            yield method, updating(path, retention=rules), f"team.{path}"
    for name in ("inbox_messages", "inbox_bytes", "messages", "bytes"):
        for count in (-1, 10**15 + 1):
            limits = a.Limits(**{name: count})
            yield method, updating("limits", limits=limits), f"team.limits.{name}"
    yield from _loop_limits(method)


def _loop_limits(method: str) -> Iterator[Row]:
    counts = ("hops_max", "thread_messages_per_hour_max", "depth_max")
    year = 365 * 24 * 3_600
    lengths = (Duration(seconds=59), Duration(seconds=-60), Duration(seconds=year, nanos=1_000))
    values: list[tuple[str, Any]] = [(name, bad) for name in counts for bad in (-1, 10**6 + 1)]
    for name, bad in (*values, *(("away_max", length) for length in lengths)):
        given: dict[str, Any] = {name: bad}
        loops = a.LoopLimits(**given)
        yield method, updating("loop_limits", loop_limits=loops), f"team.loop_limits.{name}"


def _lengths() -> Iterator[Row]:
    longest, grace = 3_650 * 24 * 3_600, 30 * 24 * 3_600
    for length in (Duration(), Duration(nanos=999_999_000), Duration(seconds=longest, nanos=1_000)):
        yield "CreateCredential", credential(lifetime=length), "lifetime"
        yield "RotateCredential", rotating(lifetime=length), "lifetime"
    for length in (Duration(seconds=-1), Duration(seconds=grace, nanos=1_000)):
        yield "RotateCredential", rotating(grace=length), "grace"


def _admin_pages() -> Iterator[Row]:
    for method, make in (
        ("ListTeams", a.ListTeamsRequest),
        ("ListCredentials", a.ListCredentialsRequest),
    ):
        for size in (-1, -(2**31)):
            yield method, make(page_size=size), "page_size"
        for token in ("x", "AAAA", "WyJhIl0", "\0", "A" * 5_000, "W1tb" * 500):
            yield method, make(page_token=token), "page_token"
