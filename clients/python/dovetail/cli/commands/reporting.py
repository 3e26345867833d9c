"""`dovetail report`: totals, times and workload, at a terminal or as files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli import late
from dovetail.cli.commands.known import require_known
from dovetail.cli.commands.tasks import filters, task_filter
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import LENGTH

if TYPE_CHECKING:
    from dovetail.cli.pages.retried import RetriedTask

FIRST_BUCKET = timedelta(minutes=1)
BUCKETS = tuple(
    timedelta(**{unit: count})
    for unit, count in (
        *(("minutes", 1), ("minutes", 5), ("minutes", 15), ("hours", 1), ("hours", 6)),
        *(("days", 1), ("days", 7), ("days", 30), ("days", 90), ("days", 366)),
    )
)
"""Lengths of time for the columns of the page's chart."""

COLUMNS_MAX = 120
"""How many columns are chosen at most; the page adds neighbours up."""

LOOKED_TASKS_MAX = 1_000
RETRIED_TASKS_MAX = 20
SHOWN_ATTEMPTS_MAX = 10
"""Of the tasks that changed last, so many of those with more than one attempt, and of these the
last ones: what a person looks through.
"""


@click.command()
@filters
@click.option("--bucket", type=LENGTH, help="Tasks created and ended per 1h, 1d, …")
@click.option("--html", metavar="FILE", help="Write a page for browsers; -: print it.")
@click.option("--csv", "rows", metavar="FILE", help="Write a row per assignee; -: print them.")
@calls
async def report(
    session: Session,
    bucket: timedelta | None,
    html: str | None,
    rows: str | None,
    **chosen: Any,
) -> None:
    """Show totals, times and workload."""
    files = {"--html": html, "--csv": rows}
    _check_files(session, files)
    if html is not None and bucket is None:
        found = await _read_with_buckets(session, task_filter(**chosen))
    else:
        found = await session.agent.tasks.report(
            filter=task_filter(**chosen), bucket_duration=bucket
        )
    if not found.total_tasks:
        await require_known(session, (*chosen["assignees"], *chosen["creators"]))
    if html is None and rows is None:
        session.out.item(found, late.reports.report)
        return
    await _write(session, found.proto, files, chosen)


def _check_files(session: Session, files: Mapping[str, str | None]) -> None:
    """Refuse names that cannot be written to, before anything is asked for."""
    for option, name in files.items():
        if name == "":
            raise click.UsageError(f"{option} needs the name of a file, or - to print it")
    printed = [option for option, name in files.items() if name == "-"]
    if len(printed) > 1:
        raise click.UsageError("only one of --html and --csv can be printed: name a file")
    if printed and not session.out.for_people:
        raise click.UsageError(f"{printed[0]} - does not go with --json or --brief")


async def _read_with_buckets(
    session: Session, filter: late.tasks_pb2.TaskFilter
) -> late.client.Report:
    """A report with completions in buckets as long as fit the chart.

    The server tells how many there would be of a minute, so two calls do, unless tasks are
    completed in between.
    """
    length = FIRST_BUCKET
    while True:
        try:
            return await session.agent.tasks.report(filter=filter, bucket_duration=length)
        except late.client.InvalidArgumentError as error:
            if error.reason != "TOO_MANY_BUCKETS" or length == BUCKETS[-1]:
                raise
            length = longer_bucket(int(error.metadata["buckets"]) * length, length)


def longer_bucket(span: timedelta, length: timedelta) -> timedelta:
    """A longer bucket, of which few fit into this time."""
    longer = [each for each in BUCKETS if each > length]
    return next((each for each in longer if span <= COLUMNS_MAX * each), longer[-1])


async def _write(
    session: Session,
    found: late.tasks_pb2.Report,
    files: Mapping[str, str | None],
    chosen: Mapping[str, Any],
) -> None:
    from dovetail.cli.pages import files as writing
    from dovetail.cli.pages import report_page, report_rows

    if (name := files["--html"]) is not None:
        context = report_page.Context(
            team_id=session.known_team_id,
            conditions=_conditions(chosen),
            retried=await _retried(session, task_filter(**chosen)),
        )
        writing.write_file("--html", name, report_page.page(found, context).encode())
    if (name := files["--csv"]) is not None:
        writing.write_file("--csv", name, report_rows.rows(found).encode())
    written = {option[2:]: name for option, name in files.items() if name is not None}
    if "-" not in written.values():  # What is printed there is a file by itself.
        session.out.facts(written, lambda: f"written: {', '.join(map(str, written.values()))}")


async def _retried(session: Session, filter: late.tasks_pb2.TaskFilter) -> list[RetriedTask]:
    """The tasks with more than one attempt that changed last, and their attempts."""
    from dovetail.cli.pages.retried import RetriedTask

    tasks = session.agent.tasks
    found: list[RetriedTask] = []
    pages = tasks.list(
        filter=filter, order_by="update_time", order="newest_first", page_size=LOOKED_TASKS_MAX
    )
    for task in await pages.next_page():
        if task.attempt > 1 and len(found) < RETRIED_TASKS_MAX:
            attempts = tasks.attempts(
                task.task_id, order="newest_first", page_size=SHOWN_ATTEMPTS_MAX
            )
            last = [each.proto for each in await attempts.next_page()][::-1]
            left_out = max(0, last[0].attempt - 1) if last else 0
            found.append(RetriedTask(task=task.proto, attempts=last, left_out=left_out))
    return found


def _conditions(chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the options choose, in words."""
    since: datetime | None = chosen["updated_since"]
    words = {
        "state": ", ".join(each.replace("_", " ") for each in chosen["states"]),
        "assignee": ", ".join([*chosen["assignees"], *(["none"] if chosen["unassigned"] else [])]),
        "creator": ", ".join(chosen["creators"]),
        "thread": chosen["thread_id"],
        "changed since": since.isoformat(" ", "seconds") if since else "",
        "label": ", ".join(f"{key}={value}" for key, value in chosen["labels"]),
    }
    return [(name, value) for name, value in words.items() if value]
