"""The notes of a release are its section of the changelog."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAIMS = """### Added
- Claims ([how to](docs/how-to/work.md), [a standard](https://example.com/x)).
"""
CHANGELOG = f"""# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

{CLAIMS}
## [0.1.0] - 2026-11-01

### Added
- Everything.
"""


def run(folder: Path, changelog: str, *words: str) -> subprocess.CompletedProcess[str]:
    file = folder / "CHANGELOG.md"
    file.write_text(changelog)
    script = ROOT / "scripts" / "release_notes.py"
    line = [sys.executable, str(script), *words, "--changelog", str(file)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_they_are_its_section_with_links_that_work_elsewhere(tmp_path: Path) -> None:
    done = run(tmp_path, CHANGELOG, "0.2.0", "--links", "https://example.com/v0.2.0")
    assert done.stdout == (
        "### Added\n- Claims ([how to](https://example.com/v0.2.0/docs/how-to/work.md),"
        " [a standard](https://example.com/x)).\n"
    )
    assert run(tmp_path, CHANGELOG, "0.1.0").stdout == "### Added\n- Everything.\n"


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("[0.2.0]", "[0.3.0]", "there is no section [0.2.0]; there are Unreleased, 0.3.0, 0.1.0"),
        (" - 2026-12-01", "", "[0.2.0] has no date"),
        ("[Unreleased]\n", "[Unreleased]\n- More.\n", "[Unreleased] is not empty"),
        (CLAIMS, "", "[0.2.0] says nothing"),
    ],
)
def test_a_changelog_that_is_not_ready_is_refused(
    tmp_path: Path, before: str, after: str, why: str
) -> None:
    assert before in CHANGELOG
    done = run(tmp_path, CHANGELOG.replace(before, after), "0.2.0")
    assert done.returncode == 1
    assert why in done.stderr


def test_our_own_changelog_is_read(tmp_path: Path) -> None:
    done = run(tmp_path, (ROOT / "CHANGELOG.md").read_text(), "none")
    assert "there is no section [none]; there are Unreleased" in done.stderr
