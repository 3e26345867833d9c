"""Trials: one short run against one server. Cases: the same run against several, in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

ECHO = "echo"
OPEN, GUARDED = "open", "guarded"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of one run: how many per second, and how long each took, in milliseconds."""

    rate: float
    p50: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, elapsed: float, seconds: Sequence[float]) -> Trial:
        """From the duration of a run and of each call in it."""
        found = sorted(seconds)
        return cls(
            rate=len(found) / elapsed,
            p50=found[len(found) // 2] * 1_000,
            p99=found[len(found) * 99 // 100] * 1_000,
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured, on each target. All are compared with its target `base`."""

    measure: str
    name: str
    unit: str
    targets: Mapping[str, Callable[[], Awaitable[Trial]]]
    base: str = ECHO


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The medians of a case on one target. Ratios are to `base` in the same round."""

    measure: str
    name: str
    unit: str
    target: str
    base: str
    rate: float
    p50: float | None
    p99: float | None
    rate_ratio: float | None
    p50_ratio: float | None
    p99_ratio: float | None


async def in_rounds(
    cases: Sequence[Case], rounds: int, advance: Callable[[str], None]
) -> list[Figure]:
    """Run every case in every round, its targets in alternating order, and take the medians."""
    seen: dict[tuple[int, str], list[Trial]] = {}
    for number in range(rounds):
        for index, case in enumerate(cases):
            targets = list(case.targets.items())
            for target, run in targets if number % 2 == 0 else reversed(targets):
                advance(f"{case.measure}: {case.name}, {target}")
                seen.setdefault((index, target), []).append(await run())
    return [
        _figure(case, target, seen[index, target], seen[index, case.base])
        for index, case in enumerate(cases)
        for target in case.targets
    ]


async def closed_loop(
    callers: int, seconds: float, call: Callable[[int], Awaitable[object]]
) -> Trial:
    """Run callers, each of which calls again as soon as it has its response."""
    taken: list[float] = []
    begin = time.perf_counter()

    async def repeat(number: int) -> None:
        before = time.perf_counter()
        while before < begin + seconds:
            await call(number)
            after = time.perf_counter()
            taken.append(after - before)
            before = after

    await asyncio.gather(*map(repeat, range(callers)))
    return Trial.of(time.perf_counter() - begin, taken)


def _figure(case: Case, target: str, trials: list[Trial], base: list[Trial]) -> Figure:
    return Figure(
        measure=case.measure,
        name=case.name,
        unit=case.unit,
        target=target,
        base=case.base,
        rate=median(trial.rate for trial in trials),
        p50=_median(trial.p50 for trial in trials),
        p99=_median(trial.p99 for trial in trials),
        rate_ratio=_ratio([t.rate for t in trials], [t.rate for t in base]),
        p50_ratio=_ratio([t.p50 for t in trials], [t.p50 for t in base]),
        p99_ratio=_ratio([t.p99 for t in trials], [t.p99 for t in base]),
    )


def _median(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _ratio(values: Sequence[float | None], base: Sequence[float | None]) -> float | None:
    return _median(v / b if v and b else None for v, b in zip(values, base, strict=True))
