"""Sketches of durations: how many lie in which bucket, so that percentiles are right within 1 %.

This is a DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019) of whole microseconds. Each bucket ends
2 % above the one below it, or a microsecond above: up to 100 µs all figures are exact. The bounds
are integers made by integer arithmetic, not logarithms: what is stored is taken off again by other
machines, other releases and SQL, and all must choose the same bucket.

They are stored in pages of neighbouring buckets: durations of like size change few rows, and a
reader of a whole sketch has few rows to read.
"""

from __future__ import annotations

from bisect import bisect_left

MICROS_MAX = 2**63 - 1
PAGE_BUCKETS = 16
"""The buckets of a page. Stored figures are made with it."""


def _bounds() -> list[int]:
    """The largest duration of each bucket. Never change it: stored figures are made with it."""
    bounds = [0]
    while bounds[-1] < MICROS_MAX:
        bounds.append(max(bounds[-1] + 1, bounds[-1] * 102 // 100))
    return bounds


BOUNDS = _bounds()


def bucket_of(micros: int) -> int:
    """The number of the bucket that a duration is in."""
    return bisect_left(BOUNDS, micros)


def estimate(bucket: int) -> int:
    """The duration that is at most 1 % from any in the bucket."""
    if bucket == 0:
        return 0
    first, last = BOUNDS[bucket - 1] + 1, BOUNDS[bucket]
    # The harmonic mean is as far, in proportion, from the first as from the last.
    return (2 * first * last + (first + last) // 2) // (first + last)
