"""Tokens, their hashes and the words of messages appear nowhere but where they belong.

Real servers, over TLS, are called well and badly, lose their store, meet faults and are killed, and
so does the command line. Then everything that others may see is searched.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.client.security import channel_credentials
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.tasks.v1 import tasks_pb2_grpc
from security.evidence import Evidence, forms_of_token
from security.stores import PostgresStore, SqliteStore, Store
from support.certificates import Authority
from support.databases import running_postgres
from support.guarded import bearer
from support.healths import until_log
from support.pair import Metadata
from support.processes import ServerProcess

SEND = "/dovetail.messaging.v1.MessagingService/SendMessage"
MARKER = f"marker-{uuid.uuid4().hex}"
"""Stands in everything that somebody says in a message or a task."""


@dataclass(kw_only=True)
class Scene:
    """Both servers over a store, and all that was seen of them."""

    folder: Path
    store: Store
    authority: Authority
    messaging: ServerProcess
    tasks: ServerProcess
    evidence: Evidence = field(default_factory=Evidence)
    tokens: set[str] = field(default_factory=lambda: set[str]())

    @property
    def admin_token_file(self) -> Path:
        return self.folder / "admin.token"

    @property
    def both(self) -> tuple[ServerProcess, ServerProcess]:
        return self.messaging, self.tasks

    def new_token(self) -> str:
        """A token that no server knows."""
        return self.know("dovetail_" + secrets.token_urlsafe(32))

    def know(self, token: str) -> str:
        """Remember a token, to look for it."""
        self.tokens.add(token)
        return token

    async def refused(self, *calls: Awaitable[object]) -> None:
        """Calls that fail; what the client gets is evidence."""
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            self.evidence.add_error(caught.value)


@pytest.fixture(params=["sqlite", "postgres"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Store]:
    """A store of this test's own, on each engine."""
    if request.param == "sqlite":
        yield SqliteStore(tmp_path)
    else:
        folder = tmp_path_factory.mktemp("own")
        with running_postgres(folder) as server:
            yield PostgresStore(server, folder)


@pytest.fixture
def scene(store: Store, tmp_path: Path) -> Scene:
    """Both servers, over TLS, asking for credentials; one has an audit log of its own."""
    authority = Authority(folder=tmp_path / "authority")
    pair = authority.server()
    options = ("--credentials", "--admin-token-file", str(tmp_path / "admin.token"))
    options += ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    credentials = channel_credentials(authority.tls)

    def server(service: str, *more: str) -> ServerProcess:
        log = tmp_path / f"{service}.log"
        made = ServerProcess(service, store.url, log, options=(*options, *more), is_cold=True)
        made.credentials = credentials
        return made

    audit = ("--audit-log", str(tmp_path / "audit.log"))
    return Scene(
        folder=tmp_path,
        store=store,
        authority=authority,
        messaging=server("messaging"),
        tasks=server("tasks", *audit),
    )


@dataclass(kw_only=True)
class Stubs:
    """The services, as called over TLS."""

    channel: grpc.aio.Channel
    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    tasks: tasks_pb2_grpc.TaskServiceAsyncStub
    admin: admin_pb2_grpc.AdminServiceAsyncStub


@asynccontextmanager
async def stubs(scene: Scene) -> AsyncGenerator[Stubs]:
    """Channels to both servers."""
    trusting = channel_credentials(scene.authority.tls)
    async with (
        grpc.aio.secure_channel(scene.messaging.address, trusting) as talk,
        grpc.aio.secure_channel(scene.tasks.address, trusting) as work,
    ):
        yield Stubs(
            channel=talk,
            messaging=messaging_pb2_grpc.MessagingServiceStub(talk),
            tasks=tasks_pb2_grpc.TaskServiceStub(work),
            admin=admin_pb2_grpc.AdminServiceStub(talk),
        )


async def test_secrets_are_seen_nowhere_but_where_they_belong(scene: Scene) -> None:
    with scene.evidence.watching_processes(), scene.messaging, scene.tasks:
        async with stubs(scene) as to:
            await play(scene, to)
        await asyncio.to_thread(use_the_command_line, scene)
        await end(scene)
    scene.evidence.add_files(scene.folder, "*.log", "up/*.log")
    secret = set[bytes]().union(*map(forms_of_token, scene.tokens))
    check_that_it_was_looked_for(scene)
    assert scene.evidence.hits({*secret, MARKER.encode()}) == []
    check_the_store(scene, secret)


async def play(scene: Scene, to: Stubs) -> None:
    """All that happens over the wire."""
    admin = bearer(scene.know(scene.admin_token_file.read_text().strip()))
    await to.admin.CreateTeam(a.CreateTeamRequest(team_id="red"), metadata=admin)
    alice, bob = [await made(scene, to, admin, agent) for agent in ("alice", "bob")]
    await work_well(to, alice, bob)
    await be_refused(scene, to, alice)
    await lose_tokens(scene, to, admin)
    await meet_faults(scene, to, alice, admin)
    await lose_the_store(scene, to, alice)


async def made(scene: Scene, to: Stubs, admin: Metadata, agent_id: str, **more: Any) -> Metadata:
    """The metadata of a new agent."""
    request = a.CreateCredentialRequest(team_id="red", agent_id=agent_id, role=a.ROLE_AGENT, **more)
    answer = await to.admin.CreateCredential(request, metadata=admin)
    return bearer(scene.know(answer.token))


def message(*recipient_ids: str, **more: Any) -> m.SendMessageRequest:
    """A message that says the marker wherever it can."""
    data = Struct()
    data.update({"said": MARKER})
    return m.SendMessageRequest(
        recipient_ids=recipient_ids, subject=MARKER, body=MARKER, data=data, **more
    )


async def work_well(to: Stubs, alice: Metadata, bob: Metadata) -> None:
    """A life that nobody complains of."""
    await to.messaging.SendMessage(message("bob"), metadata=alice)
    got = await to.messaging.ReceiveMessages(m.ReceiveMessagesRequest(), metadata=bob)
    assert got.deliveries[0].message.body == MARKER
    new = t.CreateTaskRequest(task_id="t", title=MARKER, description=MARKER, assignee_id="bob")
    await to.tasks.CreateTask(new, metadata=alice)
    await to.tasks.StartTask(t.StartTaskRequest(task_id="t"), metadata=bob)
    done = t.CompleteTaskRequest(task_id="t", result=t.TaskResult(summary=MARKER))
    await to.tasks.CompleteTask(done, metadata=bob)


async def be_refused(scene: Scene, to: Stubs, alice: Metadata) -> None:
    """Every kind of call that is no good."""
    token, send = alice[0][1], to.messaging.SendMessage
    assert isinstance(token, str)
    token = token.removeprefix("Bearer ")
    wrong = scene.new_token()
    await scene.refused(
        *(
            send(message("bob"), metadata=((key, value),))
            for key, value in (
                ("authorization", f"Bearer {wrong}"),
                ("authorization", f"Bearer {token}x"),
                ("authorization", f"Bearer {token[:-1]}"),
                ("authorization", f"Basic {token}"),
                ("authorization", token),
                ("x-token", token),
            )
        ),
        send(message("bob"), metadata=(*alice, *bearer(wrong))),
        send(message("bob"), metadata=(*alice, ("dovetail-agent", "bob"))),
        send(message("nobody"), metadata=alice),
        send(message("bob", in_reply_to="m999"), metadata=alice),
        send(message("bob", importance=99), metadata=alice),  # type: ignore[arg-type]
        send(m.SendMessageRequest(recipient_ids=["bob"], body=MARKER * 40_000), metadata=alice),
        to.messaging.ReceiveMessages(m.ReceiveMessagesRequest(agent_id="bob"), metadata=alice),
        to.messaging.SubscribeInbox(m.SubscribeInboxRequest(agent_id="bob"), metadata=alice).read(),
        to.tasks.CreateTask(t.CreateTaskRequest(task_id="t", title=MARKER), metadata=alice),
        to.tasks.StartTask(t.StartTaskRequest(task_id="t"), metadata=alice),
        to.tasks.GetReport(t.GetReportRequest(), metadata=bearer(wrong)),
        to.admin.ListCredentials(a.ListCredentialsRequest(), metadata=alice),
    )
    first = message("bob", request_id="once")
    await send(first, metadata=alice)
    first.body += "!"
    await scene.refused(send(first, metadata=alice))
    raw = to.channel.unary_unary(SEND)
    garbage = b"\x22\x60" + MARKER.encode() + b"\xff" * 200
    await scene.refused(
        raw(garbage, metadata=alice), raw(MARKER.encode() * 150_000, metadata=alice)
    )


async def lose_tokens(scene: Scene, to: Stubs, admin: Metadata) -> None:
    """Tokens that end: by rotation, by revocation, by themselves, under an open stream."""
    carol = await made(scene, to, admin, "carol")
    found = await to.admin.ListCredentials(
        a.ListCredentialsRequest(agent_id="carol"), metadata=admin
    )
    carols = found.credentials[0].credential_id
    stream = to.messaging.SubscribeInbox(m.SubscribeInboxRequest(), metadata=carol)
    await stream.read()
    rotate = a.RotateCredentialRequest(credential_id=carols, grace=Duration(seconds=600))
    new = await to.admin.RotateCredential(rotate, metadata=admin)
    scene.know(new.token)
    for credential_id in (carols, new.credential.credential_id):
        revoke = a.RevokeCredentialRequest(credential_id=credential_id)
        await to.admin.RevokeCredential(revoke, metadata=admin)
    short = await made(scene, to, admin, "dave", lifetime=Duration(seconds=1))
    other = to.messaging.SubscribeInbox(m.SubscribeInboxRequest(), metadata=short)
    await other.read()
    await scene.refused(stream.read(), other.read())
    await scene.refused(
        to.admin.RotateCredential(rotate, metadata=admin),
        *(to.messaging.SendMessage(message("bob"), metadata=who) for who in (carol, short)),
        to.messaging.SendMessage(message("bob"), metadata=bearer(new.token)),
    )


async def meet_faults(scene: Scene, to: Stubs, alice: Metadata, admin: Metadata) -> None:
    """Faults of the server's own, in the middle of writing what is secret."""
    with scene.store.spoiled("messages"):
        await scene.refused(to.messaging.SendMessage(message("bob"), metadata=alice))
    with scene.store.spoiled("tasks"):
        new = t.CreateTaskRequest(title=MARKER, description=MARKER)
        await scene.refused(to.tasks.CreateTask(new, metadata=alice))
    with scene.store.spoiled("credentials"):
        request = a.CreateCredentialRequest(team_id="red", agent_id="eve", role=a.ROLE_AGENT)
        await scene.refused(to.admin.CreateCredential(request, metadata=admin))
    for server in scene.both:
        await until_log(server, "Traceback")


async def lose_the_store(scene: Scene, to: Stubs, alice: Metadata) -> None:
    """Calls while the store is away, by those who are known and by those who are not."""
    scene.store.take_away()
    await scene.refused(
        to.messaging.SendMessage(message("bob"), metadata=alice),
        to.tasks.CreateTask(t.CreateTaskRequest(title=MARKER), metadata=alice),
        to.messaging.SendMessage(message("bob"), metadata=bearer(scene.new_token())),
    )
    for server in scene.both:
        await until_log(server, "the store does not respond")
    scene.store.bring_back()
    for server in scene.both:
        await until_log(server, "the store responds again")


def use_the_command_line(scene: Scene) -> None:
    """Every way in which a token comes to the command line, good and bad."""
    mine, open_, bad = (scene.folder / name for name in ("alice.token", "open.token", "bad.token"))
    first = ("token", "create", "--team", "red", "--agent", "alice")
    run(scene, *first, "--out", str(mine))
    alice = scene.know(mine.read_text().strip())
    printed = run(scene, *first, hands_out=True)
    scene.know(printed.strip())
    for file, text, mode in ((open_, alice, 0o644), (bad, scene.new_token(), 0o600)):
        file.touch(mode)
        file.chmod(mode)
        file.write_text(text)
    for words in (
        ("token", "list", "--all"),
        ("doctor", "--store", scene.store.url),
        *(("send", "bob", "hello", "--token-file", str(file)) for file in (mine, open_, bad)),
    ):
        run(scene, *words)
    for token in (alice, scene.new_token(), f"{scene.new_token()} {alice}"):
        for words in (("config",), ("status",), ("send", "nobody", "hello")):
            run(scene, *words, DOVETAIL_TOKEN=token)
    rotated = run(scene, "token", "rotate", "c2", "--json", hands_out=True)
    assert '"token":"dovetail_' in rotated
    run_up(scene)


def run(scene: Scene, *words: str, hands_out: bool = False, **variables: str) -> str:
    """Run a command; what it prints is evidence, but for a token that it is asked for."""
    environment = {
        **os.environ,
        "DOVETAIL_MESSAGING": scene.messaging.address,
        "DOVETAIL_TASKS": scene.tasks.address,
        "DOVETAIL_TLS_CA": str(scene.authority.ca),
        "DOVETAIL_TOKEN_FILE": str(scene.admin_token_file),
        **variables,
    }
    if "DOVETAIL_TOKEN" in variables:
        del environment["DOVETAIL_TOKEN_FILE"]
    command = [sys.executable, "-m", "dovetail.cli", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    scene.evidence.add(f"standard error of {words}", done.stderr)
    if not hands_out:
        scene.evidence.add(f"standard output of {words}", done.stdout)
    return done.stdout


def run_up(scene: Scene) -> None:
    """`dovetail up`, which starts servers of its own."""
    folder = scene.folder / "up"
    command = [sys.executable, "-m", "dovetail.cli", "up", "--data-dir", str(folder)]
    command += ["--credentials", "--admin-token-file", str(folder / "admin.token")]
    command += ["--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as up:
        assert up.stdout
        assert up.stderr
        scene.evidence.add("standard output of up", up.stdout.readline())
        scene.know((folder / "admin.token").read_text().strip())
        up.terminate()
        for name, stream in (("output", up.stdout), ("error", up.stderr)):
            scene.evidence.add(f"standard {name} of up", stream.read())


async def end(scene: Scene) -> None:
    """One server is told to stop, the other is killed."""
    await asyncio.to_thread(scene.messaging.stop)
    await asyncio.to_thread(scene.tasks.kill)


def check_that_it_was_looked_for(scene: Scene) -> None:
    """Everything that was to happen did, and was seen."""
    assert len(scene.tokens) > 10
    seen = b"\n".join(content for _, content in scene.evidence.pieces)
    for status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "INTERNAL", "UNAVAILABLE", "NOT_FOUND"):
        assert f"StatusCode.{status}".encode() in seen, status
    for what in (b'"audit": "refused"', b"serve\0messaging", b"up\0--data-dir", b"send\0bob"):
        assert what in seen, what


def check_the_store(scene: Scene, secret: set[bytes]) -> None:
    """The store holds the words of messages, which shows that they are found; never a token."""
    held = Evidence()
    for file in scene.store.files():
        held.add(file.name, file.read_bytes())
    assert held.hits({MARKER.encode()})
    assert held.hits(secret) == []
