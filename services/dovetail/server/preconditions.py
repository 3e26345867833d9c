"""Checks of both services that need more than a request's fields."""

from __future__ import annotations

from dovetail.server.errors import InvalidArgumentError, OutOfRangeError, Reason
from dovetail.server.store.idempotency import IdempotencyKey


def check_same_request(repeat: IdempotencyKey, request_hash: bytes) -> None:
    """Raise InvalidArgumentError if the request differs from the first one with this id."""
    if repeat.request_hash != request_hash:
        raise InvalidArgumentError(
            Reason.REQUEST_ID_REUSED,
            f"request_id {repeat.request_id!r} was used for a request with other content:"
            " a new request needs a new id",
            metadata={"request_id": repeat.request_id},
        )


def check_reached(sequence: int, last: int) -> None:
    """Raise OutOfRangeError for a position that the inbox has not reached."""
    if sequence > last:
        raise OutOfRangeError(
            Reason.CURSOR_IN_FUTURE,
            f"sequence {sequence:,} lies beyond the end of the inbox: 0 to {last:,} are legal",
            metadata={"sequence": str(sequence), "first": "0", "last": str(last)},
        )


def check_kept(sequence: int, removed: int, last: int) -> None:
    """Raise OutOfRangeError for a cursor past which something was removed that would be sent."""
    if sequence < removed:
        raise OutOfRangeError(
            Reason.CURSOR_TOO_OLD,
            f"sequence {sequence:,} lies before what retention has removed: {removed:,} to {last:,}"
            " are legal. Begin at the first delivery that is kept (BEGINNING), or go on from there",
            metadata={"sequence": str(sequence), "first": str(removed), "last": str(last)},
        )
