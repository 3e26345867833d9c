"""The whole of the first use in at most fifteen lines, as the docs show it."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from dovetail.client import blocking
from support.processes import process_pair

MOST_LINES = 15
README = Path(__file__).parents[2] / "README.md"


def toy() -> str:
    """The example of `dovetail.client.blocking`."""
    paragraphs = (blocking.__doc__ or "").split("\n\n")
    return textwrap.dedent("\n\n".join(part for part in paragraphs if part.startswith("    ")))


def test_the_whole_of_it_takes_fifteen_lines_at_most() -> None:
    example = toy()
    assert len(example.splitlines()) <= MOST_LINES
    for call in ["send", "receive", "create", "assign", "start", "complete", "report"]:
        assert f".{call}(" in example, call


def test_it_runs_as_it_stands(sqlite_url: str, tmp_path: Path) -> None:
    script = tmp_path / "toy.py"
    with process_pair(sqlite_url, tmp_path) as (messaging, tasks):
        addresses = f"messaging={messaging.address!r}, tasks={tasks.address!r}"
        script.write_text(re.sub(r'connect\("(\w+)"\)', rf'connect("\1", {addresses})', toy()))
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    message, report = done.stdout.splitlines()
    assert message == "alice Can you look at the parser?"
    assert report.startswith("1 0:00:0")


def test_the_readme_shows_it_as_it_is() -> None:
    """A README that shows the blocking client shows exactly what is run here."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    shown = [block for block in blocks if "dovetail.client.blocking" in block]
    assert [block.strip() for block in shown] == [toy().strip()]
