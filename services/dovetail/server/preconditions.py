"""Checks of both services that need more than a request's fields."""

from __future__ import annotations

from collections.abc import Mapping

from dovetail.server.errors import AbortedError, InvalidArgumentError, OutOfRangeError, Reason
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


def check_etag(what: str, expected: str, etag: str, metadata: Mapping[str, str]) -> None:
    """Raise AbortedError if a thing is not in the version that the caller expects; empty: any."""
    if expected and expected != etag:
        raise AbortedError(
            Reason.ETAG_MISMATCH,
            f"etag: {what} has changed: its etag is {etag!r}, not {expected!r}; read it again",
            metadata={**metadata, "etag": etag},
        )
