"""Trials: one short run against one target. Cases: the same run against several, in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.cpu import CLIENT, ROLES, Processes, Span

ECHO = "echo"
MARK = "@"
"""Stands between the name of a target and the commit that it runs, if that is not this one."""

MICROS = 1e6
TRIAL_SECONDS_MAX = 120  # Far more than any takes: a run that hangs fails.
Run = Callable[[], Awaitable["Trial"]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of one run.

    How many calls (messages, tasks) there were and how many per second, how long each took in
    milliseconds, what CPU time they took by role in seconds, and how much memory each kept.
    """

    count: int
    rate: float
    cpu: Mapping[str, float]
    p50: float | None = None
    p99: float | None = None
    kib: float | None = None

    @classmethod
    def of(cls, span: Span, seconds: Sequence[float], each: int = 1) -> Trial:
        """From a span, and the duration of each call in it. A call counts as `each`."""
        found, count = sorted(seconds), len(seconds) * each
        return cls(
            count=count,
            rate=count / span.elapsed,
            cpu=span.cpu,
            p50=found[len(found) // 2] * 1_000,
            p99=found[len(found) * 99 // 100] * 1_000,
        )

    @classmethod
    def of_count(cls, span: Span, count: int, kib: float | None = None) -> Trial:
        """From a span in which something was done so often, not one after another."""
        return cls(count=count, rate=count / span.elapsed, cpu=span.cpu, kib=kib)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured, on each target.

    Each target is compared with the target `base`, those that are not `peers` with each of these
    too, and with the same target of another commit. A case with `rounds` runs so often only.
    """

    measure: str
    name: str
    unit: str
    targets: Mapping[str, Run]
    base: str = ECHO
    peers: Sequence[str] = ()
    rounds: int | None = None

    def compared_with(self, target: str) -> list[str]:
        """The targets that a target is compared with."""
        name, _, commit = target.partition(MARK)
        of_commit = f"{self.base}{MARK}{commit}"
        base = of_commit if of_commit in self.targets else self.base
        others = [] if name in (self.base, *self.peers) else [*self.peers]
        others += [each for each in self.targets if each.startswith(f"{target}{MARK}")]
        return [each for each in (base, *others) if each != target]


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A target's values divided by those of another in the same round; medians over the rounds.

    `cpu` is the time of servers and database per call.
    """

    to: str
    rate: float | None
    p50: float | None
    p99: float | None
    cpu: float | None
    kib: float | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A case on one target: medians over the rounds.

    `cpu_micros` is the CPU time per call by role, in microseconds, over all rounds together.
    """

    measure: str
    name: str
    unit: str
    target: str
    rate: float
    p50: float | None
    p99: float | None
    kib: float | None
    cpu_micros: Mapping[str, float]
    ratios: Sequence[Ratio]


async def in_rounds(
    cases: Sequence[Case], rounds: int, advance: Callable[[str], None]
) -> list[Figure]:
    """Run every case in every round, its targets in alternating order."""
    seen: dict[tuple[int, str], list[Trial]] = {}
    for number in range(rounds):
        for index, case in enumerate(cases):
            if case.rounds is not None and number >= case.rounds:
                continue
            targets = list(case.targets.items())
            for target, run in targets if number % 2 == 0 else reversed(targets):
                advance(f"{case.measure}: {case.name}, {target}")
                seen.setdefault((index, target), []).append(
                    await asyncio.wait_for(run(), TRIAL_SECONDS_MAX)
                )
    return [
        _figure(case, target, {each: seen[index, each] for each in case.targets})
        for index, case in enumerate(cases)
        for target in case.targets
    ]


async def closed_loop(
    processes: Processes,
    callers: int,
    seconds: float,
    call: Callable[[int], Awaitable[object]],
    each: int = 1,
) -> Trial:
    """Run callers, each of which calls again as soon as it has its response."""
    taken: list[float] = []
    begin = 0.0

    async def repeat(number: int) -> None:
        after = begin  # So that each calls at least once, even if this process stood still.
        while after < begin + seconds:
            before = time.perf_counter()
            await call(number)
            after = time.perf_counter()
            taken.append(after - before)

    with Span(processes) as span:
        begin = time.perf_counter()
        await asyncio.gather(*map(repeat, range(callers)))
    return Trial.of(span, taken, each)


def _figure(case: Case, target: str, trials: Mapping[str, list[Trial]]) -> Figure:
    own = trials[target]
    count = sum(trial.count for trial in own)
    spent = {role: sum(trial.cpu.get(role, 0.0) for trial in own) for role in ROLES}
    return Figure(
        measure=case.measure,
        name=case.name,
        unit=case.unit,
        target=target,
        rate=median(trial.rate for trial in own),
        p50=_median(trial.p50 for trial in own),
        p99=_median(trial.p99 for trial in own),
        kib=_median(trial.kib for trial in own),
        cpu_micros={role: seconds / count * MICROS for role, seconds in spent.items()},
        ratios=[_ratio(own, each, trials[each]) for each in case.compared_with(target)],
    )


def _ratio(trials: Sequence[Trial], to: str, base: Sequence[Trial]) -> Ratio:
    def of(value: Callable[[Trial], float | None]) -> float | None:
        pairs = [(value(own), value(other)) for own, other in zip(trials, base, strict=True)]
        return _median(own / other if own and other else None for own, other in pairs)

    return Ratio(
        to=to,
        rate=of(lambda trial: trial.rate),
        p50=of(lambda trial: trial.p50),
        p99=of(lambda trial: trial.p99),
        cpu=of(_server_cpu),
        kib=of(lambda trial: trial.kib),
    )


def _server_cpu(trial: Trial) -> float:
    """The CPU time per call of all but the client."""
    spent = (seconds for role, seconds in trial.cpu.items() if role != CLIENT)
    return sum(spent) / trial.count


def _median(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
