"""Prints the notes of a release: its section of CHANGELOG.md.

    python scripts/release_notes.py VERSION [--links URL] [--changelog FILE]

Links of the changelog lead to files of the repository. Elsewhere they need its address: --links
names that of the files at the release's tag, and stands before each of them.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?\n(.*?)(?=^## |\Z)", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the notes of a release.")
    parser.add_argument("version", help="as the changelog has it: 0.2.0")
    parser.add_argument("--links", default="", help="what stands before links to files")
    parser.add_argument("--changelog", type=Path, default=CHANGELOG)
    given = parser.parse_args()
    text = given.changelog.read_text()
    try:
        print(notes(text, given.version, given.links))
    except ValueError as error:
        sys.exit(f"{given.changelog.name}: {error}")


def notes(changelog: str, version: str, links: str = "") -> str:
    """The notes of a release. Raises ValueError if the changelog is not ready for it."""
    sections = {name: (date, text.strip()) for name, date, text in SECTION.findall(changelog)}
    if version not in sections:
        raise ValueError(f"there is no section [{version}]; there are {', '.join(sections)}")
    date, text = sections[version]
    if not date:
        raise ValueError(f"[{version}] has no date: ## [{version}] - YYYY-MM-DD")
    if not text:
        raise ValueError(f"[{version}] says nothing")
    _, unreleased = sections.get("Unreleased", ("", ""))
    newest = next(name for name in sections if name != "Unreleased")
    if unreleased and newest == version:
        raise ValueError(f"[Unreleased] is not empty: move it to [{version}]")
    base = f"{links.rstrip('/')}/" if links else ""
    return LINK.sub(rf"]({base}\1)", text)


if __name__ == "__main__":
    main()
