"""Renders a report for people: totals, times, workload, completions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from dovetail.cli.output.charts import columns, merged
from dovetail.cli.output.render import STATE_BARS, STATE_STYLES, state, time_of, used
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.tables import Column, Group, Shown, Table
from dovetail.cli.output.text import escape_controls, length, local
from dovetail.tasks.v1 import tasks_pb2 as work

BAR_COLUMNS = 16
BARS_MAX = 12
ASSIGNEES_MAX = 100
"""Rows of a table of assignees: of more, those with the most tasks are shown."""

CHART_COLUMNS = 60
ASSIGNEE = Column(name="assignee", cells_min=12, weight=2)
BARS = Column(name="", terminal_min=72)
ASKING = Column(name="asking", is_number=True, terminal_min=80)
CHART_ROWS = 4


def report(item: work.Report) -> Shown:
    """A report: totals, times, workload, completions."""
    parts: list[Shown] = [_totals(item), Text(), _times(item), *_remarks(item)]
    if item.assignees:
        shown, left = largest(item, ASSIGNEES_MAX)
        parts += [Text(), _workload(shown), Text(), _pace(shown)]
        if left:
            parts += [Text(), Text(f"{left:,} assignees with fewer tasks are left out: --csv FILE")]
    if 0 < len(item.series) <= BARS_MAX:
        parts += [Text(), _series(item.series)]
    elif item.completions:
        parts += [Text(), _completions(item.completions)]
    return Group(*parts)


def largest(item: work.Report, most: int) -> tuple[Sequence[work.AssigneeWorkload], int]:
    """So many assignees with the most tasks, in order of id, and how many are left out."""
    rows = sorted(item.assignees, key=lambda row: (-row.total_tasks, row.assignee_id))[:most]
    left = max(item.total_assignees, len(item.assignees)) - len(rows)
    return sorted(rows, key=lambda row: row.assignee_id), left


def _totals(item: work.Report) -> Text:
    total = Text.assemble((f"{item.total_tasks} task{'s' * (item.total_tasks != 1)}", "bold"))
    for count in item.states:
        total.append("   ").append(f"{count.count} ").append_text(state(count.state))
    if item.HasField("usage"):
        total.append(f"   used {used(item.usage)}")
    return total


def _times(item: work.Report) -> Shown:
    grid = Table("time", "#samples", "#average", "#median", "#p95")
    summaries = {
        "start to end": item.task_time,
        "creation to start": item.queue_time,
        "waiting for answers": item.input_wait_time,
    }
    for name, summary in summaries.items():
        grid.add_row(
            name,
            str(summary.sample_count),
            *(_length(summary, field) for field in ("average", "median", "p95")),
        )
    return grid


def _remarks(item: work.Report) -> Iterator[Text]:
    """How exact the times are, what waits for answers, and how much the team talks."""
    if item.basis == work.REPORT_BASIS_KEPT and item.queue_time.sample_count:
        yield Text("median and p95 within 1 %; exact with a filter", style="dim")
    if item.removed_tasks:
        yield Text(f"{item.removed_tasks:,} of these tasks were removed since, and are in no list")
    elif item.HasField("lists_complete_since") and item.basis == work.REPORT_BASIS_SCAN:
        since = local(item.lists_complete_since)
        yield Text(f"whole for tasks that ended since {since}; older ones may be removed")
    if item.HasField("oldest_question_time"):
        yield Text(f"oldest open question: {local(item.oldest_question_time)}")
    if item.basis == work.REPORT_BASIS_KEPT and item.completed_tasks:
        each = item.sent_messages / item.completed_tasks
        messages = f"{item.sent_messages:,} message{'s' * (item.sent_messages != 1)}"
        yield Text(f"{messages}, {each:.1f} for each completed task")


def _workload(rows: Sequence[work.AssigneeWorkload]) -> Shown:
    """How much work each assignee has."""
    states = ("#open", "#working", "#completed", "#failed", "#cancelled")
    grid = Table(ASSIGNEE, BARS, "#tasks", *states, ASKING)
    most = max(row.total_tasks for row in rows)
    for row in rows:
        grid.add_row(
            _assignee(row),
            _work_bar(row, most),
            str(row.total_tasks),
            str(row.open_tasks),
            str(row.in_progress_tasks),
            str(row.completed_tasks),
            str(row.failed_tasks),
            str(row.cancelled_tasks),
            str(row.input_required_tasks),
        )
    return grid


def _pace(rows: Sequence[work.AssigneeWorkload]) -> Shown:
    """How fast each assignee works, and acknowledges messages."""
    grid = Table(ASSIGNEE, "#task time", "oldest open", "#unread", "#to acknowledge")
    for row in rows:
        grid.add_row(
            _assignee(row),
            _length(row, "average_task_time"),
            time_of(row, "oldest_open_create_time") or "-",
            str(row.unacknowledged_messages),
            _length(row, "average_acknowledge_time"),
        )
    return grid


def _assignee(row: work.AssigneeWorkload) -> Text:
    return Text(escape_controls(row.assignee_id) or "(unassigned)", style="cyan")


def _work_bar(row: work.AssigneeWorkload, most: int) -> Text:
    """A bar for the assignee's tasks, with a part for each state, in its colour."""
    parts = {
        work.TASK_STATE_COMPLETED: row.completed_tasks,
        work.TASK_STATE_IN_PROGRESS: row.in_progress_tasks,
        work.TASK_STATE_PENDING: row.open_tasks - row.in_progress_tasks,
        work.TASK_STATE_FAILED: row.failed_tasks,
        work.TASK_STATE_CANCELLED: row.cancelled_tasks,
    }
    whole = Text()
    for value, count in parts.items():
        whole.append(_bar(count, most, STATE_BARS[value]), STATE_STYLES[value])
    return whole


def _series(buckets: Sequence[work.ReportBucket]) -> Shown:
    """What was created and what ended in each bucket, with a bar for what was completed."""
    grid = Table("from", "#created", "#completed", "#failed", "#cancelled", "")
    most = max(1, *(bucket.completed_tasks for bucket in buckets))
    for bucket in buckets:
        grid.add_row(
            local(bucket.start_time),
            str(bucket.created_tasks),
            str(bucket.completed_tasks),
            str(bucket.failed_tasks),
            str(bucket.cancelled_tasks),
            Text(_bar(bucket.completed_tasks, most, "█"), style="green"),
        )
    return grid


def _completions(buckets: Sequence[work.CompletionBucket]) -> Shown:
    """A bar for each bucket; a column chart if there are many."""
    if len(buckets) > BARS_MAX:
        return _chart(buckets)
    grid = Table("from", "completed", "#")
    most = max(bucket.completed_tasks for bucket in buckets)
    for bucket in buckets:
        grid.add_row(
            local(bucket.start_time),
            Text(_bar(bucket.completed_tasks, most, "█"), style="green"),
            str(bucket.completed_tasks),
        )
    return grid


def _chart(buckets: Sequence[work.CompletionBucket]) -> Shown:
    """Completions over time, the most on top, the first and last bucket below."""
    counts, together = merged([bucket.completed_tasks for bucket in buckets], CHART_COLUMNS)
    step = Duration()
    step.FromTimedelta(
        together * (buckets[1].start_time.ToDatetime() - buckets[0].start_time.ToDatetime())
    )
    most = str(max(counts))
    shown = [Text(f"completed in each {length(step)}", style="dim")]
    for row, blocks in enumerate(columns(counts, CHART_ROWS)):
        label = most if row == 0 else ""
        shown.append(
            Text.assemble((f"{label:>{len(most)}} {signs('┤')}", "dim"), (signs(blocks), "green"))
        )
    shown.append(Text(f"{0:>{len(most)}} {signs('└' + '─' * len(counts))}", style="dim"))
    first, last = local(buckets[0].start_time), local(buckets[-1].start_time)
    gap = max(3, len(counts) - len(first) - len(last))
    shown.append(Text(f"{'':>{len(most)}}  {first}{'':>{gap}}{last}", style="dim"))
    return lines(*shown)


def _bar(value: int, most: int, sign: str) -> str:
    """A bar; values above zero are never empty."""
    return signs(sign) * math.ceil(BAR_COLUMNS * value / most) if value else ""


def _length(item: Message, field: str) -> str:
    duration: Duration = getattr(item, field)
    return length(duration) if item.HasField(field) else "-"
