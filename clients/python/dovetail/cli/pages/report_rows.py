"""A report as rows for spreadsheets and programs: CSV as RFC 4180 has it, in UTF-8."""

from __future__ import annotations

import csv
import io

from google.protobuf.message import Message

from dovetail.cli.output.render import money
from dovetail.tasks.v1 import tasks_pb2 as work

COLUMNS = (
    *("row", "assignee_id", "total_tasks", "open_tasks", "in_progress_tasks", "completed_tasks"),
    *("failed_tasks", "cancelled_tasks", "average_task_seconds", "oldest_open_create_time"),
    *("unacknowledged_messages", "average_acknowledge_seconds", "input_required_tasks"),
    *("input_tokens", "output_tokens", "cached_tokens", "costs"),
)
"""The first row. New columns come last, and none is renamed: programs read them by name."""

FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What a spreadsheet takes for the beginning of a formula."""

OPEN = (work.TASK_STATE_PENDING, work.TASK_STATE_IN_PROGRESS, work.TASK_STATE_INPUT_REQUIRED)


def rows(report: work.Report) -> str:
    """A row of totals, and one for each assignee; the tasks without one have an empty id."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerow(_totals(report))
    writer.writerows(_assignee(each) for each in report.assignees)
    return written.getvalue()


def _totals(report: work.Report) -> tuple[str | int, ...]:
    """The totals; what only the assignees have is empty if any of them is missing."""
    counts = {each.state: each.count for each in report.states}
    is_whole = len(report.assignees) >= report.total_assignees
    unread = sum(each.unacknowledged_messages for each in report.assignees)
    oldest = [
        each.oldest_open_create_time.ToJsonString()
        for each in report.assignees
        if each.HasField("oldest_open_create_time")
    ]
    return (
        "total",
        "",
        report.total_tasks,
        sum(counts.get(state, 0) for state in OPEN),
        counts.get(work.TASK_STATE_IN_PROGRESS, 0),
        report.completed_tasks,
        counts.get(work.TASK_STATE_FAILED, 0),
        counts.get(work.TASK_STATE_CANCELLED, 0),
        _seconds(report, "average_task_time"),
        min(oldest, default="") if is_whole else "",
        unread if is_whole else "",
        "",
        counts.get(work.TASK_STATE_INPUT_REQUIRED, 0),
        *_used(report),
    )


def _assignee(each: work.AssigneeWorkload) -> tuple[str | int, ...]:
    is_open = each.HasField("oldest_open_create_time")
    return (
        "assignee",
        harmless(each.assignee_id),
        each.total_tasks,
        each.open_tasks,
        each.in_progress_tasks,
        each.completed_tasks,
        each.failed_tasks,
        each.cancelled_tasks,
        _seconds(each, "average_task_time"),
        each.oldest_open_create_time.ToJsonString() if is_open else "",
        each.unacknowledged_messages,
        _seconds(each, "average_acknowledge_time"),
        each.input_required_tasks,
        *_used(each),
    )


def _used(item: work.Report | work.AssigneeWorkload) -> tuple[str | int, ...]:
    """Tokens, and costs such as "0.5 EUR, 7.3 USD"; empty where nothing was reported."""
    if not item.HasField("usage"):
        return ("",) * 4
    usage = item.usage
    tokens = usage.input_tokens, usage.output_tokens, usage.cached_tokens
    return *tokens, money(usage.costs)


def harmless(text: str) -> str:
    """A text that no spreadsheet runs: before what may begin a formula stands an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _seconds(item: Message, field: str) -> str:
    """A length of time in seconds, to the microsecond; empty if there is none."""
    if not item.HasField(field):
        return ""
    whole, micros = divmod(getattr(item, field).ToMicroseconds(), 1_000_000)
    return f"{whole}.{micros:06}"
