"""The client's side of credentials: where a token comes from, where it goes, how it is renewed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from dovetail.admin.v1 import admin_pb2
from dovetail.client import (
    Agent,
    PermissionDeniedError,
    Tls,
    UnauthenticatedError,
    UnavailableError,
    blocking,
    connect,
)
from support.certificates import Authority
from support.guarded import Guarded, guarded_pair
from support.pair import running
from support.tokens import TOKEN, fault, written
from support.waiting import until

UNKNOWN = "dovetail_" + "u" * 43

Connect = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
async def guarded(sqlite_url: str, tmp_path: Path, audit_log: Path) -> AsyncGenerator[Guarded]:
    async with guarded_pair(sqlite_url, tmp_path, audit_log=audit_log) as guarded:
        yield guarded


@pytest.fixture
def connected(guarded: Guarded) -> Connect:
    """`connect` to servers that ask for credentials."""
    pair = guarded.pair
    return partial(connect, messaging=pair.messaging_address, tasks=pair.tasks_address)


async def ended(guarded: Guarded, made: admin_pb2.CreateCredentialResponse) -> None:
    """Revoke a credential."""
    request = admin_pb2.RevokeCredentialRequest(credential_id=made.credential.credential_id)
    await guarded.pair.admin.RevokeCredential(request, metadata=guarded.admin)


def refusals(audit_log: Path, method: str) -> list[str]:
    """The reasons for which calls of a method were refused."""
    lines = [json.loads(line) for line in audit_log.read_text().splitlines()]
    return [
        line["reason"]
        for line in lines
        if line["audit"] == "refused" and line["method"].endswith(method)
    ]


# Where a token comes from.


async def test_a_token_says_who_calls(guarded: Guarded, connected: Connect):
    token = (await guarded.made("agent", "red", "alice")).token
    async with connected(token=token) as alice:
        await alice.send("alice", "hello")
        async with alice.inbox() as inbox:
            message = await anext(inbox)
        assert (message.sender_id, message.body) == ("alice", "hello")
        assert (await alice.tasks.create("work")).creator_id == "alice"


async def test_the_blocking_client_has_a_token_too(guarded: Guarded):
    token = (await guarded.made("agent", "red", "alice")).token
    connected = partial(blocking.connect, messaging=guarded.pair.messaging_address, token=token)

    def registered() -> str:
        with connected() as alice:
            return alice.register().agent_id

    assert await asyncio.to_thread(registered) == "alice"


async def test_a_file_may_hold_the_token(guarded: Guarded, connected: Connect, token_file: Path):
    token = (await guarded.made("agent", "red", "alice")).token
    for content in (token, token + "\n", token + "\r\n"):
        written(token_file, content)
        for name in (token_file, str(token_file)):
            async with connected(token_file=name) as alice:
                assert (await alice.agent()).agent_id == "alice"


async def test_the_environment_may_name_the_token_or_its_file(
    guarded: Guarded, connected: Connect, token_file: Path, monkeypatch: pytest.MonkeyPatch
):
    for agent_id, variable in (("alice", "DOVETAIL_TOKEN"), ("bob", "DOVETAIL_TOKEN_FILE")):
        token = (await guarded.made("agent", "red", agent_id)).token
        value = token if variable == "DOVETAIL_TOKEN" else str(written(token_file, token))
        with monkeypatch.context() as environment:
            environment.setenv(variable, value)
            async with connected() as agent:
                assert (await agent.agent()).agent_id == agent_id


async def test_what_is_given_goes_before_the_environment(
    guarded: Guarded, connected: Connect, token_file: Path, monkeypatch: pytest.MonkeyPatch
):
    token = (await guarded.made("agent", "red", "alice")).token
    monkeypatch.setenv("DOVETAIL_TOKEN", UNKNOWN)
    for given in ({"token": token}, {"token_file": written(token_file, token)}):
        async with connected(**given) as alice:
            assert (await alice.agent()).agent_id == "alice"


async def test_two_tokens_are_one_too_many(token_file: Path, monkeypatch: pytest.MonkeyPatch):
    assert "only one" in await fault(token=TOKEN, token_file=token_file)
    monkeypatch.setenv("DOVETAIL_TOKEN", TOKEN)
    monkeypatch.setenv("DOVETAIL_TOKEN_FILE", str(token_file))
    assert "DOVETAIL_TOKEN and DOVETAIL_TOKEN_FILE" in await fault()


# Where it goes.


@pytest.mark.parametrize(
    "address",
    ["dove.example:1", "10.0.0.1:1", "[2001:db8::1]:1", "localhost.dove.example:1", "x:1"],
)
async def test_a_token_is_not_sent_in_the_clear_to_another_machine(address: str):
    assert f"{address} may be another machine" in await fault(token=TOKEN, messaging=address)
    assert "without TLS" in await fault(token=TOKEN, tasks=address)
    for tls, insecure in ((None, True), (Tls(), False)):
        async with connect(token=TOKEN, messaging=address, tls=tls, insecure=insecure):
            pass
    async with connect("alice", messaging=address):
        pass


async def test_one_address_of_several_is_enough_to_refuse():
    assert "10.0.0.1:1 may" in await fault(token=TOKEN, messaging="127.0.0.1:1,10.0.0.1:1")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "localhost:1"])
async def test_a_token_may_stay_on_this_machine(address: str):
    async with connect(token=TOKEN, messaging=address):
        pass


async def test_a_token_goes_through_a_unix_socket(
    guarded: Guarded, sqlite_url: str, tmp_path: Path
):
    token = (await guarded.made("agent", "red", "alice")).token
    listen = f"unix:{tmp_path}/socket"
    async with (
        running("messaging", sqlite_url, listen=listen, credentials=True) as server,
        connect(messaging=server.address, token=token) as alice,
    ):
        assert (await alice.agent()).agent_id == "alice"


async def test_no_proxy_sees_a_token_that_stays_on_this_machine(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    token = (await guarded.made("agent", "red", "alice")).token
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        async with connect(messaging=guarded.pair.messaging_address, token=token) as alice:
            assert (await alice.agent()).agent_id == "alice"
        with pytest.raises(BlockingIOError):
            proxy.accept()


async def test_tls_may_be_named_by_the_environment(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    authority = Authority(folder=tmp_path / "authority")
    monkeypatch.setenv("DOVETAIL_TLS_CA", str(authority.ca))
    async with connect("alice", messaging="127.0.0.1:1", patience=0) as alice:
        with pytest.raises(UnavailableError):
            await alice.register()
    authority.ca.write_text("nobody")
    assert f"{authority.ca}: there is no certificate in it" in await fault()


async def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path):
    authority = Authority(folder=tmp_path / "authority")
    tls, other = authority.client("alice"), authority.client("bob")
    none, nobody = tmp_path / "none", written(tmp_path / "nobody", "nobody")
    for given, why in (
        (Tls(ca=none), f"{none}: No such file"),
        (Tls(ca=nobody), f"{nobody}: there is no certificate in it"),
        (Tls(cert=tls.cert), "both: cert and key"),
        (Tls(key=tls.key), "both: cert and key"),
        (Tls(cert=tls.cert, key=none), f"{none}: No such file"),
        (Tls(cert=nobody, key=tls.key), f"{nobody}: there is no certificate in it"),
        (Tls(cert=tls.cert, key=other.key), f"{other.key}: it is not the private key of"),
    ):
        assert why in await fault(tls=given)


# What a server says to it.


async def test_ids_beside_a_token_must_be_its_own(guarded: Guarded, connected: Connect):
    token = (await guarded.made("agent", "red", "alice")).token
    async with connected("alice", team_id="red", token=token) as alice:
        await alice.register()
    for agent_id, team_id in (("bob", "red"), ("alice", "blue")):
        async with connected(agent_id, team_id=team_id, token=token) as other:
            with pytest.raises(PermissionDeniedError) as refused:
                await other.register()
            assert refused.value.reason == "CALLER_MISMATCH"


async def test_who_is_refused_is_not_asked_for_again(
    guarded: Guarded, connected: Connect, audit_log: Path, token_file: Path
):
    written(token_file, UNKNOWN)
    for given in ({"token": UNKNOWN}, {"token_file": token_file}):
        async with connected(**given) as nobody:
            with pytest.raises(UnauthenticatedError) as refused:
                await nobody.agent()
        assert refused.value.reason == "CREDENTIAL_UNKNOWN"
    token = (await guarded.made("observer", "red")).token
    async with connected(token=token) as looker:
        with pytest.raises(PermissionDeniedError):
            await looker.send("alice", "hello")
    await until(lambda: refusals(audit_log, "SendMessage") != [])
    assert refusals(audit_log, "SendMessage") == ["ROLE_REFUSED"]
    assert refusals(audit_log, "GetAgent") == 2 * ["CREDENTIAL_UNKNOWN"]


async def test_calls_and_streams_go_on_with_the_token_that_its_file_has_got(
    guarded: Guarded, connected: Connect, token_file: Path
):
    made = await guarded.made("agent", "red", "alice")
    written(token_file, made.token)
    async with connected(token_file=token_file) as alice, alice.inbox() as inbox:
        await alice.send("alice", "before")
        assert (await anext(inbox)).body == "before"
        reading = asyncio.create_task(anext(inbox))

        async def receive() -> list[str]:
            found = await alice.receive(max_wait=50, acknowledge_through=1)
            # A call that has acknowledged says so at once when its token ends.
            return [each.body for each in found or await alice.receive(max_wait=50)]

        waiting = asyncio.create_task(receive())

        async def nothing_is_left() -> bool:
            return not (await alice.agent()).unacknowledged_count

        await until(nothing_is_left)
        replacement = (await guarded.made("agent", "red", "alice")).token
        written(token_file, replacement)
        await ended(guarded, made)
        tasks = await asyncio.gather(*(alice.tasks.create(str(number)) for number in range(20)))
        assert {task.creator_id for task in tasks} == {"alice"}
        await alice.send("alice", "after")
        assert (await reading).body == "after"
        assert await waiting == ["after"]


async def test_a_stream_alone_outlives_its_token(
    guarded: Guarded, connected: Connect, token_file: Path, audit_log: Path
):
    made, other = [await guarded.made("agent", "red", "alice") for _ in range(2)]
    written(token_file, made.token)
    async with connected(token_file=token_file) as alice, alice.inbox() as inbox:
        assert [message async for message in inbox.backlog()] == []
        reading = asyncio.create_task(anext(inbox))
        written(token_file, other.token)
        await ended(guarded, made)
        await until(lambda: refusals(audit_log, "SubscribeInbox") != [])
        async with connected(token=other.token) as twin:
            await twin.send("alice", "still there?")
        assert (await reading).body == "still there?"
    assert refusals(audit_log, "SubscribeInbox") == ["CREDENTIAL_ENDED"]


async def test_without_a_new_token_the_end_is_told(
    guarded: Guarded, connected: Connect, token_file: Path
):
    made = await guarded.made("agent", "red", "alice")
    written(token_file, made.token)
    async with connected(token_file=token_file) as alice, alice.inbox() as inbox:
        assert [message async for message in inbox.backlog()] == []
        await ended(guarded, made)
        with pytest.raises(UnauthenticatedError) as told:
            await anext(inbox)
        assert told.value.reason == "CREDENTIAL_ENDED"
        with pytest.raises(UnauthenticatedError):
            await alice.agent()


async def test_a_new_token_is_tried_once(
    guarded: Guarded, connected: Connect, token_file: Path, audit_log: Path
):
    made = await guarded.made("agent", "red", "alice")
    written(token_file, made.token)
    async with connected(token_file=token_file) as alice:
        await ended(guarded, made)
        written(token_file, UNKNOWN)
        with pytest.raises(UnauthenticatedError) as refused:
            await alice.agent()
    assert refused.value.reason == "CREDENTIAL_UNKNOWN"
    await until(lambda: len(refusals(audit_log, "GetAgent")) == 2)


async def test_a_file_that_cannot_be_read_again_is_told_of_and_may_be_put_right(
    guarded: Guarded, connected: Connect, token_file: Path
):
    made, other = [await guarded.made("agent", "red", "alice") for _ in range(2)]
    written(token_file, made.token)
    async with connected(token_file=token_file) as alice:
        await ended(guarded, made)
        written(token_file, other.token, 0o644)
        with pytest.raises(UnauthenticatedError) as refused:
            await alice.agent()
        assert "others may open it" in refused.value.__notes__[0]
        written(token_file, other.token)
        assert (await alice.agent()).agent_id == "alice"
