"""The page on the architecture names files and names that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from docs.pages import DOCS, ROOT

PAGE = DOCS / "architecture.md"
SERVER = ROOT / "services/dovetail/server"
FOLDERS = (ROOT, SERVER, SERVER / "store", SERVER / "tasks")
"""Where the page's paths begin, as it says in its first lines."""

BY_NAME = ("services", "clients/python", "tests")
"""Where a file is found that the page names without its folder."""

SOURCES = ("protos", "services", "clients/python")
WORDS = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w/]+\.(?:py|proto|toml|md)")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\(…\))?")


def words() -> set[str]:
    """What the page says in code, without its drawings."""
    text = re.sub(r"^```.*?^```$", "", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(WORDS.findall(text))


def test_every_file_that_the_page_names_exists() -> None:
    named = {word for word in words() if FILE.fullmatch(word)}
    assert len(named) > 30
    beside = {path.name for folder in BY_NAME for path in (ROOT / folder).rglob("*.py")}
    lost = {each for each in named if not any((folder / each).exists() for folder in FOLDERS)}
    assert not lost - beside


def test_every_name_that_the_page_gives_is_in_the_code() -> None:
    files = [path for folder in SOURCES for path in Path(ROOT, folder).rglob("*.*")]
    code = "\n".join(path.read_text() for path in files if path.suffix in (".py", ".proto"))
    known = set(re.findall(r"\w+", code))
    named = {word.removesuffix("(…)") for word in words() if NAME.fullmatch(word)}
    lost = {word for word in named if not set(word.split(".")) <= known}
    assert not {word for word in lost if not FILE.fullmatch(word)}
