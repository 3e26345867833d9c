"""The meter of a server that exposes metrics: each value in a metric of the library.

Most methods are called on the event loop, and `committed` and `happened` on threads of the writers.
The library's metrics have locks of their own, which are held for less than a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import prometheus_client
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dovetail.server.errors import Reason
from dovetail.server.meter import Happening, Meter
from dovetail.server.metrics import table
from dovetail.server.metrics.table import Kind, Metric
from dovetail.server.store.removal.fronts import Front

Labels = tuple[str, ...]
Figures = Mapping[Metric, Mapping[Labels, float]]
"""What was read for a scrape: of each metric that could be read its values, by labels."""


class PrometheusMeter(Meter):
    """Keeps what it is told, for one server."""

    def __init__(self, service: str) -> None:
        """Begin at zero; the metrics are those of one service."""
        # A second series for each counter, with the time at which it began, is of no use here.
        prometheus_client.disable_created_metrics()
        made = _Made(service)
        self._registry = made.registry
        self._figures = made.figures
        ProcessCollector(registry=self._registry)
        self._calls = made.counter(table.CALLS)
        self._call_seconds = made.histogram(table.CALL_SECONDS)
        self._open_streams = made.gauge(table.OPEN_STREAMS)
        self._deliveries = made.counter(table.DELIVERIES)
        self._wakeups = made.histogram(table.WAKEUP_SECONDS)
        self._group_size = made.histogram(table.GROUP_SIZE)
        self._commit_wait = made.histogram(table.COMMIT_WAIT)
        self._transactions = made.histogram(table.TRANSACTION_SECONDS)
        self._commits = made.histogram(table.COMMIT_SECONDS)
        self._store_up = made.gauge(table.STORE_UP)
        self._happenings = {
            Happening.LEASE_LOST: made.counter(table.LEASES_LOST),
            Happening.TASK_RETRY: made.counter(table.TASK_RETRIES),
        }
        self._cleaning = made.counter(table.CLEANING_SECONDS)
        refusals, removed = made.counter(table.REFUSALS), made.counter(table.REMOVED_ROWS)
        # All of them at once, so that the first refusal is an increase and not a new series.
        self._refusals = {each.value: refusals.labels(each.value) for each in Reason}
        kinds = [each.name.lower() for each in Front]
        self._removed = {each: removed.labels(each) for each in kinds}
        # The series of a method, which the library would look up under a lock at each call. Only
        # methods that exist come here, so these are bounded whatever callers ask for.
        self._ended: dict[tuple[str, str], Counter] = {}
        self._lasted: dict[str, Histogram] = {}
        self._streaming: dict[str, Gauge] = {}

    def exposition(self, figures: Figures) -> bytes:
        """All series as text, with what was read for this scrape."""
        self._figures.read = figures
        return generate_latest(self._registry)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call, and note how long it took."""
        self._count(method, code)
        lasted = self._lasted.get(method)
        if lasted is None:
            lasted = self._lasted[method] = self._call_seconds.labels(_short(method))
        lasted.observe(seconds)

    def call_refused(self, reason: str) -> None:
        """Count a refusal."""
        self._refusals[reason].inc()

    def stream_began(self, method: str) -> None:
        """One more is open."""
        if method not in self._streaming:
            self._streaming[method] = self._open_streams.labels(_short(method))
        self._streaming[method].inc()

    def stream_ended(self, method: str, code: str) -> None:
        """One less is open."""
        self._streaming[method].dec()
        self._count(method, code)

    def delivered(self, count: int) -> None:
        """Count deliveries."""
        self._deliveries.inc(count)

    def woken(self, seconds: float) -> None:
        """Note how long a wake-up took."""
        self._wakeups.observe(seconds)

    def committed(self, units: int, waited: float, transaction: float, commit: float) -> None:
        """Note a commit."""
        self._group_size.observe(units)
        self._commit_wait.observe(waited)
        self._transactions.observe(transaction)
        self._commits.observe(commit)

    def happened(self, what: Happening, count: int) -> None:
        """Count what happened."""
        self._happenings[what].inc(count)

    def removed(self, kind: str, rows: int, seconds: float) -> None:
        """Count what was removed, and the time that it took."""
        self._removed[kind].inc(rows)
        self._cleaning.inc(seconds)

    def store_responded(self, responds: bool) -> None:
        """Keep what the last check of health found."""
        self._store_up.set(responds)

    def _count(self, method: str, code: str) -> None:
        ended = self._ended.get((method, code))
        if ended is None:
            ended = self._ended[method, code] = self._calls.labels(_short(method), code)
        ended.inc()


class _Made:
    """Makes the library's metrics of those of the table, and registers those of one service.

    The others are made too, as both services run code that tells them, and nobody sees them.
    """

    def __init__(self, service: str) -> None:
        self._mine = table.of_service(service)
        self.figures = _FigureCollector(each for each in self._mine if each.kind is Kind.FIGURE)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self.figures)

    def counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self._place(metric))

    def gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self._place(metric))

    def histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name,
            metric.help,
            metric.labels,
            registry=self._place(metric),
            buckets=metric.buckets,
        )

    def _place(self, metric: Metric) -> CollectorRegistry | None:
        return self.registry if metric in self._mine else None


class _FigureCollector(Collector):
    """Shows what was read for a scrape, and nothing of what could not be read."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)
        self.read: Figures = {}

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for metric in self._metrics:
            if metric in self.read:
                family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, value in self.read[metric].items():
                    family.add_metric(labels, value)
                yield family


def _short(method: str) -> str:
    """A method as a label: `MessagingService/SendMessage`."""
    return method.rpartition(".")[2]
