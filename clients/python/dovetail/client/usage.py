"""Usage and budgets as Python values: what an attempt used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias, TypedDict

from dovetail.tasks.v1 import tasks_pb2 as pb

CostLike: TypeAlias = tuple[Decimal | int | str, str]
"""An exact amount and the code of its currency: `("0.02", "USD")`."""


class UsageFields(TypedDict, total=False):
    """What an attempt has used so far, in all, as in `Usage` of the contract."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: CostLike | None
    model: str
    counters: Mapping[str, int]


UsageLike: TypeAlias = UsageFields | pb.Usage


def usage_of(used: UsageLike | None) -> pb.Usage | None:
    """The usage that a call reports; None leaves it as it was reported before."""
    if used is None or isinstance(used, pb.Usage):
        return used
    fields: dict[str, Any] = {**used, "cost": cost_of(used.get("cost"))}
    return pb.Usage(**fields)


def cost_of(cost: CostLike | None) -> pb.Cost | None:
    """An amount of money; None leaves it unset."""
    if cost is None:
        return None
    amount, currency = cost
    return pb.Cost(amount=format(Decimal(amount), "f"), currency=currency)
