"""The audit log: who changed rights, who was refused what, and from where."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.main import ConfigError
from dovetail.tasks.v1 import tasks_pb2 as t
from support.guarded import Guarded, bearer, guarded_pair
from support.pair import running
from support.processes import ServerProcess
from support.waiting import until

SERVICE = "/dovetail.messaging.v1.MessagingService"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the audit log is written."""
    return tmp_path / "audit.log"


@pytest.fixture
async def audited(sqlite_url: str, tmp_path: Path, log: Path) -> AsyncGenerator[Guarded]:
    """Both services, asking for credentials, with one audit log."""
    async with guarded_pair(sqlite_url, tmp_path, audit_log=log) as guarded:
        await written(log, "team created")
        yield guarded


def lines(log: Path, event: str = "") -> list[dict[str, Any]]:
    """The lines of the log, or those of an event."""
    if not log.exists():
        return []
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in found if event in ("", line["audit"])]


async def written(log: Path, event: str, count: int = 1) -> list[dict[str, Any]]:
    """So many lines of an event, once a thread of its own has written them."""
    await until(lambda: len(lines(log, event)) >= count)
    found = lines(log, event)
    assert len(found) == count
    return found


def facts(line: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(line[name] for name in names)


async def refuse(call: Any) -> None:
    """Make a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError):
        await call


async def test_every_change_of_rights_is_written_with_whose_doing_it_was(
    audited: Guarded, log: Path
) -> None:
    call, admin = audited.pair.admin, audited.admin
    made = (await audited.made("agent", "red", "alice")).credential.credential_id
    rotate = pb.RotateCredentialRequest(credential_id=made)
    new = (await call.RotateCredential(rotate, metadata=admin)).credential.credential_id
    revoke = pb.RevokeCredentialRequest(credential_id=new)
    await call.RevokeCredential(revoke, metadata=admin)
    await written(log, "credential revoked")
    assert [line["audit"] for line in lines(log)] == [
        "first admin",
        "team created",
        "credential created",
        "credential rotated",
        "credential revoked",
    ]
    first, team, *rest = lines(log)
    assert facts(team, "team_id", "by") == ("red", first["credential_id"])
    for line, credential_id in zip(rest, (made, new, new), strict=True):
        assert facts(line, "credential_id", "team_id", "agent_id", "role", "by") == (
            *(credential_id, "red", "alice", "AGENT", first["credential_id"]),
        )
    assert rest[1]["in_place_of"] == made


async def test_what_changes_nothing_is_not_written(audited: Guarded, log: Path) -> None:
    before = lines(log)
    await audited.team("red")
    alice = await audited.made("agent", "red", "alice")
    revoke = pb.RevokeCredentialRequest(credential_id=alice.credential.credential_id)
    for _ in range(2):
        await audited.pair.admin.RevokeCredential(revoke, metadata=audited.admin)
    await audited.team("blue")
    await written(log, "team created", 2)
    new = [line["audit"] for line in lines(log)[len(before) :]]
    assert new == ["credential created", "credential revoked", "team created"]


async def test_a_refusal_says_who_was_refused_what_and_why_and_from_where(
    audited: Guarded, log: Path
) -> None:
    made = await audited.made("agent", "red", "alice")
    alice, stub = bearer(made.token), audited.pair.messaging
    await audited.agent("bob")
    await refuse(stub.SendMessage(m.SendMessageRequest()))
    await refuse(stub.ListAgents(m.ListAgentsRequest(), metadata=bearer("dovetail_" + "x" * 43)))
    await refuse(audited.pair.other_admin.ListTeams(pb.ListTeamsRequest(), metadata=alice))
    await refuse(stub.ReceiveMessages(m.ReceiveMessagesRequest(agent_id="bob"), metadata=alice))
    stream = stub.SubscribeInbox(m.SubscribeInboxRequest(agent_id="bob"), metadata=alice)
    await refuse(stream.read())
    other = (*alice, ("dovetail-agent", "bob"))
    await refuse(audited.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=other))
    found = await written(log, "refused", 6)
    assert {facts(line, "method", "reason") for line in found} == {
        (f"{SERVICE}/SendMessage", "CREDENTIAL_REQUIRED"),
        (f"{SERVICE}/ListAgents", "CREDENTIAL_UNKNOWN"),
        ("/dovetail.admin.v1.AdminService/ListTeams", "ROLE_REFUSED"),
        (f"{SERVICE}/ReceiveMessages", "NOT_YOURS"),
        (f"{SERVICE}/SubscribeInbox", "NOT_YOURS"),
        ("/dovetail.tasks.v1.TaskService/ListTasks", "CALLER_MISMATCH"),
    }
    known = {line["reason"]: line for line in found}["NOT_YOURS"]
    assert facts(known, "credential_id", "team_id", "agent_id") == (
        *(made.credential.credential_id, "red", "alice"),
    )
    for line in found:
        assert line["peer"].startswith("ipv4:127.0.0.1:")
        age = datetime.now().astimezone() - datetime.fromisoformat(line["time"])
        assert timedelta() <= age < timedelta(minutes=1)


async def test_a_refusal_of_a_known_caller_names_its_credential(
    audited: Guarded, log: Path
) -> None:
    made = await audited.made("agent", "red", "alice")
    alice, wanted = bearer(made.token), made.credential.credential_id
    await refuse(audited.pair.admin.ListTeams(pb.ListTeamsRequest(), metadata=alice))
    other = (*alice, ("dovetail-agent", "bob"))
    await refuse(audited.pair.tasks.ListTasks(t.ListTasksRequest(), metadata=other))
    revoke = pb.RevokeCredentialRequest(credential_id=wanted)
    await audited.pair.admin.RevokeCredential(revoke, metadata=audited.admin)
    stream = audited.pair.messaging.SubscribeInbox(m.SubscribeInboxRequest(), metadata=alice)
    await refuse(until_it_ends(stream))
    found = await written(log, "refused", 3)
    assert {facts(line, "reason", "credential_id") for line in found} == {
        ("ROLE_REFUSED", wanted),
        ("CALLER_MISMATCH", wanted),
        ("CREDENTIAL_ENDED", wanted),
    }


async def until_it_ends(stream: Any) -> None:
    """Read a stream to its end."""
    async for _ in stream:
        pass


async def test_errors_that_refuse_no_right_are_not_written(audited: Guarded, log: Path) -> None:
    alice = await audited.agent("alice")
    before = len(lines(log))
    missing = m.SendMessageRequest(recipient_ids=["nobody"])
    await refuse(audited.pair.messaging.SendMessage(missing, metadata=alice))
    await refuse(audited.pair.messaging.SendMessage(m.SendMessageRequest(), metadata=alice))
    await refuse(audited.pair.messaging.ListAgents(m.ListAgentsRequest()))
    await written(log, "refused")
    assert [line["audit"] for line in lines(log)[before:]][-1:] == ["refused"]


async def test_the_log_is_its_owners_alone_and_a_moved_one_is_made_anew(
    audited: Guarded, log: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "audit.log.1"
    await asyncio.to_thread(log.rename, moved)
    await audited.team("blue")
    (line,) = await written(log, "team created")
    assert line["team_id"] == "blue"
    for file in (log, moved):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(lines(moved, "team created")) == 1


async def test_a_log_that_cannot_be_made_anew_goes_on_as_soon_as_it_can(
    audited: Guarded, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(log.rename, tmp_path / "audit.log.1")
    await asyncio.to_thread(log.mkdir)
    await audited.team("blue")
    said: list[str] = []

    def is_said() -> bool:
        said.append(capfd.readouterr().err)
        return "blue" in "".join(said)

    await until(is_said)  # What cannot be written there goes to standard error.
    await asyncio.to_thread(log.rmdir)
    await audited.team("green")
    async with asyncio.timeout(10):
        while not any(line["team_id"] == "green" for line in lines(log, "team created")):
            await audited.team("one more")
            await asyncio.sleep(0.01)


async def test_a_log_goes_on_where_it_was_after_a_restart(
    sqlite_url: str, tmp_path: Path, log: Path
) -> None:
    seen: list[list[dict[str, Any]]] = []
    for _ in range(2):
        async with guarded_pair(sqlite_url, tmp_path, audit_log=log) as guarded:
            await refuse(guarded.pair.tasks.ListTasks(t.ListTasksRequest()))
        seen.append(lines(log))
    first, both = seen
    # Each server writes its own lines in order; between two servers there is none.
    assert sorted(line["audit"] for line in first) == ["first admin", "refused", "team created"]
    assert both[: len(first)] == first
    assert [line["audit"] for line in both[len(first) :]] == ["refused"]


async def test_a_log_that_cannot_be_written_is_an_error_at_the_start(
    sqlite_url: str, tmp_path: Path
) -> None:
    for path in (tmp_path, tmp_path / "none" / "audit.log"):
        with pytest.raises(ConfigError, match=f"--audit-log {path} cannot be written"):
            async with running("tasks", sqlite_url, audit_log=path):
                pass


def test_a_server_that_cannot_write_its_log_ends_with_one_line(
    sqlite_url: str, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "none" / "audit.log")
    command = [sys.executable, "-m", "dovetail.cli", "serve", "tasks", "--store", sqlite_url]
    command += ["--listen", "127.0.0.1:0", "--audit-log", nowhere]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"--audit-log {nowhere} cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


async def test_without_a_file_it_goes_to_standard_error(sqlite_url: str, tmp_path: Path) -> None:
    token = tmp_path / "admin.token"
    options = ("--credentials", "--admin-token-file", str(token))
    errors = tmp_path / "log"
    with ServerProcess("tasks", sqlite_url, errors, options=options) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            unknown = channel.unary_unary("/dovetail.tasks.v1.TaskService/ListTasks")
            await refuse(unknown(b""))
        await asyncio.to_thread(server.stop)
    audit = [line for line in errors.read_text().splitlines() if line.startswith('{"audit"')]
    events = [json.loads(line)["audit"] for line in audit]
    assert events == ["first admin", "refused"]
