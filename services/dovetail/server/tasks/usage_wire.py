"""Usage and costs between requests, values and responses. For `reading` and `proto` only."""

from __future__ import annotations

import re

from dovetail.server.edge.validation import Checks, shown
from dovetail.server.store.tables import usage
from dovetail.server.store.tables.usage import Cost, Usage, UsageTotal
from dovetail.server.tasks.requests import USAGE_MAX
from dovetail.tasks.v1 import tasks_pb2 as pb

COUNTERS_MAX = 8
TOKENS_MAX = 2**63 - 1
NAME_CHARACTERS_MAX = 64
MODEL_CHARACTERS_MAX = 128
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)

_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217 without funds, metals and codes for tests. A closed list bounds what a sum can hold."""

UsageRequest = (
    pb.HeartbeatTaskRequest | pb.ReleaseTaskRequest | pb.CompleteTaskRequest | pb.FailTaskRequest
)


def read_usage(check: Checks, request: UsageRequest, prefix: str = "") -> Usage | None:
    """What an attempt has used so far; None: as reported before."""
    if not request.HasField("usage"):
        return None
    read, field = request.usage, f"{prefix}usage"
    for name in ("input_tokens", "output_tokens", "cached_tokens"):
        check.number(f"{field}.{name}", getattr(read, name), 0, USAGE_MAX)
    check.text(f"{field}.model", read.model, MODEL_CHARACTERS_MAX)
    if len(read.counters) > COUNTERS_MAX:
        check.refuse(f"{field}.counters", f"must have at most {COUNTERS_MAX} entries")
    for name, number in sorted(read.counters.items()):
        if not 1 <= len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
            check.refuse(
                f"{field}.counters[{shown(name)}]",
                f"the name must have 1 to {NAME_CHARACTERS_MAX} printable characters",
            )
        check.number(f"{field}.counters[{shown(name)}]", number, 0, USAGE_MAX)
    return Usage(
        input_tokens=read.input_tokens,
        output_tokens=read.output_tokens,
        cached_tokens=read.cached_tokens,
        cost=read_cost(check, f"{field}.cost", read.cost) if read.HasField("cost") else None,
        model=read.model,
        counters=dict(sorted(read.counters.items())),
    )


def read_budget(check: Checks, field: str, request: pb.CreateTaskRequest | pb.Task) -> str:
    """The most that a tree may cost, as it is stored; empty: any amount."""
    if not request.HasField("max_cost"):
        return ""
    most = read_cost(check, field, request.max_cost)
    if most and not most.nanos:
        check.refuse(f"{field}.amount", "must be more than 0; leave the budget out to have none")
    return usage.encode_cost(most)


def read_cost(check: Checks, field: str, read: pb.Cost) -> Cost | None:
    """An amount of money; None if it is wrong."""
    before = check.violations
    if not _AMOUNT.fullmatch(read.amount):
        check.refuse(
            f"{field}.amount",
            "must be a decimal number such as 12.5: up to 12 digits, after a point up to 9 more,"
            f" is {shown(read.amount)}",
        )
    if read.currency not in CURRENCIES:
        check.refuse(
            f"{field}.currency", f"must be an ISO 4217 code such as EUR, is {shown(read.currency)}"
        )
    if check.violations > before:
        return None
    return usage.decode_cost(f"{read.amount} {read.currency}")


def cost_message(cost: Cost | None) -> pb.Cost | None:
    """An amount of money."""
    return cost and pb.Cost(amount=usage.amount(cost.nanos), currency=cost.currency)


def usage_message(text: str | None) -> pb.Usage | None:
    """What an attempt used, as it is stored."""
    used = usage.decode(text)
    return used and pb.Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.cached_tokens,
        cost=cost_message(used.cost),
        model=used.model,
        counters=used.counters,
    )


def stored_total(text: str | None) -> pb.UsageTotal | None:
    """A sum as it is stored; None before a report."""
    return None if text is None else total_message(usage.decode_total(text))


def total_message(total: UsageTotal) -> pb.UsageTotal:
    """A sum of usage. Tokens stop at what a message can hold: some 9,000 of the largest reports."""
    return pb.UsageTotal(
        input_tokens=min(total.input_tokens, TOKENS_MAX),
        output_tokens=min(total.output_tokens, TOKENS_MAX),
        cached_tokens=min(total.cached_tokens, TOKENS_MAX),
        costs=[
            pb.Cost(amount=usage.amount(nanos), currency=currency)
            for currency, nanos in total.costs.items()
        ],
    )
