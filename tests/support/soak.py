"""How large a heavy scenario is: whole in a soak, about a tenth in every other run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., object])
SOAK = bool(os.environ.get("DOVETAIL_SOAK"))


def full_or_tenth(full: int) -> int:
    """A size, of which a soak takes all."""
    return full if SOAK else max(1, full // 10)


def only_in_soaks(test: T) -> T:
    """A test that starts so many processes that the tests of every change would take too long."""
    skipped = pytest.mark.skipif(not SOAK, reason="many processes: make soak")
    return pytest.mark.soak(skipped(test))
