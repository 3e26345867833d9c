"""The lines of the demo that the README shows are lines that the demo prints."""

from __future__ import annotations

import subprocess

from docs.pages import ROOT, examples
from dovetail.cli.demo.story import ADA, BEN, JOBS


def test_every_task_that_the_readme_shows_is_one_of_the_demo() -> None:
    (shown,) = examples(ROOT / "README.md", "text")
    lines = shown.text.splitlines()
    known = {text for job in JOBS.values() for text in (job.title, job.result)}
    said = [line.rpartition(": ")[2] for line in lines]
    assert [text for text in said if text not in known] == [f"{ADA} ⇒ {BEN}"]


def test_the_first_command_of_the_readme_says_what_it_waits_for() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert planned.index("That takes about a minute") < planned.index("pip install")
