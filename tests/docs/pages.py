"""The pages that users read, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

INSTALL = ("console install",)
"""Commands that build, install and start it: tests/packaging runs them, without a network."""

RUN = ("console", "console fails", "python")
LANGUAGES = {
    "console go": "go",
    "console typescript": "npm",
    "console java": "mvn",
    "console rust": "cargo",
}
"""Commands that make stubs and run a first program in another language, and what they need."""

READ = ("toml",)
"""Configuration files."""
SHOWN = ("text", "mermaid", "json", "yaml", "proto", "output")
"""What is only looked at; `output` is what the example before it prints."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A block that a reader would run. Output is None where the page shows none."""

    kind: str
    text: str
    output: str | None

    def prints(self, printed: str) -> bool:
        """Whether that is what the page shows; `…` stands for anything."""
        if self.output is None:
            return True
        pattern = ".*".join(re.escape(part) for part in self.output.rstrip().split("…"))
        # A page shows what a terminal does; in a pipe a table has a tab between two cells.
        pattern = re.sub(r"(\\ ){2,}", r"[ \\t]+", pattern)
        lines = "\n".join(line.rstrip() for line in printed.rstrip().splitlines())
        return re.fullmatch(pattern, lines, re.DOTALL) is not None


def fenced(page: Path) -> list[tuple[str, str]]:
    """Every fenced block of a page: its kind and its text."""
    return FENCED.findall(page.read_text())


def examples(page: Path, *kinds: str) -> list[Example]:
    """The examples of these kinds, in order."""
    blocks = [*fenced(page), ("", "")]
    return [
        Example(kind=kind, text=text, output=shown if following == "output" else None)
        for (kind, text), (following, shown) in pairwise(blocks)
        if kind in kinds
    ]


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def pages_with(*kinds: str) -> list[str]:
    """The pages that have such examples, by their path."""
    return [str(page.relative_to(ROOT)) for page in PAGES if examples(page, *kinds)]
