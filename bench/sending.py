"""The measures of sending: alone, by several teams, in batches, with credentials."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc

from bench.calls import (
    BODY,
    Call,
    Metadata,
    as_agent,
    caller,
    echo_message,
    message,
    register,
    send_to_self,
)
from bench.cpu import Processes
from bench.fixtures import Engine, Fixtures, Guarded
from bench.programs import run_trial
from bench.raw_sqlite import group_size
from bench.size import Size
from bench.trials import ECHO, Case, Run, closed_loop
from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.messaging.v1 import messaging_pb2 as talk

MANY, TEAMS = 64, 4
ONE_TEAM, FOUR_TEAMS = "one team", "four teams"
OPEN, GUARDED = "open", "guarded"
BATCH_CALLERS, BATCH = 8, 100


async def send(fixtures: Fixtures, size: Size) -> list[Case]:
    """SendMessage from many callers, each of which calls again after each response."""
    for engine in fixtures.engines.values():
        await register(engine, map(caller, range(max(size.callers))))
    echo, peers = fixtures.echo, fixtures.peers.messages
    calls: dict[str, tuple[Processes, Call]] = {ECHO: (echo.processes, partial(echo_message, echo))}
    for name, engine in fixtures.engines.items():
        calls[name] = engine.processes, partial(send_to_self, engine)
    for name, peer in peers.items():
        calls[name] = peer.processes, partial(peer.send, body=BODY.encode())
    return [
        Case(
            measure="send",
            name=f"{callers} callers" if callers > 1 else "1 caller",
            unit="messages",
            targets={
                target: partial(closed_loop, processes, callers, size.seconds, call)
                for target, (processes, call) in calls.items()
            },
            peers=[*peers],
        )
        for callers in size.callers
    ]


async def teams(fixtures: Fixtures, size: Size) -> list[Case]:
    """SendMessage by the same number of callers, in one team and in four at once."""
    for engine in fixtures.engines.values():
        for number in range(TEAMS):
            await register(engine, map(caller, range(MANY)), f"team-{number}")
    cases: list[Case] = []
    for kind in _kinds(fixtures):
        targets: dict[str, Run] = {}
        for engine in _of_kind(fixtures, kind):
            for name, count in ((ONE_TEAM, 1), (FOUR_TEAMS, TEAMS)):
                call = partial(_send_in_team, engine, count)
                targets[name + engine.code.mark] = partial(
                    closed_loop, engine.processes, MANY, size.seconds, call
                )
        name = f"{MANY} callers, {kind}"
        cases.append(
            Case(measure="teams", name=name, unit="messages", targets=targets, base=ONE_TEAM)
        )
    return cases


async def batch(fixtures: Fixtures, size: Size) -> list[Case]:
    """Batches of messages by a few callers; beside it, the same rows written to SQLite directly.

    Raw SQLite commits in groups as large as ours were in a first run, and in the largest that can
    be: all messages that wait at once.
    """
    targets: dict[str, Run] = {}
    ours = largest = BATCH_CALLERS * BATCH
    for name, engine in fixtures.engines.items():
        await register(engine, map(caller, range(largest)))
        targets[name] = await _batches(engine, size)
        if name == "sqlite":
            await targets[name]()
            ours = group_size(engine.store.url)
    folder = fixtures.folder / "raw"
    folder.mkdir()
    raw: dict[str, Run] = {
        f"raw, groups of {group}": partial(
            run_trial, "bench.raw_sqlite", folder / f"{group}.db", group, size.seconds
        )
        for group in (ours, largest)
    }
    base, *others = raw
    return [
        Case(
            measure="batch",
            name=f"{BATCH_CALLERS} callers, {BATCH} at once",
            unit="messages",
            targets={**raw, **targets},
            base=base,
            peers=others,
        )
    ]


async def guard(fixtures: Fixtures, size: Size) -> list[Case]:
    """SendMessage with credentials and TLS; beside it, without. Each caller has its own token."""
    cases: list[Case] = []
    for kind in _kinds(fixtures):
        targets: dict[str, Run] = {}
        for engine in _of_kind(fixtures, kind):
            await register(engine, map(caller, range(MANY)))
            guarded, mark = fixtures.guarded[kind + engine.code.mark], engine.code.mark
            calls: dict[str, tuple[Processes, Call]] = {
                OPEN: (engine.processes, partial(send_to_self, engine)),
                GUARDED: (
                    guarded.processes,
                    partial(_send_guarded, guarded, await _tokens(guarded, MANY)),
                ),
            }
            for name, (processes, call) in calls.items():
                targets[name + mark] = partial(closed_loop, processes, MANY, size.seconds, call)
        name = f"{MANY} callers, {kind}"
        cases.append(Case(measure="guard", name=name, unit="messages", targets=targets, base=OPEN))
    return cases


def _kinds(fixtures: Fixtures) -> list[str]:
    return [*dict.fromkeys(engine.kind for engine in fixtures.engines.values())]


def _of_kind(fixtures: Fixtures, kind: str) -> list[Engine]:
    return [engine for engine in fixtures.engines.values() if engine.kind == kind]


async def _send_in_team(engine: Engine, teams: int, number: int) -> None:
    agent_id = caller(number)
    metadata = as_agent(agent_id, f"team-{number % teams}")
    await engine.messaging.SendMessage(message(agent_id), metadata=metadata)


async def _batches(engine: Engine, size: Size) -> Run:
    """Callers that send batches; as many single sends at once where there is no RPC for it."""
    method: Any = getattr(engine.messaging, "BatchSendMessages", None)
    if method is None or not await _is_implemented(method):
        single = partial(send_to_self, engine)
        return partial(closed_loop, engine.processes, BATCH_CALLERS * BATCH, size.seconds, single)

    async def send_batch(number: int) -> None:
        agent_id = caller(number)
        await method(_batch_request(agent_id, BATCH), metadata=as_agent(agent_id))

    return partial(
        closed_loop, engine.processes, BATCH_CALLERS, size.seconds, send_batch, each=BATCH
    )


async def _is_implemented(method: Any) -> bool:
    """Whether the server has the RPC: one of an earlier commit may not."""
    try:
        await method(_batch_request(caller(0), 1), metadata=as_agent(caller(0)))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return False
    return True


def _batch_request(agent_id: str, count: int) -> Any:
    request: Any = vars(talk)["BatchSendMessagesRequest"]
    return request(requests=[message(agent_id) for _ in range(count)])


async def _tokens(guarded: Guarded, callers: int) -> list[Metadata]:
    """The metadata of this many callers of a new team."""
    call, team_id = guarded.administration, "team"
    await call.CreateTeam(admin.CreateTeamRequest(team_id=team_id), metadata=guarded.admin)
    tokens: list[Metadata] = []
    for number in range(callers):
        request = admin.CreateCredentialRequest(
            team_id=team_id, agent_id=caller(number), role=admin.ROLE_AGENT
        )
        response = await call.CreateCredential(request, metadata=guarded.admin)
        tokens.append((("authorization", f"Bearer {response.token}"),))
    return tokens


async def _send_guarded(guarded: Guarded, tokens: list[Metadata], number: int) -> None:
    await guarded.messaging.SendMessage(message(caller(number)), metadata=tokens[number])
