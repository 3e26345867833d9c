"""TLS: who trusts whom, and certificates that are replaced while they are used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from dovetail.client import ConfigurationError, Tls, UnavailableError, blocking, connect
from dovetail.client.security import channel_credentials
from dovetail.server.main import ConfigError
from dovetail.server.runtime import RunningServer
from support.certificates import Authority, Pair, served
from support.pair import running

Serving = Callable[..., AbstractAsyncContextManager[RunningServer]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(folder=tmp_path / "authority")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(folder=tmp_path / "other")


@pytest.fixture
def serving(sqlite_url: str) -> Serving:
    """A server with a certificate, as a context."""

    @asynccontextmanager
    async def serving(
        pair: Pair, service: str = "messaging", listen: str = "127.0.0.1:0", **settings: Any
    ) -> AsyncGenerator[RunningServer]:
        tls: dict[str, Any] = {"tls_cert": pair.cert, "tls_key": pair.key}
        async with running(service, sqlite_url, listen=listen, **tls, **settings) as server:
            yield server

    return serving


async def reach(address: str, tls: Tls | None) -> None:
    """Make one call on a new connection."""
    async with connect("alice", messaging=address, tls=tls, patience=0) as alice:
        await alice.register()


async def unreachable(address: str, tls: Tls | None) -> str:
    """What the client says of a server that it cannot reach."""
    with pytest.raises(UnavailableError) as lost:
        await reach(address, tls)
    return str(lost.value)


async def test_the_whole_client_works_over_tls(authority: Authority, serving: Serving):
    pair = authority.server()
    async with (
        serving(pair) as messaging,
        serving(pair, "tasks") as tasks,
        connect(
            "alice", messaging=messaging.address, tasks=tasks.address, tls=authority.tls
        ) as alice,
    ):
        await alice.register()
        await alice.send("alice", "hello")
        task = await alice.tasks.create("work", assignee_id="alice")
        await alice.tasks.start(task.task_id)
        await alice.tasks.complete(task.task_id)
        async with alice.inbox() as inbox:
            message = await anext(inbox)
            await message.acknowledge()
        assert message.body == "hello"
        assert (await alice.tasks.report()).completed_tasks == 1


async def test_the_blocking_client_works_over_tls(authority: Authority, serving: Serving):
    async with serving(authority.server()) as server:

        def talk() -> list[str]:
            with blocking.connect("alice", messaging=server.address, tls=authority.tls) as alice:
                alice.register()
                alice.send("alice", "hello")
                return [message.body for message in alice.receive()]

        assert await asyncio.to_thread(talk) == ["hello"]


async def test_health_is_told_on_the_same_port(authority: Authority, serving: Serving):
    credentials = channel_credentials(authority.tls)
    async with (
        serving(authority.server()) as server,
        grpc.aio.secure_channel(server.address, credentials) as channel,
    ):
        health = cast(Any, health_pb2_grpc.HealthStub(channel))
        answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_server_that_another_authority_vouches_for_is_not_trusted(
    authority: Authority, other: Authority, serving: Serving
):
    async with serving(authority.server()) as server:
        for tls in (other.tls, Tls()):
            assert "not by an authority that is trusted" in await unreachable(server.address, tls)


async def test_a_certificate_for_another_host_is_not_trusted(
    authority: Authority, serving: Serving
):
    async with serving(authority.server(hosts=("dove.example",))) as server:
        assert "is for another host name" in await unreachable(server.address, authority.tls)
        await reach(server.address, Tls(ca=authority.ca, server_name="dove.example"))


async def test_a_client_that_forgets_tls_is_told_so(authority: Authority, serving: Serving):
    async with serving(authority.server()) as server:
        assert "if the server asks for TLS, use TLS" in await unreachable(server.address, None)


async def test_a_client_that_expects_tls_of_a_server_without_is_told_so(
    authority: Authority, sqlite_url: str
):
    async with running("messaging", sqlite_url) as server:
        assert "the server speaks no TLS" in await unreachable(server.address, authority.tls)


async def test_clients_are_asked_for_a_certificate_of_the_right_authority(
    authority: Authority, other: Authority, serving: Serving
):
    stranger = other.client("alice")
    async with serving(authority.server(), tls_client_ca=authority.ca) as server:
        await reach(server.address, authority.client("alice"))
        told = await unreachable(server.address, authority.tls)
        assert "may ask for a client's certificate" in told
        await unreachable(
            server.address, Tls(ca=authority.ca, cert=stranger.cert, key=stranger.key)
        )


async def test_servers_on_one_host_need_no_name(authority: Authority, serving: Serving):
    pair = authority.server()
    async with serving(pair) as one, serving(pair) as two:
        await reach(f"{one.address},{two.address}", authority.tls)


async def test_servers_on_several_hosts_have_one_name(authority: Authority, serving: Serving):
    pair = authority.server(hosts=("dove.example",))
    async with serving(pair) as one, serving(pair, listen="127.0.0.2:0") as two:
        addresses = f"{one.address},{two.address}"
        with pytest.raises(ConfigurationError, match="need one name"):
            await reach(addresses, authority.tls)
        await reach(addresses, Tls(ca=authority.ca, server_name="dove.example"))
        assert "another host name" in await unreachable(
            addresses, Tls(ca=authority.ca, server_name="owl.example")
        )


def missing(pair: Pair, other: Pair) -> str:
    pair.cert.unlink()
    return rf"--tls-cert {pair.cert}: No such file"


def no_certificate(pair: Pair, other: Pair) -> str:
    pair.cert.write_bytes(pair.key.read_bytes())
    return rf"--tls-cert {pair.cert}: there is no certificate in it"


def no_key(pair: Pair, other: Pair) -> str:
    pair.key.write_bytes(pair.cert.read_bytes())
    return rf"--tls-key {pair.key}: there is no private key in it"


def torn_key(pair: Pair, other: Pair) -> str:
    content = pair.key.read_bytes()
    pair.key.write_bytes(content[: len(content) // 2])
    return rf"--tls-key {pair.key}: it is not the key of --tls-cert {pair.cert}"


def another_key(pair: Pair, other: Pair) -> str:
    pair.key.write_bytes(other.key.read_bytes())
    return r"it is not the key of .*KEY_VALUES_MISMATCH"


def encrypted_key(pair: Pair, other: Pair) -> str:
    from cryptography.hazmat.primitives import serialization as made

    key = made.load_pem_private_key(pair.key.read_bytes(), None)
    hidden = made.BestAvailableEncryption(b"secret")
    pair.key.write_bytes(key.private_bytes(made.Encoding.PEM, made.PrivateFormat.PKCS8, hidden))
    return rf"--tls-key {pair.key}: it is encrypted"


Fault = Callable[[Pair, Pair], str]


@pytest.mark.parametrize(
    "fault", [missing, no_certificate, no_key, torn_key, another_key, encrypted_key]
)
async def test_a_server_does_not_start_with_files_that_cannot_be_used(
    authority: Authority, serving: Serving, fault: Fault
):
    pair = authority.server()
    said = fault(pair, authority.server("other"))
    with pytest.raises(ConfigError, match=said):
        async with serving(pair):
            pass


async def test_a_server_does_not_start_without_an_authority_for_clients(
    authority: Authority, serving: Serving, tmp_path: Path
):
    (tmp_path / "ca.pem").write_text("nobody")
    for file, why in ((tmp_path / "ca.pem", "no certificate"), (tmp_path / "none", "No such file")):
        with pytest.raises(ConfigError, match=f"--tls-client-ca {file}: .*{why}"):
            async with serving(authority.server(), tls_client_ca=file):
                pass


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 1)])
async def test_a_key_that_others_may_read_is_warned_of(
    authority: Authority, serving: Serving, mode: int, warnings: int
):
    pair = authority.server()
    pair.key.chmod(mode)
    with capture_logs() as lines:
        async with serving(pair):
            pass
    said = [line for line in lines if "read the private key" in line["event"]]
    assert len(said) == warnings


@pytest.mark.parametrize("fault", [missing, no_certificate, no_key, torn_key, another_key])
async def test_the_old_certificate_is_served_while_the_new_one_is_not_whole(
    authority: Authority, serving: Serving, fault: Fault
):
    pair, old, new = (authority.server(name) for name in ("server", "old", "new"))
    pair.replace(old)
    with capture_logs() as lines:
        async with serving(pair) as server:
            said = fault(pair, new)
            for _ in range(3):
                await reach(server.address, authority.tls)
                shown = await asyncio.to_thread(served, server.address, authority)
                assert shown == old.cert.read_text()
            pair.replace(new)
            shown = await asyncio.to_thread(served, server.address, authority)
            assert shown == new.cert.read_text()
    warned = [line["fault"] for line in lines if "keeping the old" in line["event"]]
    assert len(warned) == 1
    with pytest.raises(ConfigError, match=said):
        raise ConfigError(warned[0])


async def test_the_authority_of_clients_can_be_replaced(
    authority: Authority, other: Authority, serving: Serving, tmp_path: Path
):
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.ca.read_bytes())
    known, stranger = authority.client("alice"), other.client("bob")
    stranger = Tls(ca=authority.ca, cert=stranger.cert, key=stranger.key)
    async with serving(authority.server(), tls_client_ca=trusted) as server:
        await unreachable(server.address, stranger)
        trusted.write_bytes(other.ca.read_bytes())
        await reach(server.address, stranger)
        await unreachable(server.address, known)


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
async def test_keys_of_each_kind_are_served(
    authority: Authority, serving: Serving, key_type: trustme.KeyType
):
    leaf = authority._ca.issue_cert("127.0.0.1", key_type=key_type)
    pair = authority._written("server", leaf)
    async with serving(pair) as server:
        await reach(server.address, authority.tls)
