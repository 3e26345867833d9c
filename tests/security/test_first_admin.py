"""The first admin: a token in a file, made at the first start, and used at no other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.server.access.tokens import is_token, new_token
from dovetail.server.admin.first_admin import token_in
from dovetail.server.main import ConfigError
from security.cells import outcome
from support.guarded import bearer
from support.pair import running

ENDED = ("UNAUTHENTICATED", "CREDENTIAL_ENDED")
SECONDS_TO_END = 5.0


@asynccontextmanager
async def admin_of(
    store_url: str, file: Path | None, service: str = "messaging"
) -> AsyncGenerator[admin_pb2_grpc.AdminServiceAsyncStub]:
    """A server that asks for credentials."""
    async with (
        running(service, store_url, credentials=True, admin_token_file=file) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield admin_pb2_grpc.AdminServiceStub(channel)


async def admins(
    admin: admin_pb2_grpc.AdminServiceAsyncStub, token: str, include_ended: bool = False
) -> list[a.Credential]:
    """The credentials of all admins, as the one with this token sees them."""
    request = a.ListCredentialsRequest(role=a.ROLE_ADMIN, include_ended=include_ended)
    return list((await admin.ListCredentials(request, metadata=bearer(token))).credentials)


async def revoke(
    admin: admin_pb2_grpc.AdminServiceAsyncStub, credential: a.Credential, token: str
) -> None:
    """End a credential."""
    request = a.RevokeCredentialRequest(credential_id=credential.credential_id)
    await admin.RevokeCredential(request, metadata=bearer(token))


async def start_error(store_url: str, file: Path) -> str:
    """What a server says that does not start."""
    with pytest.raises(ConfigError) as caught:
        async with admin_of(store_url, file):
            pass
    return str(caught.value)


async def test_the_first_start_makes_a_file_for_its_owner_alone(
    store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "new folder" / "admin.token"
    async with admin_of(store_url, file) as admin:
        token = file.read_text()
        assert is_token(token.removesuffix("\n"))
        assert file.stat().st_mode & 0o777 == 0o600
        assert list(file.parent.iterdir()) == [file]
        (first,) = await admins(admin, token.strip())
    assert (first.role, first.team_id, first.agent_id) == (a.ROLE_ADMIN, "", "")
    assert (first.creator_credential_id, first.rotated_credential_id) == ("", "")
    assert not first.HasField("expire_time")


async def test_a_token_that_stands_in_the_file_already_is_taken(
    store_url: str, tmp_path: Path
) -> None:
    file, token = tmp_path / "admin.token", new_token()
    file.write_text(f"{token}\n")
    file.chmod(0o400)
    async with admin_of(store_url, file) as admin:
        assert len(await admins(admin, token)) == 1
    assert file.read_text() == f"{token}\n"


async def test_two_servers_that_start_at_once_have_one_admin(
    store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "admin.token"
    async with AsyncExitStack() as stack:
        both = [admin_of(store_url, file, service) for service in ("messaging", "tasks")]
        servers = await asyncio.gather(*(stack.enter_async_context(each) for each in both))
        seen = [await admins(server, file.read_text().strip()) for server in servers]
    assert len(seen[0]) == 1
    assert seen[0] == seen[1]


def test_many_that_make_the_file_at_once_read_the_same(tmp_path: Path) -> None:
    for number in range(20):
        file = tmp_path / str(number)
        with ThreadPoolExecutor(8) as pool:
            tokens = set(pool.map(token_in, [file] * 8))
        assert tokens == {file.read_text().strip()}
    assert len(list(tmp_path.iterdir())) == 20


async def test_without_the_setting_nobody_becomes_an_admin(store_url: str) -> None:
    async with admin_of(store_url, None) as admin:
        call = admin.ListTeams(a.ListTeamsRequest(), metadata=bearer(new_token()))
        assert (await outcome(call))[0] == ("UNAUTHENTICATED", "CREDENTIAL_UNKNOWN")


async def test_a_later_start_with_a_living_admin_changes_nothing(
    store_url: str, tmp_path: Path
) -> None:
    file, other = tmp_path / "admin.token", tmp_path / "other.token"
    async with admin_of(store_url, file) as admin:
        before = await admins(admin, file.read_text().strip())
    token = file.read_text().strip()
    file.write_text("whatever\n")
    for each in (file, other, None):
        async with admin_of(store_url, each) as admin:
            assert await admins(admin, token, include_ended=True) == before
    assert not other.exists()
    assert file.read_text() == "whatever\n"


def _text(content: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(content)


@pytest.mark.parametrize(
    ("prepare", "mode", "told"),
    [
        (_text(new_token()), 0o640, "has mode 0640"),
        (_text(new_token()), 0o604, "chmod 600"),
        (_text("sesame"), 0o600, "holds no token"),
        (_text(""), 0o600, "holds no token"),
        (_text(f"{new_token()}\n{new_token()}"), 0o600, "holds no token"),
        (lambda file: file.write_bytes(b"\xff\xfe\0"), 0o600, "holds no token"),
        (lambda file: file.mkdir(), 0o700, "Is a directory"),
        (os.mkfifo, 0o600, "not a regular file"),
    ],
    ids=["group", "others", "a word", "nothing", "two tokens", "bytes", "a folder", "a pipe"],
)
async def test_a_file_that_will_not_do_is_refused_in_words(
    sqlite_url: str, tmp_path: Path, prepare: Callable[[Path], object], mode: int, told: str
) -> None:
    file = tmp_path / "admin.token"
    prepare(file)
    file.chmod(mode)
    said = await start_error(sqlite_url, file)
    assert f"--admin-token-file {file}" in said
    assert told in said
    assert "dovetail_" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
async def test_a_file_of_another_user_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    file.write_text(new_token())
    file.chmod(0o600)
    os.chown(file, 12_345, -1)
    assert "belongs to another user (uid 12345)" in await start_error(sqlite_url, file)


async def test_a_file_that_cannot_be_made_is_told_with_its_reason(
    sqlite_url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said = await start_error(sqlite_url, tmp_path / "file" / "admin.token")
    assert f"File exists: '{tmp_path / 'file'}'" in said


async def test_when_all_admins_have_ended_a_new_file_makes_another(
    store_url: str, tmp_path: Path
) -> None:
    old, new = tmp_path / "old.token", tmp_path / "new.token"
    async with admin_of(store_url, old) as admin:
        token = old.read_text().strip()
        (first,) = await admins(admin, token)
        await revoke(admin, first, token)
    said = await start_error(store_url, old)
    assert "given out before" in said
    assert "a file that does not exist yet" in said
    assert token not in said
    async with admin_of(store_url, new) as admin:
        assert len(await admins(admin, new.read_text().strip())) == 1
        call = admin.ListTeams(a.ListTeamsRequest(), metadata=bearer(token))
        assert (await outcome(call))[0] == ENDED


async def test_an_admin_that_has_expired_is_none(store_url: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.token", tmp_path / "new.token"
    async with admin_of(store_url, old) as admin:
        token = old.read_text().strip()
        (first,) = await admins(admin, token)
        request = a.RotateCredentialRequest(
            credential_id=first.credential_id, lifetime=Duration(seconds=1)
        )
        short = (await admin.RotateCredential(request, metadata=bearer(token))).token
        while (await outcome(admins(admin, short)))[0] != ENDED:
            pass
    async with admin_of(store_url, new) as admin:
        (living,) = await admins(admin, new.read_text().strip())
    assert living.rotated_credential_id == ""


async def test_the_token_of_an_agent_makes_no_admin(store_url: str, tmp_path: Path) -> None:
    file, agents = tmp_path / "admin.token", tmp_path / "agent.token"
    async with admin_of(store_url, file) as admin:
        token = file.read_text().strip()
        await admin.CreateTeam(a.CreateTeamRequest(team_id="red"), metadata=bearer(token))
        request = a.CreateCredentialRequest(team_id="red", agent_id="alice", role=a.ROLE_AGENT)
        made = await admin.CreateCredential(request, metadata=bearer(token))
        (first,) = await admins(admin, token)
        await revoke(admin, first, token)
    agents.write_text(made.token)
    agents.chmod(0o600)
    assert "no living admin's" in await start_error(store_url, agents)


async def test_a_server_that_began_before_the_first_admin_hears_of_every_revocation(
    store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "admin.token"
    async with admin_of(store_url, None, "tasks") as early, admin_of(store_url, file) as late:
        token = file.read_text().strip()
        (first,) = await admins(early, token)
        await revoke(late, first, token)
        async with asyncio.timeout(SECONDS_TO_END):
            while (await outcome(admins(early, token)))[0] != ENDED:
                pass
