"""All metrics, in one table: the code makes them of it, and docs and tests are checked against it.

Labels have few values, and none that callers choose: methods, statuses and reasons of the contract,
states, kinds of rows. Never a team, an agent or a task, of which there may be any number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WRITE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SIZE_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Kind(Enum):
    """The kind of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    FIGURE = "figure"
    """A gauge that is read at a scrape; it is left out where it cannot be read in time."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. `service` is the server that has it; empty: both."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    service: str = ""


def _counter(name: str, text: str, *labels: str, service: str = "") -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, help=text, labels=labels, service=service)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.GAUGE, help=text, labels=labels)


def _figure(name: str, text: str, *labels: str, service: str = "") -> Metric:
    return Metric(name=name, kind=Kind.FIGURE, help=text, labels=labels, service=service)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, help=text, labels=labels, buckets=buckets)


CALLS = _counter(
    "dovetail_calls_total", "Calls that ended, streams among them, by status.", "method", "code"
)
CALL_SECONDS = _histogram(
    "dovetail_call_seconds",
    "How long calls took that are no streams; ReceiveMessages and ClaimTask may wait.",
    _CALL_BUCKETS,
    "method",
)
REFUSALS = _counter(
    "dovetail_refusals_total", "Calls and streams that were refused, by reason.", "reason"
)
OPEN_STREAMS = _gauge("dovetail_open_streams", "Streams that are open.", "method")
DELIVERIES = _counter(
    "dovetail_deliveries_total",
    "Deliveries put into responses of SubscribeInbox and ReceiveMessages.",
    service="messaging",
)
WAKEUP_SECONDS = _histogram(
    "dovetail_wakeup_seconds",
    "From a commit here, or the notice of one elsewhere, until a waiting stream or receiver runs.",
    _WRITE_BUCKETS,
)
LOOP_DELAY = _figure(
    "dovetail_event_loop_delay_seconds", "How long this scrape waited for the event loop."
)
GROUP_SIZE = _histogram(
    "dovetail_commit_group_size", "Units committed together, by one fsync.", _SIZE_BUCKETS
)
COMMIT_WAIT = _histogram(
    "dovetail_commit_wait_seconds",
    "How long the first unit of a group waited for the writer.",
    _WRITE_BUCKETS,
)
TRANSACTION_SECONDS = _histogram(
    "dovetail_transaction_seconds",
    "From the wait for the writer's place to the end of the commit, of a group that wrote.",
    _WRITE_BUCKETS,
)
COMMIT_SECONDS = _histogram(
    "dovetail_commit_seconds",
    "The commit of a group: on SQLite mostly its fsync, on PostgreSQL with the last rows.",
    _WRITE_BUCKETS,
)
WAITING_JOBS = _figure(
    "dovetail_store_waiting_jobs", "Units and queries that wait for a thread of the store.", "queue"
)
STORE_UP = _gauge("dovetail_store_up", "1 if the store responded to the last check of health.")
FIGURES_UP = _figure(
    "dovetail_figures_up", "1 if all that is read from the store was read in time."
)
STORE_BYTES = _figure(
    "dovetail_store_bytes", "The size of the store; `wal` is of SQLite alone.", "part"
)
DISK_FREE = _figure("dovetail_store_disk_free_bytes", "What is free on the disk of a SQLite store.")
OLDEST_UNACKNOWLEDGED = _figure(
    "dovetail_oldest_unacknowledged_seconds",
    "How long ago the oldest message (no notice) that is still unacknowledged was delivered.",
    service="messaging",
)
TASKS = _figure(
    "dovetail_tasks", "Tasks of all teams that are kept, by state.", "state", service="tasks"
)
QUEUE_AGE = _figure(
    "dovetail_queue_age_seconds",
    "How long the ready task that was created first has waited since its last change.",
    service="tasks",
)
LEASES_LOST = _counter(
    "dovetail_leases_lost_total", "Leases that expired, found by this server.", service="tasks"
)
TASK_RETRIES = _counter(
    "dovetail_task_retries_total",
    "Attempts that failed and are followed by another.",
    service="tasks",
)
REMOVED_ROWS = _counter(
    "dovetail_removed_rows_total", "Rows that the cleaner of this server removed.", "kind"
)
CLEANING_SECONDS = _counter(
    "dovetail_cleaning_seconds_total", "Time of the writer that the cleaner of this server took."
)

METRICS = (
    CALLS,
    CALL_SECONDS,
    REFUSALS,
    OPEN_STREAMS,
    DELIVERIES,
    WAKEUP_SECONDS,
    LOOP_DELAY,
    GROUP_SIZE,
    COMMIT_WAIT,
    TRANSACTION_SECONDS,
    COMMIT_SECONDS,
    WAITING_JOBS,
    STORE_UP,
    FIGURES_UP,
    STORE_BYTES,
    DISK_FREE,
    OLDEST_UNACKNOWLEDGED,
    TASKS,
    QUEUE_AGE,
    LEASES_LOST,
    TASK_RETRIES,
    REMOVED_ROWS,
    CLEANING_SECONDS,
)


def of_service(service: str) -> tuple[Metric, ...]:
    """The metrics of a server."""
    return tuple(metric for metric in METRICS if metric.service in ("", service))
