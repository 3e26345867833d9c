"""The page for troubleshooting quotes what the programs really say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from docs.pages import DOCS, ROOT
from dovetail.server.errors import Reason

PAGE = DOCS / "how-to" / "troubleshooting.md"
SOURCES = ("services", "clients/python")


def first_cells() -> list[str]:
    return re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)


def texts() -> Iterator[str]:
    """Every text in the code; what is put into one stands as a mark."""
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
                elif isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "…"
                        for part in node.values
                    )


def test_every_text_that_it_quotes_is_one_of_the_code() -> None:
    quoted = [text for cell in first_cells() for text in re.findall(r"`([^`]+)`", cell)]
    said = [text for text in quoted if " " in text]
    assert len(said) > 20
    known = "\n".join(texts())
    parts = {part.strip() for text in said for part in re.split(r"…|\(it has …\)", text)}
    assert sorted(part for part in parts if part not in known) == []


def test_every_reason_that_it_names_is_one() -> None:
    named = {word for cell in first_cells() for word in re.findall(r"`([A-Z_]{6,})`", cell)}
    assert len(named) > 10
    assert named <= {reason.value for reason in Reason}
