"""Administration by the client: teams and credentials, through either server."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from dovetail.client import (
    ConfigurationError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
    admin,
    blocking,
    connect,
)
from dovetail.client.admin import Admin, Credential, Role, connect_admin
from dovetail.server.runtime import RunningServer
from support.pair import running
from support.processes import ServerProcess, free_port

ConnectAdmin = Callable[..., AbstractAsyncContextManager[Admin]]


class Relay:
    """Stands between a client and a server; may keep the answers to itself, and hang up."""

    def __init__(self, address: str) -> None:
        """Relay to the server at `address`."""
        self._host, _, self._port = address.rpartition(":")
        self._open: list[asyncio.StreamWriter] = []
        self.mute = False

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[str]:
        """Relay inside the block, at the address it gives."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self.hang_up()
            server.close()

    def hang_up(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.pop().close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_connection(self._host, int(self._port))
        self._open += [writer, on]
        await asyncio.gather(self._pass(reader, on), self._pass(there, writer, back=True))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while content := await reader.read(65_536):
                if not (back and self.mute):
                    writer.write(content)
        writer.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Where the first admin's token stands."""
    return tmp_path / "admin.token"


@pytest.fixture
async def servers(
    sqlite_url: str, token_file: Path
) -> AsyncGenerator[tuple[RunningServer, RunningServer]]:
    """Both services, asking for credentials."""

    guarded = {"credentials": True, "admin_token_file": token_file}
    async with (
        running("messaging", sqlite_url, **guarded) as one,
        running("tasks", sqlite_url, **guarded) as other,
    ):
        yield one, other


@pytest.fixture
def connected(servers: tuple[RunningServer, RunningServer], token_file: Path) -> ConnectAdmin:
    """`connect_admin` to these servers, as their first admin."""
    messaging, tasks = servers
    return partial(
        connect_admin, messaging=messaging.address, tasks=tasks.address, token_file=token_file
    )


@pytest.fixture
async def root(connected: ConnectAdmin) -> AsyncGenerator[Admin]:
    """The first admin."""
    async with connected() as admin:
        yield admin


async def test_a_team_is_made_once_and_listed(root: Admin):
    made = await root.create_team("red")
    assert await root.create_team("red") == made
    await root.create_team("blue")
    assert [team.team_id async for team in root.teams(page_size=1)] == ["blue", "red"]


async def test_a_token_opens_the_door_for_whom_it_names(
    root: Admin, servers: tuple[RunningServer, RunningServer]
):
    await root.create_team("red")
    before = datetime.now(UTC)
    credential, token = await root.create_token(
        team_id="red", agent_id="alice", description="laptop", lifetime=timedelta(days=1)
    )
    assert (credential.team_id, credential.agent_id, credential.role, credential.description) == (
        "red",
        "alice",
        "agent",
        "laptop",
    )
    ends = credential.expire_time - timedelta(days=1)
    assert before <= ends <= datetime.now(UTC)
    messaging, tasks = servers
    async with connect(messaging=messaging.address, tasks=tasks.address, token=token) as alice:
        await alice.send("alice", "a note to myself")
        assert [message.sender_id for message in await alice.receive()] == ["alice"]


async def test_credentials_are_chosen_by_team_agent_role_and_end(root: Admin):
    await root.create_team("red")
    agent, _ = await root.create_token(team_id="red", agent_id="alice")
    operator, _ = await root.create_token(team_id="red", role="operator")
    await root.revoke(operator.credential_id)

    async def listed(**chosen: object) -> list[str]:
        found = root.credentials(page_size=1, **chosen)  # type: ignore[arg-type]
        return [each.credential_id async for each in found]

    first = (await listed())[0]
    assert await listed() == [first, agent.credential_id]
    assert await listed(include_ended=True) == [first, agent.credential_id, operator.credential_id]
    assert await listed(team_id="red") == [agent.credential_id]
    assert await listed(agent_id="alice") == [agent.credential_id]
    assert await listed(role=Role.ADMIN) == [first]


async def test_rotating_answers_another_token_and_revoking_ends_it(root: Admin):
    await root.create_team("red")
    old, token = await root.create_token(team_id="red", agent_id="alice")
    new, other = await root.rotate(
        old.credential_id, grace=timedelta(minutes=10), lifetime=timedelta(days=2)
    )
    assert (new.rotated_credential_id, new.agent_id) == (old.credential_id, "alice")
    assert token != other
    soon = (await anext(root.credentials(agent_id="alice"))).expire_time
    assert timedelta() < soon - datetime.now(UTC) <= timedelta(minutes=10)
    ended = await root.revoke(new.credential_id)
    assert ended.revoke_time is not None
    assert await root.revoke(new.credential_id) == ended
    with pytest.raises(FailedPreconditionError, match=new.credential_id):
        await root.rotate(new.credential_id)


async def test_what_is_wrong_is_the_typed_error(root: Admin):
    with pytest.raises(NotFoundError, match="purple"):
        await root.create_token(team_id="purple", agent_id="alice")
    with pytest.raises(NotFoundError, match="c999"):
        await root.revoke("c999")
    with pytest.raises(InvalidArgumentError) as caught:
        await root.create_token(team_id="red")
    assert [fault.field for fault in caught.value.violations] == ["agent_id"]


async def test_only_an_admin_administers(root: Admin, connected: ConnectAdmin):
    await root.create_team("red")
    _, token = await root.create_token(team_id="red", role="operator")
    async with connected(token_file=None, token=token) as operator:
        with pytest.raises(PermissionDeniedError) as caught:
            await operator.create_team("blue")
    assert caught.value.reason == "ROLE_REFUSED"
    async with connected(token_file=None) as nobody:
        with pytest.raises(UnauthenticatedError):
            await nobody.create_team("blue")


def write(token_file: Path) -> None:
    """Make a file as of a token."""
    token_file.touch(0o600)
    token_file.write_text("dovetail_x")


async def test_a_token_does_not_go_to_another_machine_in_the_clear(token_file: Path):
    write(token_file)
    with pytest.raises(ConfigurationError, match="TLS"):
        async with connect_admin(messaging="192.0.2.1:50051", token_file=token_file):
            pass


@pytest.mark.parametrize("down", ["messaging", "tasks"])
async def test_either_server_is_enough(connected: ConnectAdmin, down: str):
    async with connected(**{down: f"127.0.0.1:{free_port()}"}) as admin:
        await admin.create_team("red")
        credential, _ = await admin.create_token(team_id="red", agent_id="alice")
        await admin.rotate(credential.credential_id)
        assert len([each async for each in admin.credentials(agent_id="alice")]) == 1


async def test_without_any_server_it_gives_up_in_time_and_names_the_first(token_file: Path):
    write(token_file)
    gone = f"127.0.0.1:{free_port()}"
    async with connect_admin(
        messaging=gone, tasks=f"127.0.0.1:{free_port()}", token_file=token_file, patience=0.1
    ) as admin:
        with pytest.raises(UnavailableError) as caught:
            await admin.create_team("red")
    assert caught.value.address == gone


async def test_a_call_waits_until_a_server_is_up(
    sqlite_url: str, token_file: Path, servers: tuple[RunningServer, RunningServer]
):
    port = free_port()
    async with connect_admin(
        messaging=f"127.0.0.1:{port}", tasks=f"127.0.0.1:{free_port()}", token_file=token_file
    ) as admin:
        call = asyncio.ensure_future(admin.create_team("red"))
        listen = f"127.0.0.1:{port}"
        async with running("messaging", sqlite_url, listen=listen, credentials=True):
            assert (await call).team_id == "red"


@pytest.mark.parametrize("call", ["create_token", "rotate"])
async def test_what_may_have_made_a_token_is_not_done_again(
    call: str, root: Admin, connected: ConnectAdmin, servers: tuple[RunningServer, RunningServer]
):
    await root.create_team("red")
    old, _ = await root.create_token(team_id="red", agent_id="bob")
    relay = Relay(servers[0].address)
    async with relay.listening() as address, connected(messaging=address) as admin:
        await admin.create_team("red")
        relay.mute = True
        made = asyncio.ensure_future(
            admin.create_token(team_id="red", agent_id="bob")
            if call == "create_token"
            else admin.rotate(old.credential_id, grace=timedelta(days=1))
        )
        bobs: list[Credential] = []
        while len(bobs) < 2:
            bobs = [each async for each in root.credentials(agent_id="bob")]
        relay.hang_up()
        with pytest.raises(UnavailableError):
            await made
        relay.mute = False
        assert len([each async for each in admin.credentials(agent_id="bob")]) == 2


async def test_what_repeats_harmlessly_is_done_again_at_the_other_server(
    root: Admin, connected: ConnectAdmin, servers: tuple[RunningServer, RunningServer]
):
    relay = Relay(servers[0].address)
    async with relay.listening() as address, connected(messaging=address) as admin:
        await admin.create_team("red")
        relay.mute = True
        made = asyncio.ensure_future(admin.create_team("blue"))
        teams: list[str] = []
        while "blue" not in teams:
            teams = [each.team_id async for each in root.teams()]
        relay.mute = False
        relay.hang_up()
        assert (await made).team_id == "blue"


def test_the_blocking_face_has_every_method() -> None:
    source = inspect.getsource(blocking.Admin)
    methods = [name for name in vars(admin.Admin) if not name.startswith("_")]
    assert methods
    for method in methods:
        assert re.search(rf"self\.{method} = .*\.{method}\b", source), method


def test_administration_without_asyncio(sqlite_url: str, tmp_path: Path, token_file: Path) -> None:
    script = f"""
from dovetail.client.blocking import connect, connect_admin

with connect_admin(messaging=ADDRESS, token_file={str(token_file)!r}) as admin:
    admin.create_team("red")
    print([team.team_id for team in admin.teams()])
    made, token = admin.create_token(team_id="red", agent_id="alice")
    with connect(messaging=ADDRESS, token=token) as alice:
        print(alice.agent().agent_id)
    new, _ = admin.rotate(made.credential_id)
    admin.revoke(new.credential_id)
    print([each.agent_id for each in admin.credentials(include_ended=True)])
"""
    options = ("--credentials", "--admin-token-file", str(token_file))
    log = tmp_path / "messaging.log"
    with ServerProcess("messaging", sqlite_url, log, options=options) as server:
        done = subprocess.run(
            [sys.executable, "-c", script.replace("ADDRESS", repr(server.address))],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["['red']", "alice", "['', 'alice', 'alice']"]
