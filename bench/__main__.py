"""`make bench`: measure everything in one run, beside a bare echo server."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench import output
from bench.commits import Code, checked_out
from bench.fixtures import Wanted, servers
from bench.measures import MEASURES
from bench.size import FULL, QUICK, Size
from bench.stores import ENGINES
from bench.trials import Figure, in_rounds

FOLDER = Path("build/bench")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the command line asks for."""

    size: Size
    measures: list[str]
    engines: list[str]
    peers: bool
    against: str | None


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads some of these words, with commas between them."""

    def words(text: str) -> list[str]:
        unknown = set(text.split(",")) - set(known)
        if unknown:
            raise click.UsageError(f"{', '.join(unknown)}: choose among {', '.join(known)}")
        return text.split(",")

    return words


@click.command()
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds.")
@click.option("--only", type=_some_of(MEASURES), default=",".join(MEASURES), show_default=True)
@click.option("--engines", type=_some_of(ENGINES), default=",".join(ENGINES), show_default=True)
@click.option("--peers", is_flag=True, help="Measure other programs too, those installed here.")
@click.option("--against", metavar="COMMIT", help="Measure the servers of this commit too.")
@click.option("--json", "path", type=Path, default=FOLDER / "figures.json", show_default=True)
def main(path: Path, quick: bool, only: list[str], **others: Any) -> None:
    """Measure, print tables, and write the figures as JSON and as a plot."""
    console = Console()
    if not console.is_terminal:
        console.width = output.WIDTH
    choice = Choice(size=QUICK if quick else FULL, measures=only, **others)
    figures, missing = asyncio.run(_measure(console, choice))
    output.show(console, figures)
    console.print(output.bars(figures))
    for name in missing:
        console.print(f"not installed, so not measured: {name}")
    for written in (output.write_json(path, figures), output.draw(FOLDER / "plot.svg", figures)):
        console.print(f"written: {written}")


async def _measure(console: Console, choice: Choice) -> tuple[list[Figure], list[str]]:
    """The figures, and the programs that are missing."""
    columns = (TextColumn("{task.description:<60}"), BarColumn(), TimeElapsedColumn())
    figures: list[Figure] = []
    with ExitStack() as stack:
        # Not below the current folder, which the user that runs PostgreSQL may be unable to read.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dovetail-bench-")))
        progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        bar = progress.add_task("starting servers", total=len(choice.measures))
        codes = [Code()]
        if choice.against:
            codes.append(stack.enter_context(checked_out(choice.against, folder / "against")))
        wanted = Wanted(
            measures=choice.measures, engines=choice.engines, codes=codes, peers=choice.peers
        )
        async with servers(folder, wanted) as fixtures:
            for done, name in enumerate(choice.measures):
                progress.update(bar, description=f"{name}: preparing", completed=done)
                cases = await MEASURES[name](fixtures, choice.size)
                step = 1 / (choice.size.rounds * sum(len(case.targets) for case in cases))

                def advance(what: str, step: float = step) -> None:
                    progress.update(bar, description=what, advance=step)

                figures += await in_rounds(cases, choice.size.rounds, advance)
            return figures, fixtures.peers.missing


if __name__ == "__main__":
    main()
