"""Charts as inline SVG: rectangles alone, in the colours of the page's style.

They stretch to the width of what holds them, so they hold no text, which would stretch too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dovetail.cli.pages.markup import Markup, element

UNITS = 1_000
"""How wide and high the coordinates of a chart are."""

GAP = 0.15
"""How much of a column's width is left free."""


class Part(NamedTuple):
    """A part of a bar: its class in the style, its size, and what it is."""

    name: str
    size: int
    title: str


def bar(parts: Iterable[Part], most: int, label: str) -> Markup:
    """A bar of parts, side by side; a bar of the size `most` is as wide as there is room."""
    shapes: list[Markup] = []
    begin = 0.0
    for part in parts:
        width = UNITS * part.size / most if most else 0
        if part.size:
            shapes.append(_rectangle(part, (begin, 0, width, UNITS)))
        begin += width
    return _picture(shapes, "bar", label)


def columns(values: Sequence[Part], label: str) -> Markup:
    """A column for each value, the largest as high as there is room."""
    most = max((each.size for each in values), default=0) or 1
    room = UNITS / max(1, len(values))
    shapes: list[Markup] = []
    for index, each in enumerate(values):
        height = UNITS * each.size / most
        left, width = room * (index + GAP / 2), room * (1 - GAP)
        shapes.append(_rectangle(each, (left, UNITS - height, width, height)))
    return _picture(shapes, "columns", label)


def _rectangle(part: Part, box: tuple[float, float, float, float]) -> Markup:
    x, y, width, height = (f"{each:.2f}" for each in box)
    place = {"x": x, "y": y, "width": width, "height": height}
    return element("rect", element("title", part.title), class_=part.name, **place)


def _picture(shapes: Sequence[Markup], name: str, label: str) -> Markup:
    frame = {"viewBox": f"0 0 {UNITS} {UNITS}", "preserveAspectRatio": "none"}
    return element("svg", *shapes, class_=name, role="img", aria_label=label, **frame)
