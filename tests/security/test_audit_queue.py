"""A slow disk delays no caller of the audit log, and takes no line without a count."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dovetail.server.access.audit import LINES_MAX, Audit

NOTES = LINES_MAX + 2_000


@pytest.fixture
def reader(tmp_path: Path) -> int:
    """The end for reading of a small pipe at `tmp_path`/audit: a disk that takes no more."""
    os.mkfifo(tmp_path / "audit")
    reading = os.open(tmp_path / "audit", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reading, True)
    return reading


def total(lines: list[dict[str, Any]]) -> int:
    """How many notes came, or were said to be lost."""
    lost = [line["count"] for line in lines if line["audit"] == "lines lost"]
    return sum(line["audit"] == "refused" for line in lines) + sum(lost)


def test_lines_for_which_there_is_no_room_are_counted(tmp_path: Path, reader: int) -> None:
    lines: list[dict[str, Any]] = []

    def read() -> None:
        with os.fdopen(reader) as stream:
            lines.extend(json.loads(line) for line in stream)

    reading = threading.Thread(target=read)
    audit = Audit(tmp_path / "audit")
    with audit.open():
        for number in range(NOTES):
            audit.record("refused", number=number)
        reading.start()
    reading.join(30)
    assert any(line["audit"] == "lines lost" for line in lines)
    assert total(lines) == NOTES


def test_a_disk_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, reader: int, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = Audit(tmp_path / "audit")
    with audit.open():
        for number in range(NOTES):
            audit.record("refused", number=number)
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    written = os.read(reader, 4096).count(b"\n")
    os.close(reader)  # Lets the thread go, which writes what is left to standard error.
    assert line["audit"] == "lines lost"
    assert line["count"] == NOTES - written
