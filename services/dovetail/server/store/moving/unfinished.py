"""The mark of a move that has begun and not ended, in the store that it writes to.

It is a table of one row, outside the schema: there is none in a store that is whole. It is made and
advanced in the transactions of the rows, so it says exactly what is written. While it is there no
server opens the store (`Engine.migrate`), so nothing half-moved is taken for whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.store.engines.base import UNFINISHED_TABLE
from dovetail.server.store.moving.places import Place

IMPORT, COPY = "import", "copy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A move: of which kind, from where, and how far it has come.

    `checksum` tells the content of a file. `team_ids` are the teams that it brings; None: all that
    the store holds. All before the byte `position`, which is the first `lines`, is written.
    """

    kind: str
    source: str
    checksum: str = ""
    team_ids: Sequence[str] | None = None
    lines: int = 0
    position: int = 0


def find(place: Place) -> Unfinished | None:
    """The move that has not ended, or None."""
    if UNFINISHED_TABLE not in place.tables():
        return None
    query = f"SELECT kind, source, checksum, team_ids, lines, position FROM {UNFINISHED_TABLE}"
    ((kind, source, checksum, team_ids, lines, position),) = place.rows(query)
    return Unfinished(
        kind=kind,
        source=source,
        checksum=checksum,
        team_ids=json.loads(team_ids),
        lines=lines,
        position=position,
    )


def begin(place: Place, move: Unfinished) -> None:
    """Set the mark, in the transaction of the caller."""
    place.run(
        f"CREATE TABLE {UNFINISHED_TABLE} (kind TEXT NOT NULL, source TEXT NOT NULL,"
        " checksum TEXT NOT NULL, team_ids TEXT NOT NULL, lines BIGINT NOT NULL,"
        " position BIGINT NOT NULL)"
    )
    place.run(
        f"INSERT INTO {UNFINISHED_TABLE} VALUES (?, ?, ?, ?, ?, ?)",
        (
            move.kind,
            move.source,
            move.checksum,
            json.dumps(move.team_ids, ensure_ascii=False),
            move.lines,
            move.position,
        ),
    )


def advance(place: Place, lines: int, position: int) -> None:
    """Move the mark on, in the transaction of the rows."""
    place.run(f"UPDATE {UNFINISHED_TABLE} SET lines = ?, position = ?", (lines, position))


def end(place: Place) -> None:
    """Take the mark away: what the store holds is whole."""
    place.run(f"DROP TABLE {UNFINISHED_TABLE}")
