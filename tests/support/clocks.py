"""Machines whose clock is wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def faked(clock: Path) -> dict[str, str]:
    """The variables by which a process takes its clock's offset from a file; its sense of how
    time passes stays its own.
    """
    package = importlib.util.find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    library = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    assert library.exists()
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
