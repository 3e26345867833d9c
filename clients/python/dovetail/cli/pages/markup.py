"""HTML and SVG, built of elements. All text in them is escaped: it is data, never markup."""

from __future__ import annotations

from html import escape

from dovetail.cli.output.text import escape_controls

VOID = frozenset({"meta"})
"""Elements without an end tag."""


class Markup(str):
    """Text that is markup already. Only `element` and the page's own constants make it."""

    __slots__ = ()


def element(kind: str, /, *content: str, **attributes: object) -> Markup:
    """An element. Content that is not Markup is escaped, and so are the values of attributes.

    An attribute is named as a keyword, `class_` and `aria_label` for `class` and `aria-label`; None
    leaves it out.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if kind in VOID else f"</{kind}>"
    return Markup(f"<{kind}{named}>{joined(*content)}{end}")


def joined(*content: str) -> Markup:
    """Several pieces of content, one after the other."""
    return Markup("".join(each if isinstance(each, Markup) else _escaped(each) for each in content))


def written_by_others(text: str) -> Markup:
    """A name or text of other agents: its direction ends where it ends."""
    return element("bdi", text)


def _escaped(text: str) -> str:
    """Text in which nothing is markup, and no character controls what is around it."""
    return escape(escape_controls(text), quote=True)
