"""Figures for people: reported, never asserted."""

from __future__ import annotations

from collections.abc import Iterable


def percentiles(seconds: Iterable[float]) -> str:
    """Median, 99th percentile and longest of some lengths of time."""
    found = sorted(seconds)

    def at(share: float) -> str:
        return f"{found[min(len(found) - 1, int(len(found) * share))] * 1_000:.1f} ms"

    return f"p50 {at(0.5)}, p99 {at(0.99)}, longest {at(1)} of {len(found):,}"
