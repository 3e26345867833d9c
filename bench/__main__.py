"""`make bench`: measure everything in one run, beside a bare echo server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import output
from bench.fixtures import ENGINES, servers
from bench.measures import MEASURES
from bench.size import FULL, QUICK, Size
from bench.trials import Figure, in_rounds

FOLDER = Path("build/bench")


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads some of these words, with commas between them."""

    def words(text: str) -> list[str]:
        unknown = set(text.split(",")) - set(known)
        if unknown:
            raise click.UsageError(f"{', '.join(unknown)}: choose among {', '.join(known)}")
        return text.split(",")

    return words


@click.command()
@click.option("--quick", is_flag=True, help="Under a minute: fewer and shorter rounds.")
@click.option("--only", type=_some_of(MEASURES), default=",".join(MEASURES), show_default=True)
@click.option("--engines", type=_some_of(ENGINES), default=",".join(ENGINES), show_default=True)
def main(quick: bool, only: list[str], engines: list[str]) -> None:
    """Measure, print tables, and write JSON and a plot to build/bench/."""
    console = Console()
    if not console.is_terminal:
        console.width = output.WIDTH
    figures = asyncio.run(_measure(console, QUICK if quick else FULL, only, engines))
    output.show(console, figures)
    console.print(output.bars(figures))
    for path in output.write(FOLDER, figures):
        console.print(f"written: {path}")


async def _measure(
    console: Console, size: Size, only: Sequence[str], engines: Sequence[str]
) -> list[Figure]:
    columns = (TextColumn("{task.description:<50}"), BarColumn(), TimeElapsedColumn())
    figures: list[Figure] = []
    # Not below the current folder, which the user that runs PostgreSQL may not be able to read.
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-bench-") as folder,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        bar = progress.add_task("starting servers", total=len(only))
        async with servers(Path(folder), engines, only) as fixtures:
            for done, name in enumerate(only):
                progress.update(bar, description=f"{name}: filling stores", completed=done)
                cases = await MEASURES[name](fixtures, size)
                step = 1 / (size.rounds * sum(len(case.targets) for case in cases))

                def advance(what: str, step: float = step) -> None:
                    progress.update(bar, description=what, advance=step)

                figures += await in_rounds(cases, size.rounds, advance)
    return figures


if __name__ == "__main__":
    main()
