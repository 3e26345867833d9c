"""The page that is served is the one that its sources make."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest

from support.stubs import ROOT, run_commands, skip_without

STATIC = ROOT / "clients" / "python" / "dovetail" / "bridges" / "web" / "static"
BUILD = """
cd clients/web
npm ci --silent --no-audit --no-fund
npm run --silent types
node build.js "$PWD/../../made"
"""


@pytest.mark.timeout(300)
def test_the_page_is_built_from_what_is_committed(tmp_path: Path) -> None:
    skip_without("npm")
    run_commands(BUILD, tmp_path)
    names = sorted(each.name for each in STATIC.iterdir())
    made = tmp_path / "made"
    assert sorted(each.name for each in made.iterdir()) == names
    _, changed, unread = filecmp.cmpfiles(made, STATIC, names, shallow=False)
    assert (changed, unread) == ([], []), "run: make page"
