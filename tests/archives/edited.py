"""Archives in the tests: written, read as lines, changed, and sealed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail.server.main import (
    Imported,
    ImportRequest,
    export_store,
    import_file,
    new_file,
)

Line = dict[str, Any]


def ignore(what: str, done: int, total: int) -> None:
    """A progress that nobody looks at."""
    del what, done, total


def export(url: str, file: Path, *team_ids: str) -> list[str]:
    """Export a store to a new file. Returns its rows."""
    with new_file(file) as out:
        export_store(url, team_ids, out, ignore)
    return rows_of(file)


def rows_of(file: Path) -> list[str]:
    """The lines between header and footer."""
    return file.read_text().splitlines()[1:-1]


def bring(url: str, file: Path, *team_ids: str) -> Imported:
    """Import a file."""
    return import_file(ImportRequest(url=url, file=file, team_ids=team_ids, progress=ignore))


def lines_of(file: Path) -> list[Line]:
    """All lines of a file."""
    return [*map(json.loads, file.read_text().splitlines())]


def seal(lines: Sequence[Line], file: Path) -> Path:
    """Write lines, the last of which is a footer, with counts and checksum that are right."""
    head = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines[:-1]).encode()
    rows: dict[str, int] = {}
    for line in lines[1:-1]:
        (name,) = line
        rows[name] = rows.get(name, 0) + 1
    footer = {"rows": rows, "sha256": hashlib.sha256(head).hexdigest()}
    file.write_bytes(head + json.dumps({"footer": footer}).encode().replace(b" ", b"") + b"\n")
    return file
