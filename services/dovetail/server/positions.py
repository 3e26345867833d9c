"""Positions in an inbox."""

from __future__ import annotations

from dovetail.server.errors import OutOfRangeError, Reason


def check_reached(sequence: int, last: int) -> None:
    """Refuse a position that the inbox has not reached."""
    if sequence > last:
        raise OutOfRangeError(
            Reason.CURSOR_IN_FUTURE,
            f"sequence {sequence:,} lies beyond the end of the inbox: 0 to {last:,} are legal",
            metadata={"sequence": str(sequence), "first": "0", "last": str(last)},
        )
