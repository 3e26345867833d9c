"""Tables: laid out for the width of a terminal, and separated by tabs in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from dovetail.cli.output.cells import one_line, width
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.console import Group as RichGroup
    from rich.text import Text as RichText

M = TypeVar("M")
Cell: TypeAlias = "str | Text"

NO_LIMIT = 1 << 30
CELLS_MIN = 4
"""A column that is cut keeps so many cells, unless the terminal is narrower than all columns."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, and what becomes of it where the table is wider than the terminal."""

    name: str
    is_number: bool = False
    terminal_min: int = 0
    """A terminal with fewer columns does not show it."""
    cells_min: int = NO_LIMIT
    """It may be cut to so many cells before a column is left out."""
    weight: int = 1
    """It is cut as if it were so many times as wide."""
    folds: bool = False
    """It goes on below instead of being cut."""
    only_on_terminals: bool = False
    """A pipe gets the same in another column."""


@dataclass(kw_only=True)
class Layout:
    """The cells that each column has; None: it is not shown."""

    widths: list[int | None] = field(default_factory=list[int | None])


class Table:
    """Rows below the names of their columns, without lines.

    By itself in a pipe its cells are separated by tabs, each row a line. As a part of a drawing it
    is laid out there too.
    """

    def __init__(self, *columns: str | Column, padding: int = 2, head: str = "dim") -> None:
        """Make a table without rows. A name with # is a column of numbers; none: no head."""
        self.columns = [_column(each) for each in columns]
        self._gap = " " * padding
        self._head = head
        self._has_head = any(each.name for each in self.columns)
        self._rows: list[Sequence[Cell]] = []

    def add_row(self, *cells: Cell) -> None:
        """Add a row."""
        self._rows.append(cells)

    @property
    def plain(self) -> str:
        """The table for a pipe, without the end of its last line."""
        shown = [at for at, each in enumerate(self.columns) if not each.only_on_terminals]
        lines = [[self.columns[at].name for at in shown]] if self._has_head else []
        lines += [[one_line(_plain(row[at])) for at in shown] for row in self._rows]
        return "\n".join(map("\t".join, lines))

    def without_head(self) -> Table:
        """A table with the same columns and no head, which goes on below this one."""
        rest = Table(*self.columns, padding=len(self._gap))
        rest._has_head = False
        return rest

    def lines(self, room: int, layout: Layout | None = None) -> Iterator[Text]:
        """The table in at most `room` cells. A layout that has no widths yet gets them."""
        layout = layout or Layout()
        head = [Text(each.name, style=self._head) for each in self.columns]
        rows = [head, *self._rows] if self._has_head else self._rows
        if not layout.widths:
            layout.widths = fitted(self.columns, rows, room, len(self._gap))
        shown = [
            (column, at, cells)
            for at, (column, cells) in enumerate(zip(self.columns, layout.widths, strict=True))
            if cells is not None
        ]
        for row in rows:
            parts = [_parts(column, _text(row[at]), cells) for column, at, cells in shown]
            for number in range(max(map(len, parts), default=0)):
                yield _joined(shown, parts, number, self._gap)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RichText]:
        for line in self.lines(options.max_width):
            yield line.__rich__()


class Group:
    """Texts and tables, one below the other."""

    def __init__(self, *parts: Shown) -> None:
        """Put them together."""
        self.parts = parts

    @property
    def plain(self) -> str:
        """The drawing for a pipe: as wide as it needs to be."""
        return "\n".join(_drawn(part) for part in self.parts)

    def __rich__(self) -> RichGroup:
        from rich.console import Group as RichGroup

        return RichGroup(*self.parts)


Shown: TypeAlias = "Text | Table | Group"


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[M]):
    """How items are listed: a row each, or a sentence if there are none."""

    columns: Sequence[Column]
    row: Callable[[M], Sequence[Cell]]
    empty: str

    def __call__(self, items: Iterable[M]) -> Shown:
        """A table of all items."""
        table = Table(*self.columns)
        for item in items:
            table.add_row(*self.row(item))
        return table if items else Text(self.empty)


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], room: int, gap: int
) -> list[int | None]:
    """The cells of each column: what its widest cell needs, or less; None for one that is left out.

    First those are left out for which the terminal is too narrow, and those with nothing in them.
    Then the widest of those that may be cut are cut; then the last columns are left out; at last
    all are cut.
    """
    widths: list[int | None] = []
    for at, column in enumerate(columns):
        needed = max((_cells(_plain(row[at])) for row in rows), default=0)
        is_shown = room >= column.terminal_min and not _is_empty(column, rows, at)
        widths.append(min(needed, room) if is_shown else None)
    floors = [each.cells_min for each in columns]
    _cut(columns, widths, floors, _excess(widths, room, gap))
    while _excess(widths, room, gap) > 0 and sum(each is not None for each in widths) > 2:
        last = max(at for at, each in enumerate(widths) if each is not None)
        widths[last] = None
        _cut(columns, widths, floors, _excess(widths, room, gap))
    _cut(columns, widths, [CELLS_MIN] * len(columns), _excess(widths, room, gap))
    return widths


def _cells(text: str) -> int:
    """The cells of the widest line."""
    return max(map(width, text.split("\n")))


def _is_empty(column: Column, rows: Sequence[Sequence[Cell]], at: int) -> bool:
    """Whether a column that some terminals do without has nothing in it below its name."""
    return bool(column.terminal_min) and {_plain(row[at]) for row in rows} <= {"", column.name}


def _excess(widths: Sequence[int | None], room: int, gap: int) -> int:
    shown = [each for each in widths if each is not None]
    return sum(shown) + gap * (len(shown) - 1) - room


def _cut(
    columns: Sequence[Column], widths: list[int | None], floors: Sequence[int], excess: int
) -> None:
    """Cut the widest column again and again, until all fit or none is wider than its floor."""
    for _ in range(excess):
        wide = [
            (each * column.weight, at)
            for at, (each, column) in enumerate(zip(widths, columns, strict=True))
            if each and each > floors[at]
        ]
        if not wide:
            return
        at = max(wide)[1]
        widths[at] = (widths[at] or 0) - 1


def _parts(column: Column, cell: Text, room: int) -> list[Text]:
    if column.folds:
        return list(cell.folded(room)) or [Text()]
    return [cell.cut(room, signs("…"))]


def _joined(
    shown: Sequence[tuple[Column, int, int]], parts: Sequence[Sequence[Text]], number: int, gap: str
) -> Text:
    """One line of a row: each cell filled up to its width, but for blanks at the end."""
    line, owed = Text(), ""
    for (column, _, cells), part in zip(shown, parts, strict=True):
        cell = part[number] if number < len(part) else Text()
        filling = " " * (cells - width(cell.plain))
        before, after = (filling, "") if column.is_number else ("", filling)
        if cell.plain:
            line.append(owed + before).append_text(cell)
            owed = after + gap
        else:
            owed += filling + gap
    return line


def _column(named: str | Column) -> Column:
    if isinstance(named, Column):
        return named
    return Column(name=named.removeprefix("#"), is_number=named.startswith("#"))


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.plain


def _drawn(part: Shown) -> str:
    if isinstance(part, Table):
        return "\n".join(line.plain for line in part.lines(NO_LIMIT))
    return part.plain
