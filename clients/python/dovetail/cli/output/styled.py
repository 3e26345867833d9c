"""Text with styles: what the rest of the command line says to people.

A terminal shows it by way of Rich, which `__rich__` loads: it takes longer to load than most calls
take, and JSON and text in a pipe do without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dovetail.cli.output.cells import beginning, width

if TYPE_CHECKING:
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

    def cut(self, room: int, mark: str) -> Text:
        """The text, or its beginning and a mark, in at most `room` cells."""
        if width(self.plain) <= room:
            return self
        mark = mark[: max(0, room)]
        return self._beginning(room - len(mark)).append(mark)

    def folded(self, room: int) -> Iterator[Text]:
        """The text in lines of at most `room` cells, which end at blanks where that is possible."""
        rest = self
        while rest.plain:
            line = rest.plain.partition("\n")[0]
            end = len(line)
            if width(line) > room:
                fitting = beginning(line, max(room, 2))
                end = fitting.rstrip().rfind(" ") if line[len(fitting)] != " " else len(fitting)
                end = end if line[: max(end, 0)].strip() else len(fitting)
            yield rest._until(end)
            rest = rest._after(end + (rest.plain[end : end + 1] in ("\n", " ")))

    def _until(self, length: int) -> Text:
        piece = Text(style=self.style)
        for text, style in self.parts:
            piece.append(text[:length], style)
            length = max(0, length - len(text))
        return piece

    def _beginning(self, room: int) -> Text:
        piece = Text(style=self.style)
        for text, style in self.parts:
            fitting = beginning(text, room)
            piece.append(fitting, style)
            room -= width(fitting)
            if len(fitting) < len(text):
                break
        return piece

    def _after(self, length: int) -> Text:
        rest = Text(style=self.style)
        for text, style in self.parts:
            if length < len(text):
                rest.append(text[length:], style)
            length = max(0, length - len(text))
        return rest

    def __rich__(self) -> RichText:
        from rich.text import Text as RichText

        shown = RichText(style=self.style)
        for text, style in self.parts:
            shown.append(text, style)
        return shown


def lines(*texts: Text) -> Text:
    """Texts as the lines of one."""
    whole = Text()
    for number, text in enumerate(texts):
        whole.append("\n" if number else "").append_text(text)
    return whole
