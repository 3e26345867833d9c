"""Scraping metrics as Prometheus does, and reading what was said."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

SECONDS = 30.0
Series = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample, and its labels."""


@dataclass(frozen=True)
class Scrape:
    """All samples of one scrape."""

    samples: Mapping[Series, float]

    def value(self, name: str, **labels: str) -> float | None:
        """The value of a series; None if there is none."""
        return self.samples.get((name, frozenset(labels.items())))

    def of(self, name: str) -> dict[Series, float]:
        """The samples of a metric: of a histogram its buckets, sum and count."""
        names = {name, *(f"{name}_{part}" for part in ("bucket", "sum", "count"))}
        return {series: value for series, value in self.samples.items() if series[0] in names}


def fetch(address: str, path: str = "/metrics") -> tuple[int, str]:
    """GET: the status, and the body. It waits, so not for the event loop."""
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def read(text: str) -> Scrape:
    """What an exposition says."""
    return Scrape(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def scrape(address: str) -> Scrape:
    """One scrape."""
    status, text = await asyncio.to_thread(fetch, address)
    assert status == 200, text
    return read(text)
