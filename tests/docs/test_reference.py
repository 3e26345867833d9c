"""What the docs list is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from dovetail.server.errors import Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_is_documented_and_no_other() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    assert re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE) == [r.value for r in Reason]


def test_every_decision_says_context_choice_and_cost() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert decisions
    for decision in decisions:
        text = decision.read_text()
        assert text.startswith(f"# {int(decision.name[:4])}. "), decision.name
        assert all(f"**{part}.**" in text for part in ("Context", "Choice", "Cost")), decision.name


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
