"""What nobody takes is left out, and counted; who writes never waits."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TextIO

import pytest

from dovetail.cli.output.sink import PENDING_BYTES, Sink
from support.children import SECONDS, child

LINE = "x" * 99
BYTES = len(LINE + "\n")


@pytest.fixture
def pipe() -> Generator[tuple[TextIO, TextIO]]:
    """Both ends of a small pipe."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as writer:
        yield reader, writer


@pytest.mark.parametrize("blocks", [True, False])
def test_lines_for_which_there_is_no_room_are_counted(
    pipe: tuple[TextIO, TextIO], blocks: bool
) -> None:
    reader, writer = pipe
    os.set_blocking(writer.fileno(), blocks)
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(reader), daemon=True)
    total = 3 * PENDING_BYTES // BYTES * BYTES
    with closing(Sink(writer)) as sink:
        for _ in range(total // BYTES):
            sink.line(LINE)
        assert sink.left_out
        reading.start()  # Now there is room again.
        while accounted_for(lines) + sink.left_out < total:
            assert reading.is_alive()
            time.sleep(0.01)  # The reader is to have the interpreter, not this.
    writer.close()
    reading.join(30)
    assert lines[-1].endswith(" bytes left out\n")
    assert accounted_for(lines) == total


def accounted_for(lines: list[str]) -> int:
    """How many bytes of lines came, or were said to be left out."""
    notes = [line for line in lines if line != LINE + "\n"]
    told = [re.fullmatch(r"… ([\d,]+) bytes left out\n", note) for note in notes]
    left_out = sum(int(match[1].replace(",", "")) for match in told if match)
    assert None not in told
    return (len(lines) - len(notes)) * BYTES + left_out


def test_what_a_full_disk_cost_is_said_once_there_is_room(tmp_path: Path) -> None:
    """A disk that has room again is a descriptor that leads elsewhere by then."""
    file = tmp_path / "log"
    with open("/dev/full", "w") as log:
        sink = Sink(log, lambda size: json.dumps({"bytes": size}))
        for _ in range(10):
            sink.line(LINE)
        sink.line("still full")
        while sink.left_out < 10 * BYTES + len("still full\n"):
            assert not sink.fault
            time.sleep(0.01)
        with file.open("w") as room:
            os.dup2(room.fileno(), log.fileno())
        sink.line("room")
        sink.close()
    assert file.read_text() == '{"bytes": 1011}\nroom\n'


def test_without_a_reader_nothing_is_kept(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    reader.close()
    with closing(Sink(writer)) as sink:
        sink.line(LINE)
        while not sink.fault:
            time.sleep(0.01)
        assert sink.fault == "Broken pipe"
        assert sink.write(LINE) == len(LINE)


def test_a_sink_may_lead_nowhere() -> None:
    with closing(Sink(None)) as sink:
        sink.line(LINE)
        assert not sink.isatty()


WRITES = """
import sys
from dovetail.cli.output.sink import Sink

sink = Sink(sys.stdout)
for number in range(2_000):
    sink.line(sys.argv[1] * (number % 200 + 1))
print("queued", file=sys.stderr, flush=True)
sys.stdin.read()
sink.close()
"""


def test_processes_that_write_to_one_pipe_write_whole_lines() -> None:
    """As the workers of one server do into its log, also where its reader comes late."""
    reading, writing = os.pipe()
    with ExitStack() as opened:
        writers = [
            opened.enter_context(
                child(
                    [sys.executable, "-c", WRITES, letter],
                    stdin=subprocess.PIPE,
                    stdout=writing,
                    stderr=subprocess.PIPE,
                )
            )
            for letter in "ab"
        ]
        os.close(writing)
        for each in writers:
            assert each.stderr is not None
            assert each.stderr.readline() == "queued\n"
        with os.fdopen(reading) as reader:
            lines = [next(reader).rstrip("\n") for _ in range(2 * 2_000)]
        for each in writers:
            each.communicate(timeout=SECONDS)
    assert [line for line in lines if line != line[0] * len(line)] == []
    assert Counter(lines) == {letter * (n + 1): 10 for letter in "ab" for n in range(200)}
