"""AdminService: teams, and what there is to know of credentials."""

from __future__ import annotations

import base64
import json
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from security.cells import OK, World, outcome
from support.guarded import ROLES, Guarded, bearer
from support.pair import Metadata, Pair, identity, running_pair
from support.refusals import bad_fields, error_info, failure
from wire.bad_admin_fields import administration
from wire.calling import GARBAGE, LARGE, answer_to
from wire.reflected import methods

HOUR = Duration(seconds=3_600)


async def teams_of(guarded: Guarded, **fields: Any) -> a.ListTeamsResponse:
    """A page of teams."""
    return await guarded.pair.admin.ListTeams(a.ListTeamsRequest(**fields), metadata=guarded.admin)


async def listed(guarded: Guarded, **fields: Any) -> list[a.Credential]:
    """All credentials that a filter chooses, asked for two at a time."""
    found: list[a.Credential] = []
    token = ""
    while True:
        request = a.ListCredentialsRequest(page_size=2, page_token=token, **fields)
        page = await guarded.pair.other_admin.ListCredentials(request, metadata=guarded.admin)
        found += page.credentials
        token = page.next_page_token
        if not token:
            return found


async def rotated(guarded: Guarded, credential: a.Credential, **fields: Any) -> Any:
    """The answer to a rotation."""
    request = a.RotateCredentialRequest(credential_id=credential.credential_id, **fields)
    return await guarded.pair.admin.RotateCredential(request, metadata=guarded.admin)


async def revoked(
    guarded: Guarded, credential: a.Credential, metadata: Metadata = ()
) -> a.Credential:
    """A credential after its revocation."""
    request = a.RevokeCredentialRequest(credential_id=credential.credential_id)
    admin = guarded.pair.admin
    answer = await admin.RevokeCredential(request, metadata=metadata or guarded.admin)
    return answer.credential


def ids(credentials: list[a.Credential]) -> list[str]:
    """What credentials are called."""
    return [each.credential_id for each in credentials]


async def test_a_team_is_made_once(guarded: Guarded) -> None:
    request = a.CreateTeamRequest(team_id="blue")
    first = await guarded.pair.admin.CreateTeam(request, metadata=guarded.admin)
    again = await guarded.pair.other_admin.CreateTeam(request, metadata=guarded.admin)
    assert (first.created, again.created) == (True, False)
    assert first.team.HasField("create_time")
    assert again.team == first.team


async def test_teams_are_listed_page_by_page_in_order_of_id(guarded: Guarded) -> None:
    for team_id in ("é", "blue", "Z", "green"):
        await guarded.team(team_id)
    found: list[str] = []
    page = await teams_of(guarded, page_size=2)
    while True:
        found += [team.team_id for team in page.teams]
        if not page.next_page_token:
            break
        assert len(page.teams) == 2
        page = await teams_of(guarded, page_size=2, page_token=page.next_page_token)
    assert found == ["Z", "blue", "green", "red", "é"]


async def test_the_row_that_counts_credentials_is_no_team(guarded: Guarded) -> None:
    await guarded.made("agent", "red", "alice")
    assert [team.team_id for team in (await teams_of(guarded)).teams] == ["red"]
    page = await teams_of(guarded, page_size=1)
    assert not page.next_page_token
    await guarded.team("blue")
    token = (await teams_of(guarded, page_size=1)).next_page_token
    _, fingerprint = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    text = json.dumps(["", fingerprint]).encode()
    forged = base64.urlsafe_b64encode(text).decode().rstrip("=")
    error = await failure(teams_of(guarded, page_size=1, page_token=forged))
    assert list(bad_fields(error)) == ["page_token"]


async def test_a_team_that_began_without_credentials_is_there_for_them(
    store_url: str, guarded: Guarded
) -> None:
    async with running_pair(store_url) as open_pair:
        request = m.RegisterAgentRequest(display_name="Bob")
        await open_pair.messaging.RegisterAgent(request, metadata=identity("bob", "old"))
    assert [team.team_id for team in (await teams_of(guarded)).teams] == ["old", "red"]
    found = await guarded.pair.messaging.GetAgent(
        m.GetAgentRequest(), metadata=await guarded.agent("bob", "old")
    )
    assert found.agent.display_name == "Bob"


async def test_every_bad_field_is_refused_by_name_and_writes_nothing(shared: Guarded) -> None:
    before = await listed(shared, include_ended=True), await teams_of(shared)
    for method, request, field in administration():
        for stub in (shared.pair.admin, shared.pair.other_admin):
            call = getattr(stub, method)(request, metadata=shared.admin)
            error = await failure(call)
            told = method, str(request), error.details(), bad_fields(error)
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, told
            assert error_info(error).reason == "INVALID_FIELDS", told
            assert list(bad_fields(error)) == [field], told
            assert all(bad_fields(error).values()), told
    assert (await listed(shared, include_ended=True), await teams_of(shared)) == before


async def test_all_that_is_wrong_with_a_credential_is_named_at_once(shared: Guarded) -> None:
    request = a.CreateCredentialRequest(
        team_id=" ",
        agent_id="alice",
        role=a.ROLE_ADMIN,
        description="x" * 257,
        lifetime=Duration(seconds=-1),
    )
    error = await failure(shared.pair.admin.CreateCredential(request, metadata=shared.admin))
    assert set(bad_fields(error)) == {"team_id", "agent_id", "description", "lifetime"}


@pytest.mark.parametrize("payload", [*GARBAGE.values(), LARGE], ids=(*GARBAGE, "too large"))
async def test_garbage_is_refused_by_every_method(shared: Guarded, payload: bytes) -> None:
    reason = "REQUEST_TOO_LARGE" if payload is LARGE else "MALFORMED_REQUEST"
    for channel in (shared.pair.messaging_channel, shared.pair.tasks_channel):
        for path, stream in await methods(channel):
            if ".AdminService/" in path:
                error = await answer_to(channel, path, stream, payload, shared.admin)
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, path
                assert error_info(error).reason == reason, path


@pytest.mark.parametrize(
    ("role", "team_id", "agent_id"),
    [
        ("agent", "red", "alice"),
        ("operator", "red", ""),
        ("operator", "red", "alice"),
        ("observer", "red", ""),
        ("observer", "red", "alice"),
        ("admin", "", ""),
    ],
)
async def test_a_credential_says_what_it_was_made_for(
    guarded: Guarded, role: str, team_id: str, agent_id: str
) -> None:
    (first,) = await listed(guarded)
    made = await guarded.made(role, team_id, agent_id, description="laptop", lifetime=HOUR)
    credential = made.credential
    assert (credential.team_id, credential.agent_id) == (team_id, agent_id)
    assert (credential.role, credential.description) == (ROLES[role], "laptop")
    assert credential.expire_time.seconds == credential.create_time.seconds + HOUR.seconds
    assert credential.creator_credential_id == first.credential_id
    assert not credential.HasField("revoke_time")
    assert (credential.revoker_credential_id, credential.rotated_credential_id) == ("", "")
    assert await listed(guarded) == [first, credential]


async def test_the_longest_and_the_shortest_lifetimes_are_taken(shared: Guarded) -> None:
    for lifetime in (Duration(seconds=1), Duration(seconds=3_650 * 24 * 3_600)):
        await shared.made("operator", "red", description="é" * 256, lifetime=lifetime)
    made = await shared.made("operator", "red")
    assert not made.credential.HasField("expire_time")
    await rotated(shared, made.credential, grace=Duration(seconds=30 * 24 * 3_600))


async def test_a_credential_for_no_team_is_refused_and_writes_nothing(guarded: Guarded) -> None:
    before = await listed(guarded, include_ended=True), await teams_of(guarded)
    error = await failure(guarded.made("agent", "blue", "alice"))
    info = error_info(error)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert (info.reason, info.metadata["team_id"]) == ("TEAM_NOT_FOUND", "blue")
    assert (await listed(guarded, include_ended=True), await teams_of(guarded)) == before


@pytest.mark.parametrize("method", ["RotateCredential", "RevokeCredential"])
async def test_a_credential_that_never_was_is_not_found(shared: Guarded, method: str) -> None:
    request = getattr(a, f"{method}Request")(credential_id="c999999")
    error = await failure(getattr(shared.pair.admin, method)(request, metadata=shared.admin))
    info = error_info(error)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert (info.reason, info.metadata["credential_id"]) == ("CREDENTIAL_NOT_FOUND", "c999999")


async def test_the_agent_of_a_credential_is_registered_once(guarded: Guarded) -> None:
    for role in ("agent", "operator"):
        await guarded.made(role, "red", "alice")
    observer = await guarded.token("observer", "red")
    found = await guarded.pair.messaging.ListAgents(m.ListAgentsRequest(), metadata=observer)
    assert [agent.agent_id for agent in found.agents] == ["alice"]


async def test_credentials_are_listed_by_team_agent_and_role(guarded: Guarded) -> None:
    await guarded.team("blue")
    alice = (await guarded.made("agent", "red", "alice")).credential
    boss = (await guarded.made("operator", "red", "alice")).credential
    blue = (await guarded.made("agent", "blue", "alice")).credential
    bob = (await guarded.made("agent", "blue", "bob")).credential
    (admin,) = await listed(guarded, role=a.ROLE_ADMIN)
    assert await listed(guarded) == [admin, alice, boss, blue, bob]
    assert await listed(guarded, team_id="red") == [alice, boss]
    assert await listed(guarded, agent_id="alice") == [alice, boss, blue]
    assert await listed(guarded, role=a.ROLE_AGENT) == [alice, blue, bob]
    assert await listed(guarded, team_id="blue", agent_id="alice", role=a.ROLE_AGENT) == [blue]
    assert await listed(guarded, team_id="green") == []


async def test_a_page_token_fits_its_own_filter_alone(guarded: Guarded) -> None:
    for agent_id in ("alice", "bob"):
        await guarded.made("agent", "red", agent_id)
    first = a.ListCredentialsRequest(page_size=1, team_id="red")
    page = await guarded.pair.admin.ListCredentials(first, metadata=guarded.admin)
    other = a.ListCredentialsRequest(page_size=1, page_token=page.next_page_token)
    error = await failure(guarded.pair.admin.ListCredentials(other, metadata=guarded.admin))
    assert list(bad_fields(error)) == ["page_token"]


async def test_ended_credentials_are_left_out_unless_asked_for(guarded: Guarded) -> None:
    kept, lost, old, short = [
        (await guarded.made("agent", "red", each, lifetime=lifetime)).credential
        for each, lifetime in (
            ("kept", None),
            ("lost", None),
            ("old", None),
            ("short", Duration(seconds=1)),
        )
    ]
    await revoked(guarded, lost)
    new = (await rotated(guarded, old)).credential
    everything = ids([kept, lost, old, short, new])
    assert ids(await listed(guarded, team_id="red", include_ended=True)) == everything
    living = ids([kept, new])
    while ids(await listed(guarded, team_id="red")) != living:
        assert set(ids(await listed(guarded, team_id="red"))) <= {*living, short.credential_id}


async def test_revoking_again_changes_nothing(guarded: Guarded) -> None:
    (first,) = await listed(guarded)
    other = await guarded.made("admin")
    made = (await guarded.made("agent", "red", "alice")).credential
    once = await revoked(guarded, made)
    assert once.revoker_credential_id == first.credential_id
    assert once.revoke_time.ToNanoseconds() >= made.create_time.ToNanoseconds()
    again = await revoked(guarded, made, bearer(other.token))
    assert again == once
    assert once in await listed(guarded, include_ended=True)


async def test_rotation_records_who_did_it_and_what_was_replaced(guarded: Guarded) -> None:
    other = await guarded.made("admin")
    old = await guarded.made("observer", "red", "alice", description="wall", lifetime=HOUR)
    request = a.RotateCredentialRequest(credential_id=old.credential.credential_id)
    made = await guarded.pair.other_admin.RotateCredential(request, metadata=bearer(other.token))
    new = made.credential
    assert made.token != old.token
    assert new.credential_id != old.credential.credential_id
    assert (new.team_id, new.agent_id, new.role) == ("red", "alice", a.ROLE_OBSERVER)
    assert (new.description, new.rotated_credential_id) == ("wall", old.credential.credential_id)
    assert new.creator_credential_id == other.credential.credential_id
    assert new.expire_time.seconds == new.create_time.seconds + HOUR.seconds
    (before, _) = await listed(guarded, team_id="red", include_ended=True)
    assert before.revoker_credential_id == other.credential.credential_id
    assert not before.HasField("revoke_time")


async def test_a_grace_never_lengthens_a_life(guarded: Guarded) -> None:
    short = await guarded.made("agent", "red", "alice", lifetime=HOUR)
    endless = await guarded.made("agent", "red", "alice")
    for made in (short, endless):
        await rotated(guarded, made.credential, grace=Duration(seconds=7_200))
    found = await listed(guarded, team_id="red")
    by_id = {each.credential_id: each for each in found}
    assert by_id[short.credential.credential_id].expire_time == short.credential.expire_time
    assert by_id[endless.credential.credential_id].HasField("expire_time")
    assert len(found) == 4


async def test_a_rotation_may_give_another_lifetime(guarded: Guarded) -> None:
    made = await guarded.made("agent", "red", "alice", lifetime=HOUR)
    new = (await rotated(guarded, made.credential, lifetime=Duration(seconds=60))).credential
    assert new.expire_time.seconds == new.create_time.seconds + 60


@pytest.mark.parametrize("end", [revoked, rotated])
async def test_what_has_ended_cannot_be_rotated(guarded: Guarded, end: Any) -> None:
    made = await guarded.made("agent", "red", "alice")
    await end(guarded, made.credential)
    before = await listed(guarded, include_ended=True)
    error = await failure(rotated(guarded, made.credential))
    info = error_info(error)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "CREDENTIAL_NOT_ROTATABLE"
    assert info.metadata["credential_id"] == made.credential.credential_id
    assert await listed(guarded, include_ended=True) == before


async def test_an_admin_is_in_no_team(shared: Guarded) -> None:
    world = await World.make(shared)
    admin = await shared.token("admin")
    for team_id in (world.team_id, "default"):
        metadata = (*admin, ("dovetail-team", team_id))
        call = shared.pair.admin.ListTeams(a.ListTeamsRequest(), metadata=metadata)
        assert (await outcome(call))[0] == ("PERMISSION_DENIED", "CALLER_MISMATCH")
    assert (await outcome(shared.pair.admin.ListTeams(a.ListTeamsRequest(), metadata=admin)))[
        0
    ] == OK


async def test_both_servers_hold_the_same_teams_and_credentials(guarded: Guarded) -> None:
    pair: Pair = guarded.pair
    await guarded.made("agent", "red", "alice")
    for method, request in (
        ("ListTeams", a.ListTeamsRequest()),
        ("ListCredentials", a.ListCredentialsRequest()),
    ):
        answers = [
            await getattr(stub, method)(request, metadata=guarded.admin)
            for stub in (pair.admin, pair.other_admin)
        ]
        assert answers[0] == answers[1]
