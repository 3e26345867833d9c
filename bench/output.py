"""Figures for people and for programs: tables and bars on a terminal, JSON and SVG in a folder."""

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

from bench.trials import ECHO, GUARDED, OPEN, Figure

BAR_COLUMNS = 40
WIDTH = 100
COLOURS = {
    ECHO: "bright_black",
    OPEN: "bright_black",
    GUARDED: "yellow",
    "sqlite": "green",
    "postgres": "blue",
    "huey": "cyan",
    "procrastinate": "magenta",
}
TITLES = {
    "send": "SendMessage, 200 bytes, beside an echo of the same request",
    "deliver": "From the call to the message on an open stream, beside one echo",
    "backlog": "Reading a backlog on a stream, beside the same bytes from memory",
    "life": "A task created, started, completed, beside three echoes",
    "claim": "A task claimed and completed, beside two echoes, and beside other queues",
    "report": "GetReport of a whole team, beside one echo",
    "guard": "SendMessage with credentials and TLS, beside without",
}


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print a table for each measure."""
    for measure, group in groupby(figures, key=lambda figure: figure.measure):
        console.print(_table(TITLES[measure], list(group)))


def write(folder: Path, figures: Sequence[Figure]) -> list[Path]:
    """Write `figures.json` and `plot.svg`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, plot = folder / "figures.json", folder / "plot.svg"
    content = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    data.write_text(json.dumps(content, indent=2) + "\n")
    paper = Console(record=True, width=WIDTH, file=io.StringIO())
    paper.print(bars(figures))
    paper.save_svg(str(plot), title="Rates, and what they are of the first in each group")
    return [data, plot]


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
    ratio = f"  {figure.rate_ratio:.2f} of {figure.base}" if figure.target != figure.base else ""
    return Text.assemble(
        f"  {figure.target:<13}",
        ("█" * filled, COLOURS[figure.target]),
        " " * (BAR_COLUMNS - filled),
        f" {_number(figure.rate)} {figure.unit}/s{ratio}",
    )


def _table(title: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("on")
    for heading in (f"{figures[0].unit}/s", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
        table.add_column(f"to {figures[0].base}", justify="right", style="dim")
    for name, group in groupby(figures, key=lambda figure: figure.name):
        for index, figure in enumerate(group):
            table.add_row("" if index else name, figure.target, *_cells(figure))
        table.add_section()
    return table


def _cells(figure: Figure) -> list[str]:
    values = (figure.rate, figure.p50, figure.p99)
    ratios = (figure.rate_ratio, figure.p50_ratio, figure.p99_ratio)
    if figure.target == figure.base:
        ratios = (None, None, None)
    return [_number(each) for pair in zip(values, ratios, strict=True) for each in pair]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
