"""Usage: what attempts used as their holders report it, and its sums, exact at any size.

In rows both are JSON text, None where nothing was reported. Costs are whole billionths of a unit of
their currency.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NANOS = 1_000_000_000
FRACTION_DIGITS = 9
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
"""The fields that count tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """An amount in billionths of a unit of a currency."""

    nanos: int
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What one attempt has used so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: Cost | None = None
    model: str = ""
    counters: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageTotal:
    """A sum of usage; the costs in billionths, by currency."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    costs: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def tokens(self) -> int:
        """What a budget of tokens bounds; cached ones are among the input tokens."""
        return self.input_tokens + self.output_tokens

    def plus(self, other: UsageTotal, sign: int = 1) -> UsageTotal:
        """The sum, or with the sign -1 the difference."""
        costs = dict(self.costs)
        for currency, nanos in other.costs.items():
            costs[currency] = costs.get(currency, 0) + sign * nanos
        return UsageTotal(
            input_tokens=self.input_tokens + sign * other.input_tokens,
            output_tokens=self.output_tokens + sign * other.output_tokens,
            cached_tokens=self.cached_tokens + sign * other.cached_tokens,
            costs={currency: nanos for currency, nanos in sorted(costs.items()) if nanos},
        )


NOTHING = UsageTotal()


def total_of(usage: Usage | None) -> UsageTotal:
    """What the usage of one attempt adds to sums."""
    if usage is None:
        return NOTHING
    return UsageTotal(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        costs={usage.cost.currency: usage.cost.nanos} if usage.cost else {},
    )


def sum_of(totals: Iterable[UsageTotal]) -> UsageTotal:
    """The sum of sums."""
    found = NOTHING
    for each in totals:
        found = found.plus(each)
    return found


def encode(usage: Usage) -> str:
    """Usage as it stands in a row."""
    cost = [usage.cost.nanos, usage.cost.currency] if usage.cost else None
    tokens = usage.input_tokens, usage.output_tokens, usage.cached_tokens
    return json.dumps([*tokens, cost, usage.model, usage.counters], ensure_ascii=False)


def decode(text: str | None) -> Usage | None:
    """Usage from a row."""
    if text is None:
        return None
    input_tokens, output_tokens, cached_tokens, cost, model, counters = json.loads(text)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        cost=Cost(nanos=cost[0], currency=cost[1]) if cost else None,
        model=model,
        counters=counters,
    )


def encode_total(total: UsageTotal) -> str:
    """A sum as it stands in a row."""
    return json.dumps(
        [total.input_tokens, total.output_tokens, total.cached_tokens, dict(total.costs)]
    )


def decode_total(text: str | None) -> UsageTotal:
    """A sum from a row."""
    if text is None:
        return NOTHING
    input_tokens, output_tokens, cached_tokens, costs = json.loads(text)
    return UsageTotal(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        costs=costs,
    )


def encode_cost(cost: Cost | None) -> str:
    """A cost as it stands in a row and in the history; empty: there is none."""
    return f"{amount(cost.nanos)} {cost.currency}" if cost else ""


def decode_cost(text: str) -> Cost | None:
    """A cost from a row."""
    if not text:
        return None
    number, currency = text.split(" ")
    whole, _, fraction = number.partition(".")
    nanos = int(whole) * NANOS + int(fraction.ljust(FRACTION_DIGITS, "0"))
    return Cost(nanos=nanos, currency=currency)


def amount(nanos: int) -> str:
    """Billionths as a decimal number, as short as it is exact."""
    whole, fraction = divmod(nanos, NANOS)
    return f"{whole}.{fraction:0{FRACTION_DIGITS}}".rstrip("0").rstrip(".")
