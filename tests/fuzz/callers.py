"""Callers that call every method in every way, and note what is wrong with the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc

from fuzz.bystander import SECRET
from fuzz.cases import Case, Maker, Persona, continued, request_class, response_class
from fuzz.frames import FrameSender
from fuzz.pool import Pool
from fuzz.verdicts import judged
from support.pair import identity

STREAM_SECONDS = 0.1
STAY_SECONDS = 0.4
"""How long one who waits for work or messages stays."""

PATIENCE_SECONDS = 40.0
"""After which a call that waits for nothing has no answer."""

FRAMES_SHARE = 0.03
HOLD_SHARE = 0.0005
PERSONAS_MAX = 60
DETAILS_SHOWN = 300
WRONG_MAX = 200
"""After which nobody learns more: all end."""

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(kw_only=True)
class Findings:
    """What came of the calls. Each that went wrong is a line of `file`, whole."""

    file: Path
    calls: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[str] = field(default_factory=Counter[str])
    frames: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    wrong: list[str] = field(default_factory=list[str])

    def count(self, outcome: str, case: Case, details: str = "") -> None:
        """Count an outcome, and keep the case where it is wrong."""
        self.outcomes[outcome] += 1
        if outcome.startswith("WRONG"):
            self.wrong.append(f"{outcome}: {details[:DETAILS_SHOWN]} to {case.line()}")
            with self.file.open("a") as file:
                file.write(f"{outcome}: {details} to {case.line(len(case.payload))}\n")


class Fuzzer:
    """One who calls both servers, one call after the other, by a seed of its own."""

    def __init__(
        self, seed: str, addresses: dict[str, str], personas: list[Persona], pool: Pool
    ) -> None:
        """Call the servers at these addresses as these; tokens that are made are used as well.

        The first of `personas` is for calls whose body does not come: they hold up themselves.
        """
        self._random = Random(seed)
        self._addresses = addresses
        self._slow, *self._personas = personas
        self._first = frozenset(self._personas)
        self._pool = pool
        self._maker = Maker(self._random, pool, self._personas)
        self._sender = FrameSender(self._random, addresses)

    def prefer(self, paths: Collection[str]) -> None:
        """Call these methods half of the time."""
        self._maker.prefer(paths)

    async def run(self, findings: Findings, end: float) -> None:
        """Call until this time of the loop, or until too much is wrong."""
        clock = asyncio.get_running_loop().time
        channels = {
            server: grpc.aio.insecure_channel(address, options=OWN_CONNECTION)
            for server, address in self._addresses.items()
        }
        holding: set[asyncio.Task[None]] = set()
        try:
            while clock() < end and len(findings.wrong) < WRONG_MAX:
                case, roll = self._maker.case(), self._random.random()
                if roll < FRAMES_SHARE:
                    await self._send_frames(case, findings)
                else:
                    await self._call(channels[case.server], case, findings)
                if roll > 1 - HOLD_SHARE:
                    slow = replace(case, persona=self._slow)
                    held = asyncio.create_task(self._sender.hold(slow))
                    holding.add(held)
                    held.add_done_callback(holding.discard)
        finally:
            for held in holding:
                held.cancel()
            await asyncio.gather(*holding, return_exceptions=True)
            for channel in channels.values():
                await channel.close()

    async def _send_frames(self, case: Case, findings: Findings) -> None:
        name, outcome = await self._sender.send(case)
        findings.frames[name, outcome] += 1
        findings.count(f"{outcome} to frames", case, name)

    async def _call(self, channel: grpc.aio.Channel, case: Case, findings: Findings) -> None:
        findings.calls[case.path] += 1
        rpc = channel.unary_stream if case.method.server_streaming else channel.unary_unary
        compression = grpc.Compression.Gzip if case.compressed else None
        call: Any = rpc(case.path, _same, _same)(
            case.payload, metadata=case.metadata, timeout=case.timeout, compression=compression
        )
        stays = STAY_SECONDS if case.waits else PATIENCE_SECONDS
        leaves_after = stays if case.leaves_after is None else case.leaves_after
        leaving = asyncio.get_running_loop().call_later(leaves_after, call.cancel)
        try:
            answers = await _answers(call, case.method.server_streaming)
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            own = case.waits or case.leaves_after is not None
            findings.count("left" if own else "WRONG no answer", case)
        except grpc.aio.AioRpcError as error:
            outcome = judged(error, case)
            findings.count(outcome, case, str(error.details()))
            self._forget_ended(outcome, case.persona)
        else:
            findings.answered[case.path] += 1
            findings.outcomes["answered"] += 1
            self._take(answers, case, findings)
        finally:
            leaving.cancel()
            call.cancel()

    def _take(self, answers: list[bytes], case: Case, findings: Findings) -> None:
        """Learn from answers; what the bystander keeps for itself must not be in them."""
        for content in answers:
            if SECRET.encode() in content:
                findings.count("WRONG another team's message", case)
            answer = response_class(case.method).FromString(content)
            self._pool.learn(case.persona.team_id, answer)
            self._learn_persona(answer)
            if token := getattr(answer, "next_page_token", ""):
                request = continued(request_class(case.method), case.payload, token)
                self._pool.learn_page(case.path, request)

    def _forget_ended(self, outcome: str, ended: Persona) -> None:
        """Let go of a token that was made here and has ended, mostly: others have their turn."""
        made_here = ended in self._personas and ended not in self._first
        if outcome == "CREDENTIAL_ENDED" and made_here and self._random.random() < 0.3:
            self._personas.remove(ended)

    def _learn_persona(self, answer: Any) -> None:
        credential = getattr(answer, "credential", None)
        token = getattr(answer, "token", "")
        if token and credential and len(self._personas) < PERSONAS_MAX:
            self._personas.append(
                Persona(
                    metadata=(("authorization", f"Bearer {token}"),),
                    team_id=credential.team_id,
                    agent_id=credential.agent_id,
                    is_admin=not credential.team_id,
                )
            )


def persona(agent_id: str, team_id: str) -> Persona:
    """Who says of itself who it is."""
    return Persona(metadata=identity(agent_id, team_id), team_id=team_id, agent_id=agent_id)


async def _answers(call: Any, streams: bool) -> list[bytes]:
    if not streams:
        return [await call]
    found: list[bytes] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(STREAM_SECONDS):
            while (answer := await call.read()) is not grpc.aio.EOF:
                found.append(answer)
    return found


def _same(content: bytes) -> bytes:
    return content
