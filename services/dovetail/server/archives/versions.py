"""Which archives can be read: those of this schema, and of older ones that it only adds to.

The columns that an older archive has not get their defaults, as its rows would have got them when a
migration added the columns. That is right only as long as migrations add: one that changes or fills
rows does so for the rows that there are, and those of an archive come later.
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.server.store.engines.base import MIGRATIONS
from dovetail.server.store.moving.errors import FaultyFileError

FIRST = "0019_attachments"
"""The last migration of the first release that writes archives: each of them has all up to this."""

NEEDED = frozenset[str]()
"""Later migrations that change or fill rows. `tests/archives/test_versions.py` asks for them."""


def check_schema(schema: Sequence[str]) -> None:
    """Refuse an archive whose rows would not be right here. Raises FaultyFileError."""
    ours = sorted(path.stem for path in MIGRATIONS.glob("0*.py"))
    newer = [name for name in schema if name not in ours]
    if newer:
        raise FaultyFileError(
            f"line 1: header.schema: is of a newer release (it has {', '.join(newer)}): import it"
            " with that release"
        )
    missing = [name for name in ours if name not in schema and (name <= FIRST or name in NEEDED)]
    if missing:
        raise FaultyFileError(
            f"line 1: header.schema: is of an older release (without {', '.join(missing)}), whose"
            " rows cannot be read as they are: import it with the release that wrote it, and start"
            " this release on that store, which brings it up to date"
        )
