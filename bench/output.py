"""Figures for people and for programs: tables and bars on a terminal, JSON and SVG in files."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import grpc
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.cpu import ROLES
from bench.sending import FOUR_TEAMS, GUARDED
from bench.trials import MARK, Figure

BAR_COLUMNS = 40
WIDTH = 140
TIMES = "\N{MULTIPLICATION SIGN}"
BASE_COLOUR, OTHER_COLOUR = "bright_black", "magenta"
COLOURS = {"sqlite": "green", "postgres": "blue", GUARDED: "yellow", FOUR_TEAMS: "blue"}
TITLES = {
    "send": "SendMessage, 200 bytes, beside an echo of the same request",
    "teams": "SendMessage in four teams at once, beside as many callers in one team",
    "batch": "Messages in batches, beside the same rows written to SQLite directly",
    "deliver": "From the call to the message on an open stream, beside one echo",
    "backlog": "Reading a backlog on a stream, beside the same bytes from memory",
    "fanout": "One message to many agents, until it is on all of their streams",
    "idle": "Memory of an open stream without traffic, in a new server",
    "life": "A task created, started, completed, beside three echoes",
    "claim": "A task claimed and completed, beside two echoes",
    "report": "GetReport of a whole team, beside one echo",
    "search": "SearchMessages, the first page, beside one echo",
    "start": "A command from start to exit, beside the interpreter with nothing to do",
    "guard": "SendMessage with credentials and TLS, beside without",
}


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print a table for each measure."""
    for measure, group in groupby(figures, key=lambda figure: figure.measure):
        console.print(_table(TITLES[measure], list(group)))


def write_json(path: Path, figures: Sequence[Figure]) -> Path:
    """Write the figures, and what they depend on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def draw(path: Path, figures: Sequence[Figure]) -> Path:
    """Draw the rates as bars."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paper = Console(record=True, width=WIDTH, file=io.StringIO())
    paper.print(bars(figures))
    paper.save_svg(str(path), title="Rates, and what they are of the first in each group")
    return path


def machine() -> dict[str, object]:
    """What the figures depend on, in general terms."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "grpcio": grpc.__version__,
    }


def bars(figures: Sequence[Figure]) -> RenderableType:
    """A bar for each rate; those of one case share a scale."""
    lines: list[RenderableType] = []
    for (measure, name), group in groupby(figures, key=lambda each: (each.measure, each.name)):
        of_case = list(group)
        longest = max(figure.rate for figure in of_case)
        lines.append(Text(f"{measure}: {name}", style="bold"))
        lines += [_bar(figure, longest) for figure in of_case]
    return Group(*lines)


def _bar(figure: Figure, longest: float) -> Text:
    filled = max(1, round(BAR_COLUMNS * figure.rate / longest))
    first = figure.ratios[:1]
    ratio = "".join(f"  {_number(each.rate)} of {each.to}" for each in first)
    known = COLOURS.get(figure.target.partition(MARK)[0], OTHER_COLOUR)
    return Text.assemble(
        f"  {figure.target:<26}",
        ("█" * filled, known if first else BASE_COLOUR),
        " " * (BAR_COLUMNS - filled),
        f" {_number(figure.rate)} {figure.unit}/s{ratio}",
    )


def _table(title: str, figures: Sequence[Figure]) -> Table:
    """A line for each case, then one for each target, and for each that it is compared with."""
    has_memory = any(figure.kib is not None for figure in figures)
    roles = [role for role in ROLES if any(figure.cpu_micros[role] for figure in figures)]
    title = f"{title} ({figures[0].unit})"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("on", no_wrap=True)
    cpu = [f"{role}\nCPU µs" for role in roles]
    for heading in ("per s", "p50 ms", "p99 ms", *["KiB each"] * has_memory, *cpu):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("beside", style="dim", no_wrap=True)
    for heading in ("rate", "p50", "p99", "CPU", *["KiB"] * has_memory):
        heading = f"{TIMES} {heading}"
        table.add_column(heading, justify="right", style="dim", no_wrap=True)
    for name, group in groupby(figures, key=lambda figure: figure.name):
        table.add_row(name, style="bold")
        for figure in group:
            values = [figure.rate, figure.p50, figure.p99, *[figure.kib] * has_memory]
            values += [figure.cpu_micros[role] or None for role in roles]
            left = [f"  {figure.target}", *map(_number, values)]
            for cells in _ratio_lines(figure, has_memory):
                table.add_row(*left, *cells)
                left = [""] * len(left)
        table.add_section()
    return table


def _ratio_lines(figure: Figure, has_memory: bool) -> list[list[str]]:
    """The cells of each target with which a figure is compared; one line at least."""
    lines: list[list[str]] = []
    for each in figure.ratios:
        values = (each.rate, each.p50, each.p99, each.cpu, *[each.kib] * has_memory)
        lines.append([each.to, *map(_number, values)])
    return lines or [[]]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
