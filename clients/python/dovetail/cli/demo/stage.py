"""The output of the demo: a line for each event and, on a terminal, a board of tasks."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from dovetail.cli.demo import story
from dovetail.cli.output import render, reports
from dovetail.cli.output.printing import Output
from dovetail.cli.output.screen import ForegroundLive, console
from dovetail.cli.output.signs import signs
from dovetail.cli.output.terminal import is_ascii, is_in_foreground
from dovetail.cli.output.text import escape_controls
from dovetail.client import Task
from dovetail.tasks.v1 import tasks_pb2 as work

COLOURS = {
    story.PLANNER: "bright_cyan",
    story.ADA: "bright_green",
    story.BEN: "bright_yellow",
    story.REVIEWER: "magenta",
    story.WRITER: "bright_blue",
}
MARKS = {
    "create": ("+", "yellow"),
    "assign": ("⇄", "bold yellow"),
    "start": ("▶", "blue"),
    "complete": ("✔", "bold green"),
    "fail": ("✘", "bold red"),
    "reopen": ("↻", "bold yellow"),
    "send": ("→", ""),
    "arrive": ("←", "dim"),
}
CUT: Any = "crop" if is_ascii() else "ellipsis"
WIDEST = max(map(len, story.NAMES))


@dataclass(frozen=True, kw_only=True)
class Event:
    """An action of an agent, or a message that arrived."""

    agent_id: str
    event: str
    text: str
    task_id: str = ""


class Stage:
    """Shows the demo line by line; with `--json` as an object for each event."""

    def __init__(self, out: Output) -> None:
        """Show the demo on `out`."""
        self._out = out
        self._screen = console()
        self._begin = time.monotonic()
        self._tasks: dict[str, work.Task] = {}
        self._live: ForegroundLive | None = None

    @contextmanager
    def open(self) -> Generator[None]:
        """Show the board below the lines inside the block, if there is a terminal."""
        self._begin = time.monotonic()
        if self._out.as_json or not is_in_foreground():
            yield
            return
        live = ForegroundLive(console=self._screen, transient=True, refresh_per_second=8)
        with live as self._live:
            yield
        self._live = None

    def remark(self, text: Text) -> None:
        """Show a text that is not an agent's action."""
        if not self._out.as_json:
            self._screen.print(text, soft_wrap=True)

    def show(self, event: Event) -> None:
        """Show an event."""
        seconds = time.monotonic() - self._begin
        if self._out.as_json:
            self._out.facts({"seconds": round(seconds, 3), **asdict(event)}, str)
            return
        mark, style = MARKS[event.event]
        line = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        line.add_column(width=7, justify="right")
        line.add_column(width=WIDEST)
        line.add_row(
            Text(f"{seconds:.1f} s", style="dim"),
            Text(event.agent_id, style=COLOURS[event.agent_id]),
            Text(signs(mark), style=style),
            Text(escape_controls(" ".join(event.text.split())), style=style if mark == "←" else ""),
        )
        self._screen.print(line)

    def task(self, agent_id: str, event: str, task: Task, text: str) -> None:
        """Show that an agent changed a task, and the task's new state."""
        self._tasks[task.task_id] = task.proto
        if self._live:
            self._live.update(self._board())
        self.show(Event(agent_id=agent_id, event=event, task_id=task.task_id, text=text))

    def report(self, report: work.Report) -> None:
        """Show the report, at the end."""
        self.remark(Text("\nThe report:\n", style="bold"))
        self._out.item(report, reports.report)

    def _board(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=False)
        for task in self._tasks.values():
            table.add_row(
                Text(task.task_id, style="bold"),
                render.state(task.state),
                Text(task.assignee_id, style=COLOURS.get(task.assignee_id, "")),
                Text(task.title, style="dim", overflow=CUT, no_wrap=True),
            )
        return Group(Text(), table)
