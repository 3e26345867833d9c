"""Parts that pages are made of: sections and tables."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.cli.pages.markup import Markup, element


def section(title: str, *content: Markup) -> Markup:
    return element("section", element("h2", title), *content)


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], wide: int | None = None
) -> Markup:
    """A table with a caption, that scrolls by itself where it is too wide; `wide` is a chart."""
    kinds = ["wide" if at == wide else None for at in range(len(header))]
    heads = zip(header, kinds, strict=True)
    head = element("tr", *(element("th", each, scope="col", class_=kind) for each, kind in heads))
    body = (
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(
                element("td", cell, class_=kind)
                for cell, kind in zip(row[1:], kinds[1:], strict=True)
            ),
        )
        for row in rows
    )
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)
