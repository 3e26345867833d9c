"""Errors for ids that are not known: all of them, as many as fit, and known ones that are similar.

The work and the size of an error are bounded: it is made where other writers wait, and gRPC drops
an answer whose metadata is too large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate

from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.store.transaction import Snapshot

# All chosen.
SHOWN_IDS_MAX = 10
SHOWN_BYTES_MAX = 680  # The longest id fits.
COMPARED_IDS_MAX = 3
COMPARED_CHARACTERS_MAX = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What the ids name. `neighbours` returns known ids next to one in the order of ids."""

    word: str
    reason: Reason
    neighbours: Callable[[Snapshot, str], list[str]]


def not_found(
    snapshot: Snapshot, unknown: Sequence[str], kind: Kind, removed: int = 0
) -> NotFoundError:
    """The error for these ids, of which so many were removed."""
    shown = readable(unknown)
    nearest = readable(_nearest(snapshot, unknown, kind))
    names = ", ".join(json.dumps(each, ensure_ascii=False) for each in shown)
    more = f" and {len(unknown) - len(shown)} more" if len(unknown) > len(shown) else ""
    hint = f"; nearest known: {', '.join(nearest)}" if nearest else ""
    is_one = len(unknown) == 1
    which = f"{kind.word} {names} is" if is_one else f"{kind.word}s {names}{more} are"
    gone = (": it was removed" if is_one else f": {removed} of them were removed") * bool(removed)
    return NotFoundError(
        kind.reason,
        f"{which} not known here, in team {snapshot.team_id!r}{gone}{hint}",
        metadata={
            f"{kind.word}_ids": json.dumps(shown, ensure_ascii=False),
            "unknown_count": str(len(unknown)),
            "nearest_ids": json.dumps(nearest, ensure_ascii=False),
            **({"removed_count": str(removed)} if removed else {}),
        },
    )


def _nearest(snapshot: Snapshot, unknown: Sequence[str], kind: Kind) -> list[str]:
    """Known ids that are similar to the unknown ones."""
    found: dict[str, None] = {}
    for each in unknown[:COMPARED_IDS_MAX]:
        known = kind.neighbours(snapshot, each)
        begun = {name[:COMPARED_CHARACTERS_MAX]: name for name in known}
        alike = get_close_matches(each[:COMPARED_CHARACTERS_MAX], begun, n=3)
        found.update((begun[name], None) for name in alike)
    return list(found)


def readable(ids: Sequence[str]) -> list[str]:
    """The first of these ids, as many as fit into an error without cutting one."""
    first = ids[:SHOWN_IDS_MAX]
    sizes = accumulate(len(json.dumps(each, ensure_ascii=False).encode()) + 2 for each in first)
    return [each for each, size in zip(first, sizes, strict=True) if size <= SHOWN_BYTES_MAX]
