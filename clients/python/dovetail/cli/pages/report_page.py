"""A report as one page for browsers: no script, no network, light and dark.

SECTIONS is the order of what it shows. A section returns markup, or nothing where it has nothing
to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from dovetail.cli.output.charts import merged
from dovetail.cli.output.render import money
from dovetail.cli.output.reports import largest
from dovetail.cli.output.text import length, local, release
from dovetail.cli.pages import parts
from dovetail.cli.pages.charts import Part, bar, columns
from dovetail.cli.pages.markup import Markup, element, joined, written_by_others
from dovetail.cli.pages.retried import RetriedTask, retried_tasks
from dovetail.cli.pages.style import STYLE
from dovetail.tasks.v1 import tasks_pb2 as work

ASSIGNEES_MAX = 200
"""Rows of a table of assignees: what a person may still look through, in about 300 KB."""

COLUMNS_MAX = 60
"""Columns of the chart of completions: of more, neighbours are added up."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load or run for this page: its own style."""

NOTHING = Markup("")
UNASSIGNED = "(unassigned)"

STATES = (
    (work.TASK_STATE_COMPLETED, "completed"),
    (work.TASK_STATE_IN_PROGRESS, "in progress"),
    (work.TASK_STATE_INPUT_REQUIRED, "input required"),
    (work.TASK_STATE_PENDING, "pending"),
    (work.TASK_STATE_FAILED, "failed"),
    (work.TASK_STATE_CANCELLED, "cancelled"),
)
"""The states in the order of bars, by name."""

BASES: dict[int, str] = {
    work.REPORT_BASIS_SCAN: "every task was read: all figures are exact",
    work.REPORT_BASIS_KEPT: "figures that are kept beside the tasks: medians and the 95 % are"
    " estimates, at most 1 % away",
}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a report is about: the team, and the conditions that its tasks meet, by name.

    The team is empty where only the caller's token says which it is. Tasks with more than one
    attempt are shown beside the figures.
    """

    team_id: str
    conditions: Sequence[tuple[str, str]] = ()
    retried: Sequence[RetriedTask] = ()


def page(report: work.Report, context: Context) -> str:
    """The whole page, in ASCII: it reads the same whatever encoding it is served in."""
    title = ", ".join(filter(None, ("Report", context.team_id, local(report.report_time))))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    sections = [*(show(report) for show in SECTIONS), retried_tasks(context.retried)]
    footer = element("footer", f"Made by Dovetail {release()}.")
    main = element("main", _heading(report, context), *sections, footer)
    html = element("html", head, element("body", main), lang="en", dir="ltr")
    return f"<!doctype html>\n{html}\n".encode("ascii", "xmlcharrefreplace").decode()


def _heading(report: work.Report, context: Context) -> Markup:
    chosen = context.conditions or (("tasks", "all"),)
    facts = (
        *((name, written_by_others(value)) for name, value in chosen),
        ("as of", local(report.report_time)),
        ("basis", BASES.get(report.basis, f"number {report.basis} of ReportBasis")),
    )
    pairs = (joined(element("dt", name), element("dd", value)) for name, value in facts)
    team = ("Report of team ", written_by_others(context.team_id))
    heading = element("h1", *(team if context.team_id else ("Report",)))
    return element("header", heading, element("dl", *pairs, class_="facts"))


def _totals(report: work.Report) -> Markup:
    """How many tasks, in which state, and how long they took."""
    counts = {each.state: each.count for each in report.states}
    cards = {
        "tasks": f"{report.total_tasks:,}",
        "completed": f"{report.completed_tasks:,}",
        "average task time": _length(report.task_time, "average"),
        "median task time": _length(report.task_time, "median"),
        "95 % of tasks took at most": _length(report.task_time, "p95"),
    }
    card_list = (
        element("div", element("dt", name), element("dd", value)) for name, value in cards.items()
    )
    bars = [
        Part(_class(name), counts.get(state, 0), f"{name}: {counts.get(state, 0):,}")
        for state, name in STATES
    ]
    picture = element("div", bar(bars, report.total_tasks, "Tasks by state"), class_="total")
    rows = [
        (joined(_key(part.name), name), f"{part.size:,}", _share(part.size, report))
        for part, (_, name) in zip(bars, STATES, strict=True)
    ]
    table = parts.table("Tasks by state", ("state", "tasks", "share"), rows)
    return parts.section("Totals", element("dl", *card_list, class_="cards"), picture, table)


def _times(report: work.Report) -> Markup:
    summaries = {
        "from start to end, of completed tasks": report.task_time,
        "from creation to start, of started tasks": report.queue_time,
        "waiting for answers, of tasks that got one": report.input_wait_time,
    }
    rows = [
        (name, f"{each.sample_count:,}", *(_length(each, part) for part in _PERCENTILES))
        for name, each in summaries.items()
    ]
    header = ("time", "tasks", "average", "median", "95 % within")
    return parts.section("Times", parts.table("How long tasks took and waited", header, rows))


_PERCENTILES = ("average", "median", "p95")


def _completions(report: work.Report) -> Markup:
    """Completed tasks over time, as a chart and as a table."""
    buckets = report.completions
    if not buckets:
        nothing = element("p", "No task is completed.", class_="faint")
        return parts.section("Completions over time", nothing)
    counts, together = merged([each.completed_tasks for each in buckets], COLUMNS_MAX)
    starts = [local(each.start_time) for each in buckets[::together]]
    values = [
        Part("completed", count, f"from {start}: {count:,} completed")
        for start, count in zip(starts, counts, strict=True)
    ]
    label = f"Completed tasks over time, from {starts[0]} to {starts[-1]}; at most {max(counts):,}"
    chart = columns(values, label)
    top = element("div", f"{max(counts):,}", class_="axis")
    ends = (element("span", each) for each in (starts[0], starts[-1]))
    axis = element("div", *ends, class_="axis")
    rows = [(start, f"{count:,}") for start, count in zip(starts, counts, strict=True)]
    table = parts.table(f"Completed tasks{_each(report, together)}", ("from", "completed"), rows)
    details = element("details", element("summary", "As a table"), table)
    said = element("p", f"Completed tasks{_each(report, together)}.", class_="faint")
    return parts.section("Completions over time", said, top, chart, axis, details)


def _each(report: work.Report, together: int) -> str:
    """How long the time of a column is, if there are several."""
    if len(report.completions) < 2:
        return ""
    step = Duration()
    first, second = (each.start_time for each in report.completions[:2])
    step.FromTimedelta(together * (second.ToDatetime() - first.ToDatetime()))
    return f" in each {length(step)}"


def _workload(report: work.Report) -> Markup:
    if not report.assignees:
        return NOTHING
    rows_of, said = _assignees(report)
    most = max(each.total_tasks for each in rows_of)
    rows = [
        (
            _assignee(each),
            _work_bar(each, most),
            f"{each.total_tasks:,}",
            f"{each.open_tasks:,}",
            f"{each.in_progress_tasks:,}",
            f"{each.completed_tasks:,}",
            f"{each.failed_tasks:,}",
            f"{each.cancelled_tasks:,}",
        )
        for each in rows_of
    ]
    states = ("open", "in progress", "completed", "failed", "cancelled")
    header = ("assignee", "tasks by state", "tasks", *states)
    return parts.section(
        "Workload", parts.table(f"Tasks of each assignee{said}", header, rows, wide=1)
    )


def _messages(report: work.Report) -> Markup:
    """How fast assignees work, and how many messages wait for them."""
    if not report.assignees:
        return NOTHING
    rows_of, said = _assignees(report)
    rows = [
        (
            _assignee(each),
            _length(each, "average_task_time"),
            _time(each, "oldest_open_create_time"),
            f"{each.unacknowledged_messages:,}",
            _length(each, "average_acknowledge_time"),
        )
        for each in rows_of
    ]
    header = (
        *("assignee", "average task time", "oldest open task created"),
        *("messages not acknowledged", "time to acknowledge"),
    )
    table = parts.table(f"Pace and inbox of each assignee{said}", header, rows)
    return parts.section("Pace and messages", table)


def _usage(report: work.Report) -> Markup:
    """What attempts used, as their holders reported it."""
    if not report.HasField("usage"):
        return NOTHING
    rows_of, said = _assignees(report)
    rows = [("all", *_used(report.usage))]
    rows += [(_assignee(each), *_used(each.usage)) for each in rows_of if each.HasField("usage")]
    header = ("assignee", "input tokens", "of them cached", "output tokens", "costs")
    return parts.section("Usage", parts.table(f"What tasks used, as reported{said}", header, rows))


def _used(usage: work.UsageTotal) -> tuple[str, ...]:
    tokens = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
    return (*(f"{each:,}" for each in tokens), money(usage.costs) or "-")


SECTIONS: tuple[Callable[[work.Report], Markup], ...] = (
    _totals,
    _times,
    _completions,
    _workload,
    _messages,
    _usage,
)
"""What the page shows, in this order."""


def _assignees(report: work.Report) -> tuple[Sequence[work.AssigneeWorkload], str]:
    """The assignees that are shown, the one with the most tasks first, and what is left out."""
    rows, left = largest(report, ASSIGNEES_MAX)
    rows = sorted(rows, key=lambda row: -row.total_tasks)
    said = f": the {len(rows):,} with the most tasks; {left:,} more are left out"
    return rows, said if left else ""


def _work_bar(each: work.AssigneeWorkload, most: int) -> Markup:
    counts = {
        "completed": each.completed_tasks,
        "in progress": each.in_progress_tasks,
        "input required": each.input_required_tasks,
        "pending": each.open_tasks - each.in_progress_tasks - each.input_required_tasks,
        "failed": each.failed_tasks,
        "cancelled": each.cancelled_tasks,
    }
    bars = [Part(_class(name), count, f"{name}: {count:,}") for name, count in counts.items()]
    return bar(bars, most, "; ".join(part.title for part in bars if part.size))


def _key(name: str) -> Markup:
    """The colour of a state, as in the bars."""
    return element("svg", element("rect"), class_=f"key {name}", aria_hidden="true")


def _class(name: str) -> str:
    return name.replace(" ", "-")


def _share(count: int, report: work.Report) -> str:
    return f"{100 * count / report.total_tasks:.1f} %" if report.total_tasks else "-"


def _assignee(row: work.AssigneeWorkload) -> Markup:
    return written_by_others(row.assignee_id) if row.assignee_id else element("i", UNASSIGNED)


def _length(item: Message, field: str) -> str:
    return length(getattr(item, field)) if item.HasField(field) else "-"


def _time(item: Message, field: str) -> str:
    return local(getattr(item, field)) if item.HasField(field) else "-"
