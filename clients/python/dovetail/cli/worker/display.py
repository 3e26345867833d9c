"""What a command that runs programs shows: a line for each event, and a status line.

Trouble of its output costs lines of it, and no work.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from dovetail.cli.output.json_values import dumps
from dovetail.cli.output.printing import Output
from dovetail.cli.output.screen import ForegroundLive, console
from dovetail.cli.output.signs import signs
from dovetail.cli.output.sink import Sink, left_out_note
from dovetail.cli.output.terminal import is_in_foreground
from dovetail.cli.output.text import escape_controls

SHOWN_CHARACTERS = 200

Mark = tuple[str, str]
"""The sign of an event, and its colour."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Standard output and standard error, which never block and never raise."""

    out: Sink
    errors: Sink


@contextmanager
def open_streams(chosen: Output) -> Generator[Streams]:
    """The streams of this process, written to their end as far as that is possible."""
    with (
        closing(Sink(sys.stderr)) as errors,
        closing(Sink(sys.stdout, _left_out if chosen.as_json else left_out_note)) as out,
    ):
        yield Streams(out=out, errors=errors)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an event is about, for people and for programs. `key` is its own while under way."""

    key: str
    name: str
    title: str
    facts: Mapping[str, Any]


class Display:
    """Shows the work: a line for each event and, on a terminal, a status line.

    It writes only to sinks: nothing here can fail or wait.
    """

    def __init__(self, streams: Streams, chosen: Output, marks: Mapping[str, Mark]) -> None:
        """Write to `streams`; `marks` has the events, as people see them."""
        self._out = out = streams.out
        self._errors = streams.errors
        self._chosen = chosen
        self._marks = marks
        self._as_json = chosen.as_json
        self._is_gone = False
        self._screen = console(out)
        self._begun: dict[str, float] = {}
        self._counts = Counter[str]()
        self._is_over = False
        self.stopping = False

    @contextmanager
    def open(self) -> Generator[Display]:
        """Show the status line inside the block, if there is a terminal."""
        if self._as_json or not is_in_foreground(self._out):
            yield self
        else:
            with ForegroundLive(console=self._screen, transient=True, get_renderable=self._line):
                yield self
        self._is_over = True
        if not self._as_json:
            self._out.line(self._line().plain)

    def begin(self, event: str, shown: Shown) -> None:
        """Show that something is under way from now on."""
        self._begun[shown.key] = time.monotonic()
        self._show(event, shown, None, "")

    def end(self, event: str, shown: Shown, text: str = "") -> None:
        """Show how it has ended, or an event of what was not under way."""
        now = time.monotonic()
        seconds = now - self._begun.pop(shown.key, now)
        self._counts[event] += 1
        self._show(event, shown, seconds, text)

    def _show(self, event: str, shown: Shown, seconds: float | None, text: str) -> None:
        if self._as_json:
            facts = {"event": event, **shown.facts}
            facts |= {"seconds": round(seconds or 0.0, 3), "text": text}
            self._out.line(self._chosen.line_of(facts))
        else:
            line = self._event_line(event, shown, seconds, text)
            self._screen.print(line, soft_wrap=True)
        if self._out.fault and not self._is_gone:
            self._is_gone = True
            self._errors.line(
                f"dovetail: standard output cannot be written ({self._out.fault}):"
                " the work goes on without it"
            )

    def _line(self) -> Text:
        parts = [f"{count} {event}" for event, count in self._counts.items()]
        if not self._is_over:
            parts.insert(0, f"{len(self._begun)} under way")
            parts += ["stopping"] if self.stopping else []
        return Text("   ".join(parts) or "nothing was done", "dim")

    def _event_line(self, event: str, shown: Shown, seconds: float | None, text: str) -> Text:
        mark, style = self._marks[event]
        line = Text.assemble(
            (f"{signs(mark)} ", style), (escape_controls(shown.name), "bold"), f"  {event}"
        )
        if seconds is None:
            return line.append(f"  {escape_controls(shown.title)}")
        line.append(f" after {seconds:.1f} s", "dim")
        first = " ".join(escape_controls(text).split())[:SHOWN_CHARACTERS]
        return line.append(f"  {first}") if first else line


def _left_out(size: int) -> str:
    """The event for programs that says that events were left out."""
    return dumps({"event": "left_out", "bytes": size})
