"""A team with its rules, limits and figures, on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from google.protobuf.duration_pb2 import Duration

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.cli.output.cells import one_line
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Column, Group, Shown, Table
from dovetail.cli.output.text import ago, length, local

LoopField: TypeAlias = Literal["hops_max", "thread_messages_per_hour_max", "depth_max", "away_max"]
DEFAULT = " (the servers' default)"
_KEPT = (
    ("messages", "message", "once acknowledged"),
    ("unacknowledged", "unacknowledged", ""),
    ("notices", "notice", ""),
    ("ended tasks", "task", ""),
    ("events", "event", ""),
    ("attempts", "attempt", ""),
)
_LIMITS = (
    ("inbox messages", "inbox_messages"),
    ("inbox bytes", "inbox_bytes"),
    ("messages", "messages"),
    ("bytes", "bytes"),
)
_LOOPS: tuple[tuple[str, LoopField], ...] = (
    ("hops", "hops_max"),
    ("thread, an hour", "thread_messages_per_hour_max"),
    ("depth", "depth_max"),
    ("away", "away_max"),
)


def team(item: pb.Team) -> Shown:
    """A team: what it keeps now, its rules, and its limits."""
    created = f"  created {local(item.create_time)}" if item.HasField("create_time") else ""
    return Group(
        Text.assemble((one_line(item.team_id), "bold"), created),
        _table("keeps now", _figures(item.figures)),
        _table("retention", _rules(item)),
        _table("limits", _limits(item.limits)),
        _table("loops", _loops(item.loop_limits)),
    )


def _table(title: str, rows: Iterator[tuple[str, str]]) -> Shown:
    table = Table(Column(name=title), Column(name="", folds=True, cells_min=20))
    for name, value in rows:
        table.add_row(Text(f"    {name:<16}", style="dim"), value)
    return table


def _figures(figures: pb.TeamFigures) -> Iterator[tuple[str, str]]:
    yield "messages", f"{figures.messages:,}, {_bytes(figures.message_bytes)}"
    yield "notices", f"{figures.notices:,}, {_bytes(figures.notice_bytes)}"
    yield "unacknowledged", f"{figures.unacknowledged_count:,}"
    if figures.HasField("oldest_message_time"):
        yield "oldest message", ago(figures.oldest_message_time)
    yield "agents", f"{figures.agents:,}"
    yield "tasks", f"{figures.tasks:,}, {figures.open_tasks:,} of them open"
    if figures.removed_messages or figures.removed_tasks or figures.removed_through_event:
        removed = f"{figures.removed_messages:,} messages, {figures.removed_tasks:,} tasks"
        yield "removed so far", removed


def _rules(item: pb.Team) -> Iterator[tuple[str, str]]:
    own, effective = item.retention, item.effective_retention
    for name, field, remark in _KEPT:
        age = _said(effective, f"{field}_age")
        said = [f"for {age}" if age else "for ever"]
        fields = [f"{field}_age"]
        if f"{field}_count" in pb.Retention.DESCRIPTOR.fields_by_name:
            fields.append(f"{field}_count")
            if count := getattr(effective, fields[-1]):
                each = " of each task" if field == "attempt" else ""
                said = [*(said if age else []), f"the newest {count:,}{each}"]
        is_own = any(own.HasField(each) for each in fields)  # type: ignore[arg-type]
        is_default = any(effective.HasField(each) for each in fields) and not is_own  # type: ignore[arg-type]
        text = ", at most ".join(said) if age else said[0]
        yield name, f"{text}{f' {remark}' if remark and age else ''}{DEFAULT if is_default else ''}"


def _said(rules: pb.Retention, name: str) -> str:
    age: Duration = getattr(rules, name)
    return length(age) if age.ToMicroseconds() else ""


def _limits(limits: pb.Limits) -> Iterator[tuple[str, str]]:
    for name, field in _LIMITS:
        value = getattr(limits, field)
        shown = _bytes(value) if "bytes" in field else f"{value:,}"
        yield name, shown if value else "none"


def _loops(limits: pb.LoopLimits) -> Iterator[tuple[str, str]]:
    for name, field in _LOOPS:
        if not limits.HasField(field):
            yield name, "as the servers are configured"
        elif field == "away_max":
            yield (
                name,
                length(limits.away_max) if limits.away_max.ToMicroseconds() else "never told",
            )
        else:
            yield name, f"{getattr(limits, field):,}" if getattr(limits, field) else "none"


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1_000 or unit == "GB":
            break
        size /= 1_000
    return f"{number:,} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"
