"""The signs that drawings are made of, with ASCII for terminals that show no others."""

from __future__ import annotations

from dovetail.cli.output.terminal import is_ascii

ASCII = {
    "…": "...",
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "⇄": "%",
    "↻": "~",
    "▶": ">",
    "✔": "+",
    "✘": "x",
    "·": ".",
    "○": "o",
    "●": "*",
    "█": "#",
    "▒": "=",
    "░": ".",
    "▁": "_",
    "▂": "_",
    "▃": "_",
    "▄": ":",
    "▅": ":",
    "▆": "|",
    "▇": "|",
    "─": "-",
    "│": "|",
    "└": "+",
    "├": "|",
    "┤": "|",
}
"""All but the first four, which stand within text, are as wide as what they replace."""

_TABLE = str.maketrans(ASCII)


def signs(text: str) -> str:
    """A text of our own as standard output can show it. Not for the text of other agents."""
    return text.translate(_TABLE) if is_ascii() else text
