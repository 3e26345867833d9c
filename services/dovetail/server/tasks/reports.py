"""The report over tasks: totals, times, workload."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dovetail.server.access.caller import Caller
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import InvalidArgumentError, Reason
from dovetail.server.store.store import Store
from dovetail.server.store.tables import figures, reports
from dovetail.server.store.tables.figures import DurationKind
from dovetail.server.store.tables.reports import Bucket, Report, ReportBasis, Workload
from dovetail.server.store.tables.tasks import TaskFilter, TaskState
from dovetail.server.store.transaction import MICROS, Snapshot

BUCKET_SECONDS_MAX = 366 * 24 * 3600
BUCKETS_MAX = 1_000
ASSIGNEES_MAX = 1_000


class Reports:
    """Makes reports."""

    def __init__(self, store: Store) -> None:
        """Report on the tasks of `store`."""
        self._store = store

    async def get(self, caller: Caller, filter: TaskFilter, bucket: int | None) -> Report:
        """Report on the tasks that match a filter; `bucket` is in microseconds, or None."""
        if not filter.is_empty:
            return await self._store.report(caller.team_id, partial(_scan, filter, bucket))
        if bucket:  # The series is read from all tasks.
            return await self._store.report(caller.team_id, partial(_read_kept, bucket))
        return await self._store.scan(caller.team_id, partial(_read_kept, None))


def _read_kept(bucket: int | None, snapshot: Snapshot) -> Report:
    """Report on all tasks of the team, from the figures that are kept of them."""
    series = _series(snapshot, TaskFilter(), bucket)
    kept = figures.read(snapshot, ASSIGNEES_MAX)
    return Report(
        states=kept.states,
        task_time=kept.durations[DurationKind.TASK_TIME],
        queue_time=kept.durations[DurationKind.QUEUE_TIME],
        input_wait=kept.durations[DurationKind.INPUT_WAIT],
        workloads=kept.workloads,
        total_assignees=kept.assignees,
        series=series,
        oldest_question_time=kept.oldest_question_time,
        basis=ReportBasis.KEPT,
        team=kept.team,
        usage=kept.usage,
        removed_tasks=kept.removed_tasks,
    )


def _scan(filter: TaskFilter, bucket: int | None, snapshot: Snapshot) -> Report:
    """Report on the tasks that match a filter, from the tasks themselves."""
    workloads = reports.workloads(snapshot, filter)
    return Report(
        states={state: _count(workloads, state) for state in TaskState},
        task_time=reports.task_times(snapshot, filter),
        queue_time=reports.queue_times(snapshot, filter),
        input_wait=reports.input_waits(snapshot, filter),
        workloads=_largest(workloads),
        total_assignees=len(workloads),
        series=_series(snapshot, filter, bucket),
        oldest_question_time=reports.oldest_question(snapshot, filter),
        basis=ReportBasis.SCAN,
        team=reports.team(snapshot),
        usage=reports.usage_by_assignee(snapshot, filter),
    )


def check_bucket(check: Checks, bucket: int | None) -> None:
    """Record what is wrong with the duration of a bucket, in microseconds."""
    if bucket is not None and not _is_bucket(bucket):
        check.refuse("bucket_duration", "must be whole seconds, 1 second to 366 days")


def _is_bucket(bucket: int) -> bool:
    return bucket % MICROS == 0 and MICROS <= bucket <= BUCKET_SECONDS_MAX * MICROS


def _count(workloads: list[Workload], state: TaskState) -> int:
    return sum(workload.states.get(state, 0) for workload in workloads)


def _largest(workloads: list[Workload]) -> list[Workload]:
    """Of very many assignees those with the most tasks: the response must fit into a message."""
    if len(workloads) <= ASSIGNEES_MAX:
        return workloads
    by_size = sorted(workloads, key=lambda each: (-sum(each.states.values()), each.assignee_id))
    return sorted(by_size[:ASSIGNEES_MAX], key=lambda each: each.assignee_id)


def _series(snapshot: Snapshot, filter: TaskFilter, bucket: int | None) -> list[Bucket]:
    """Every bucket from the first creation to the last, or the last end; also empty ones."""
    span = bucket and reports.span(snapshot, filter)
    if not bucket or not span:
        return []
    first, last = span[0] - span[0] % bucket, span[1] - span[1] % bucket
    buckets = (last - first) // bucket + 1
    if buckets > BUCKETS_MAX:
        raise InvalidArgumentError(
            Reason.TOO_MANY_BUCKETS,
            f"bucket_duration: {buckets:,} buckets lie between the first creation and the last end,"
            f" the most is {BUCKETS_MAX:,}: take a longer duration or a narrower filter",
            metadata={
                "field": "bucket_duration",
                "buckets": str(buckets),
                "most": str(BUCKETS_MAX),
            },
        )
    created = reports.created(snapshot, filter, bucket)
    ended = reports.ended(snapshot, filter, bucket)
    return [
        Bucket(
            start_time=start,
            created=created.get(start, 0),
            completed=ended.get((start, TaskState.COMPLETED), 0),
            failed=ended.get((start, TaskState.FAILED), 0),
            cancelled=ended.get((start, TaskState.CANCELLED), 0),
        )
        for start in range(first, last + 1, bucket)
    ]


def completions(series: Sequence[Bucket]) -> Sequence[Bucket]:
    """The part of a series from the first completion to the last."""
    completed = [at for at, bucket in enumerate(series) if bucket.completed]
    return series[completed[0] : completed[-1] + 1] if completed else ()
