"""Every method of both servers, called at random: nothing breaks, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.admin.v1 import admin_pb2, admin_pb2_grpc
from fuzz import bystander
from fuzz.callers import Findings, Fuzzer, persona
from fuzz.cases import SERVED, Persona
from fuzz.frames import WAYS
from fuzz.pool import Pool
from fuzz.values import AGENTS
from support.audit import faults
from support.figures import percentiles
from support.guarded import bearer
from support.memory import MEBIBYTE, Memory
from support.pair import Metadata
from support.servers import Servers, serving
from support.soak import SOAK

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 300)]

SECONDS = float(os.environ.get("FUZZ_SECONDS", "300" if SOAK else "12"))
"""For each engine, with credentials and without: 20 minutes in a soak. Otherwise a minute or more,
with what is added until enough methods have answered."""

SEED = os.environ.get("FUZZ_SEED") or (str(time.time_ns()) if SOAK else "1")
"""A soak tries something new each time; other runs try the same."""

WARM_UP_SHARE = 0.3
REST_SECONDS = 25.0 if SOAK else 1.0
"""Until memory is looked at: requests that do not come whole are waited for, for 20 s."""

MORE_REST_SECONDS = 40
"""How much longer memory may take to be given back, which a server does every 10 s."""

FUZZERS = 12
SHOWN = 10
P99_SECONDS = 0.5
"""What is promised to another caller, where nothing else runs beside the test."""

GROWTH = 1.2 if SOAK else 3.0
"""Of memory, from after the warm-up to the end; a short one has not met all that there is."""

UNANSWERED = 0 if SOAK else 4
"""Methods that may answer nobody: what lies behind them was not tried. Which, is a seed's luck."""

MORE_ROUNDS, MORE_SECONDS = 20, 3.0
"""What is added until enough methods have answered."""

TEAMS = ("red", "blue")
SHORT_LEASES = ("--shortest-lease-seconds", "0.5")


@pytest.mark.parametrize("guarded", [True, False], ids=["credentials", "open"])
async def test_nothing_that_is_sent_breaks_a_server_or_disturbs_another_caller(
    store_url: str, tmp_path: Path, guarded: bool, report_figures: Callable[[str], None]
) -> None:
    admin_file = tmp_path / "admin.token"
    options = ("--credentials", "--admin-token-file", str(admin_file)) if guarded else ()
    findings = Findings(file=tmp_path / "wrong.txt")
    async with serving(store_url, tmp_path, (*SHORT_LEASES, *options)) as servers:
        personas, token, secrets = OPEN, "", (bystander.TEAM, bystander.AGENT)
        if guarded:
            admin = bearer(admin_file.read_text().strip())
            personas, token, ids = await _credentials(servers, admin)
            secrets = (*secrets, *ids)
        fuzzers = _fuzzers(servers, personas, Pool(secrets))
        async with _bystander(servers, token) as seen:
            await _fuzz(servers, fuzzers, findings, SECONDS * WARM_UP_SHARE)
            before = await _resident(servers)
            await _fuzz(servers, fuzzers, findings, SECONDS * (1 - WARM_UP_SHARE))
            for _ in range(MORE_ROUNDS):  # A busy machine makes few calls in the time.
                silent = _methods(guarded) - set(findings.answered)
                if len(silent) > UNANSWERED:
                    for fuzzer in fuzzers:
                        fuzzer.prefer(silent)
                    await _fuzz(servers, fuzzers, findings, MORE_SECONDS)
            after = await _settled(servers, before)
        logs = "".join(server.log.read_text() for server in servers.both)
    report_figures(_figures(findings, seen, before, after))
    assert not findings.wrong, f"all in {findings.file}:\n" + "\n".join(findings.wrong[:SHOWN])
    assert "Traceback" not in logs, logs[logs.index("Traceback") - 500 :][:3_000]
    assert (seen["errors"], seen["lost"], faults(store_url, all_notify=False)) == ([], [], [])
    unanswered = _methods(guarded) - set(findings.answered)
    assert len(unanswered) <= UNANSWERED, unanswered
    for earlier, later in zip(before, after, strict=True):
        assert later <= GROWTH * earlier
    if SOAK:
        assert not WAYS.keys() - {name for name, _ in findings.frames}
        assert sorted(seen["waits"])[len(seen["waits"]) * 99 // 100] < P99_SECONDS


OPEN = [persona(agent_id, team_id) for team_id in TEAMS for agent_id in ("", *AGENTS)]


async def _credentials(
    servers: Servers, admin: Metadata
) -> tuple[list[Persona], str, tuple[str, ...]]:
    """Callers of every role, the bystander's token, and the ids of all their credentials."""
    agents, roles = AGENTS[:4], (admin_pb2.ROLE_OPERATOR, admin_pb2.ROLE_OBSERVER)
    wanted = [
        (bystander.TEAM, bystander.AGENT, admin_pb2.ROLE_AGENT),
        (TEAMS[0], "slow", admin_pb2.ROLE_OPERATOR),
        ("", "", admin_pb2.ROLE_ADMIN),
        *((team, agent, admin_pb2.ROLE_AGENT) for team in TEAMS for agent in agents),
        *((team, "", role) for team in TEAMS for role in roles),
        *((team, agents[0], admin_pb2.ROLE_OPERATOR) for team in TEAMS),
    ]
    personas: list[Persona] = []
    tokens: list[str] = []
    async with grpc.aio.insecure_channel(servers.messaging.address) as channel:
        stub: Any = admin_pb2_grpc.AdminServiceStub(channel)
        for team_id in (*TEAMS, bystander.TEAM):
            await stub.CreateTeam(admin_pb2.CreateTeamRequest(team_id=team_id), metadata=admin)
        for team_id, agent_id, role in wanted:
            request = admin_pb2.CreateCredentialRequest(
                team_id=team_id, agent_id=agent_id, role=role
            )
            made = await stub.CreateCredential(request, metadata=admin)
            tokens.append(made.token)
            personas.append(
                Persona(
                    metadata=bearer(made.token),
                    team_id=team_id,
                    agent_id=agent_id,
                    is_admin=not team_id,
                )
            )
        listed = await stub.ListCredentials(admin_pb2.ListCredentialsRequest(), metadata=admin)
    return personas[1:], tokens[0], tuple(each.credential_id for each in listed.credentials)


def _fuzzers(servers: Servers, personas: list[Persona], pool: Pool) -> list[Fuzzer]:
    addresses = {"messaging": servers.messaging.address, "tasks": servers.tasks.address}
    return [
        Fuzzer(f"{SEED} {number}", addresses, list(personas), pool) for number in range(FUZZERS)
    ]


async def _fuzz(
    servers: Servers, fuzzers: list[Fuzzer], findings: Findings, seconds: float
) -> None:
    end = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(fuzzer.run(findings, end) for fuzzer in fuzzers))
    for server in servers.both:
        assert server.process is not None
        assert server.process.poll() is None, server.log.read_text()[-2_000:]


async def _resident(servers: Servers) -> list[float]:
    """Mebibytes of both servers, once what was begun has ended."""
    await asyncio.sleep(REST_SECONDS)
    return [Memory(server).now() / MEBIBYTE for server in servers.both]


async def _settled(servers: Servers, before: list[float]) -> list[float]:
    """The same once it is not much more than before, or after a while."""
    after = await _resident(servers)
    for _ in range(MORE_REST_SECONDS):
        if all(now <= GROWTH * then for then, now in zip(before, after, strict=True)):
            break
        await asyncio.sleep(1)
        after = [Memory(server).now() / MEBIBYTE for server in servers.both]
    return after


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


def _methods(guarded: bool) -> set[str]:
    """The methods that answer somebody: where nobody is an admin, not those for admins."""
    methods = {
        f"/{service.full_name}/{method.name}"
        for modules in SERVED.values()
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    return {each for each in methods if guarded or ".AdminService/" not in each}


def _figures(
    findings: Findings, seen: dict[str, Any], before: list[float], after: list[float]
) -> str:
    shares = ", ".join(f"{name} {count:,}" for name, count in findings.outcomes.most_common(8))
    return (
        f"seed {SEED}: {sum(findings.calls.values()):,} calls of {len(findings.calls)} methods,"
        f" {sum(findings.frames.values()):,} as frames: {shares}; wrong {len(findings.wrong)};"
        f" another caller: {percentiles(seen['waits'])}, {seen['kept']:,} writes kept; memory"
        f" {' and '.join(f'{a:.0f} to {b:.0f} MiB' for a, b in zip(before, after, strict=True))}"
    )
