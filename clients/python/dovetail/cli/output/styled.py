"""Text with styles, and tables of it: what the rest of the command line says to people.

A terminal shows it by way of Rich, which `__rich__` loads: it takes longer to load than most calls
take, and JSON and plain text in a pipe do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rich.console import Group as RichGroup
    from rich.table import Table as RichTable
    from rich.text import Text as RichText


class Text:
    """Text of parts with a style each, and a style for all of it."""

    def __init__(self, text: str = "", style: str = "") -> None:
        """Begin with one part."""
        self.style = style
        self.parts: list[tuple[str, str]] = [(text, "")] if text else []

    @classmethod
    def assemble(cls, *parts: str | tuple[str, str] | Text) -> Text:
        """Join parts to one text."""
        whole = cls()
        for part in parts:
            if isinstance(part, Text):
                whole.append_text(part)
            else:
                whole.append(*((part,) if isinstance(part, str) else part))
        return whole

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "".join(text for text, _ in self.parts)

    def append(self, text: str, style: str = "") -> Text:
        """Add a part."""
        self.parts.append((text, style))
        return self

    def append_text(self, other: Text) -> Text:
        """Add all parts of another text."""
        for text, style in other.parts:
            self.append(text, f"{other.style} {style}".strip())
        return self

    def dimmed(self) -> Text:
        """The same text, in grey."""
        whole = Text()
        whole.parts = [(text, f"{self.style} {style} dim".strip()) for text, style in self.parts]
        return whole

    def __rich__(self) -> RichText:
        from rich.text import Text as RichText

        shown = RichText(style=self.style)
        for text, style in self.parts:
            shown.append(text, style)
        return shown


class Table:
    """A table without lines; a column whose name starts with # holds numbers."""

    def __init__(
        self,
        *columns: str,
        padding: int = 1,
        overflow: Literal["ellipsis", "fold"] = "ellipsis",
        head: str = "dim",
    ) -> None:
        """Make a table without rows; without names of columns it has no head."""
        self._columns = columns
        self._padding = padding
        self._overflow: Literal["ellipsis", "fold"] = overflow
        self._head = head
        self._rows: list[tuple[str | Text, ...]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row."""
        self._rows.append(cells)

    def __rich__(self) -> RichTable:
        from rich.table import Table as RichTable

        grid = RichTable(
            box=None,
            pad_edge=False,
            padding=(0, self._padding),
            header_style=self._head,
            show_header=bool(self._columns),
        )
        for name in self._columns:
            grid.add_column(
                name.removeprefix("#"),
                justify="right" if name.startswith("#") else "left",
                overflow=self._overflow,
            )
        for cells in self._rows:
            grid.add_row(*cells)
        return grid


class Group:
    """Texts and tables, one below the other."""

    def __init__(self, *parts: Shown) -> None:
        """Put them together."""
        self._parts = parts

    def __rich__(self) -> RichGroup:
        from rich.console import Group as RichGroup

        return RichGroup(*self._parts)


Shown: TypeAlias = Text | Table | Group


def lines(*texts: Text) -> Text:
    """Texts as the lines of one."""
    whole = Text()
    for number, text in enumerate(texts):
        whole.append("\n" if number else "").append_text(text)
    return whole
