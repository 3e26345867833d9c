"""How large a heavy scenario is: whole in a soak, about a tenth in every other run."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("DOVETAIL_SOAK"))


def full_or_tenth(full: int) -> int:
    """A size, of which a soak takes all."""
    return full if SOAK else max(1, full // 10)
