"""Which archives a release reads, and what those of older ones have not."""

from __future__ import annotations

import re

import pytest

from dovetail.server.archives import versions
from dovetail.server.archives.versions import FIRST, NEEDED, check_schema
from dovetail.server.main import FaultyFileError
from dovetail.server.store.engines.base import MIGRATIONS

OURS = sorted(path.stem for path in MIGRATIONS.glob("0*.py"))
CHANGES = re.compile(r"\b(UPDATE|INSERT INTO|DELETE FROM|RENAME|DROP COLUMN|DROP TABLE)\b")
HARMLESS: dict[str, str] = {}
"""Migrations after FIRST that change rows, and why those of an older archive are right without."""


def test_a_migration_that_changes_rows_is_needed_by_archives() -> None:
    changing = {
        path.stem
        for path in MIGRATIONS.glob("0*.py")
        if path.stem > FIRST and CHANGES.search(path.read_text())
    }
    assert changing == {*NEEDED, *HARMLESS}, (
        "rows of an archive that is older than this migration do not have what it writes: name it"
        " in NEEDED in archives/versions.py, which refuses such archives, or say in HARMLESS here"
        " why the rows are right without it"
    )
    assert FIRST in OURS


def test_archives_of_other_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    check_schema(OURS)
    with pytest.raises(FaultyFileError, match=r"header\.schema: is of a newer release .*0999_x"):
        check_schema([*OURS, "0999_x"])
    with pytest.raises(FaultyFileError, match=f"is of an older release .without {FIRST}"):
        check_schema([each for each in OURS if each != FIRST])
    monkeypatch.setattr(versions, "FIRST", OURS[-2])
    check_schema(OURS[:-1])
    monkeypatch.setattr(versions, "NEEDED", {OURS[-1]})
    with pytest.raises(FaultyFileError, match=f"is of an older release .without {OURS[-1]}"):
        check_schema(OURS[:-1])
