"""Every method of both servers, called at random: nothing breaks, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.admin.v1 import admin_pb2, admin_pb2_grpc
from fuzz import bystander
from fuzz.callers import SERVED, Findings, Fuzzer
from fuzz.values import Known
from support.figures import percentiles
from support.guarded import bearer
from support.memory import MEBIBYTE, Memory
from support.pair import Metadata, caller
from support.servers import Servers, serving
from support.soak import SOAK

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 300)]

SECONDS = float(os.environ.get("FUZZ_SECONDS") or (300.0 if SOAK else 15.0))
"""For each engine, with credentials and without: 20 minutes in a soak, one otherwise."""

WARM_UP_SHARE = 0.3
REST_SECONDS = 25.0 if SOAK else 1.0
"""Until memory is looked at: requests that do not come whole are waited for, for 20 s."""

FUZZERS = 8
SHOWN = 10
P99_SECONDS = 0.5
"""What is promised to another caller, where nothing else runs beside the test."""

GROWTH = 1.2 if SOAK else 3.0
"""Of memory, from after the warm-up to the end; a short one has not met all that there is."""

UNANSWERED = 0 if SOAK else 4
"""Methods that may answer nobody: what lies behind them was not tried. Which, is a seed's luck."""

SEED = os.environ.get("FUZZ_SEED", "1")


@pytest.mark.parametrize("guarded", [True, False], ids=["credentials", "open"])
async def test_nothing_that_is_sent_breaks_a_server_or_disturbs_another_caller(
    store_url: str, tmp_path: Path, guarded: bool, report_figures: Callable[[str], None]
) -> None:
    admin_file = tmp_path / "admin.token"
    options = ("--credentials", "--admin-token-file", str(admin_file)) if guarded else ()
    known, findings = Known(), Findings()
    async with serving(store_url, tmp_path, options) as servers:
        callers, token = OPEN, ""
        if guarded:
            admin = bearer(admin_file.read_text().strip())
            callers, token = await _callers(servers, admin, known)
        async with _bystander(servers, token) as seen:
            await _fuzz(servers, callers, known, findings, SECONDS * WARM_UP_SHARE)
            memories = [Memory(server) for server in servers.both]
            await asyncio.sleep(REST_SECONDS)
            before = [_resident(memory) for memory in memories]
            await _fuzz(servers, callers, known, findings, SECONDS * (1 - WARM_UP_SHARE))
            await asyncio.sleep(REST_SECONDS)
            after = [_resident(memory) for memory in memories]
        logs = "".join(server.log.read_text() for server in servers.both)
    report_figures(_figures(findings, seen, before, after))
    assert not findings.wrong, "\n".join(findings.wrong[:SHOWN])
    assert "Traceback" not in logs
    assert (seen["errors"], seen["lost"]) == ([], [])
    unanswered = _unanswered(findings, guarded)
    assert len(unanswered) <= UNANSWERED, unanswered
    for earlier, later in zip(before, after, strict=True):
        assert later <= GROWTH * earlier
    if SOAK:
        assert sorted(seen["waits"])[len(seen["waits"]) * 99 // 100] < P99_SECONDS


OPEN: list[Metadata] = [
    caller("ann", "red"),
    caller("bob", "red"),
    caller("joe", "red"),
    caller("ann", "blue"),
    caller("", "red"),
]


async def _callers(servers: Servers, admin: Metadata, known: Known) -> tuple[list[Metadata], str]:
    """Callers of every role, and the bystander's token; nobody is told the ids of these."""
    roles = [
        *((admin_pb2.ROLE_AGENT, agent_id) for agent_id in ("ann", "bob", "joe")),
        *((admin_pb2.ROLE_OPERATOR, ""), (admin_pb2.ROLE_OBSERVER, ""), (admin_pb2.ROLE_ADMIN, "")),
    ]
    tokens: list[str] = []
    async with grpc.aio.insecure_channel(servers.messaging.address) as channel:
        stub: Any = admin_pb2_grpc.AdminServiceStub(channel)
        listed = await stub.ListCredentials(admin_pb2.ListCredentialsRequest(), metadata=admin)
        known.secret.update(each.credential_id for each in listed.credentials)
        for team_id in ("red", bystander.TEAM):
            await stub.CreateTeam(admin_pb2.CreateTeamRequest(team_id=team_id), metadata=admin)
        for role, agent_id in [*roles, (admin_pb2.ROLE_AGENT, bystander.AGENT)]:
            team_id = bystander.TEAM if agent_id == bystander.AGENT else "red"
            request = admin_pb2.CreateCredentialRequest(
                team_id="" if role == admin_pb2.ROLE_ADMIN else team_id,
                agent_id=agent_id,
                role=role,
            )
            made = await stub.CreateCredential(request, metadata=admin)
            known.secret.add(made.credential.credential_id)
            tokens.append(made.token)
    *others, quiet = tokens
    return [bearer(token) for token in others], quiet


async def _fuzz(
    servers: Servers, callers: list[Metadata], known: Known, findings: Findings, seconds: float
) -> None:
    addresses = {"messaging": servers.messaging.address, "tasks": servers.tasks.address}
    end = asyncio.get_running_loop().time() + seconds
    seeds = [f"{SEED} {number} {seconds}" for number in range(FUZZERS)]
    fuzzers = [Fuzzer(seed, addresses, callers, known) for seed in seeds]
    await asyncio.gather(*(fuzzer.run(findings, end) for fuzzer in fuzzers))
    for server in servers.both:
        assert server.process is not None
        assert server.process.poll() is None, server.log.read_text()[-2_000:]


def _resident(memory: Memory) -> float:
    return memory.now() / MEBIBYTE


@asynccontextmanager
async def _bystander(servers: Servers, token: str) -> AsyncGenerator[dict[str, Any]]:
    """Have another program call all through the block; afterwards, what it saw."""
    seen: dict[str, Any] = {}
    words = (servers.messaging.address, servers.tasks.address, token)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, bystander.__file__, *words),
        stdin=PIPE,
        stdout=PIPE,
        limit=2**26,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        assert await program.stdout.readline() == b"ready\n"
        yield seen
        program.stdin.close()
        seen.update(json.loads(await program.stdout.read()))
        assert await program.wait() == 0
    finally:
        _end(program)


def _end(program: Process) -> None:
    if program.returncode is None:
        program.kill()


def _unanswered(findings: Findings, guarded: bool) -> set[str]:
    """Methods that no call was answered by: the fuzzer would prove nothing of what lies behind."""
    methods = {
        f"/{service.full_name}/{method.name}"
        for modules in SERVED.values()
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    served = {each for each in methods if guarded or ".AdminService/" not in each}
    return served - set(findings.answered)


def _figures(
    findings: Findings, seen: dict[str, Any], before: list[float], after: list[float]
) -> str:
    shares = ", ".join(f"{name} {count:,}" for name, count in findings.outcomes.most_common(8))
    return (
        f"seed {SEED}: {sum(findings.calls.values()):,} calls of {len(findings.calls)} methods:"
        f" {shares}; wrong {len(findings.wrong)}; another caller: {percentiles(seen['waits'])},"
        f" {seen['kept']:,} writes kept; memory"
        f" {' and '.join(f'{a:.0f} to {b:.0f} MiB' for a, b in zip(before, after, strict=True))}"
    )
