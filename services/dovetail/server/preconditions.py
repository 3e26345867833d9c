"""Checks of both services that need more than a request's fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dovetail.server.errors import (
    AbortedError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    Reason,
)
from dovetail.server.store.idempotency import IdempotencyKey

ATTACHMENTS_SHOWN_MAX = 3
"""Names in an error, each of up to 255 bytes: gRPC drops an answer whose metadata is too large."""


def check_same_request(repeat: IdempotencyKey, request_hash: bytes) -> None:
    """Raise InvalidArgumentError if the request differs from the first one with this id."""
    if repeat.request_hash != request_hash:
        raise InvalidArgumentError(
            Reason.REQUEST_ID_REUSED,
            f"request_id {repeat.request_id!r} was used for a request with other content:"
            " a new request needs a new id",
            metadata={"request_id": repeat.request_id},
        )


def check_reached(sequence: int, last: int, field: str = "sequence") -> None:
    """Raise OutOfRangeError for a position that the inbox has not reached; `field` has it."""
    if sequence > last:
        raise OutOfRangeError(
            Reason.CURSOR_IN_FUTURE,
            f"{field} {sequence:,} lies beyond the end of the inbox: 0 to {last:,} are legal",
            metadata={"sequence": str(sequence), "first": "0", "last": str(last)},
        )


def etag(version: int) -> str:
    """The etag of a task in this version: another one after every change."""
    return f"v{version}"


def check_etag(field: str, task_id: str, version: int, expected: str) -> None:
    """Raise AbortedError if a task is not in the version that the caller expects; empty: in any."""
    check_version(field, f"task {task_id!r}", expected, {"task_id": task_id, "etag": etag(version)})


def check_version(field: str, what: str, expected: str, metadata: Mapping[str, str]) -> None:
    """Raise AbortedError if a thing has another etag than the caller expects; empty: any.

    Its own is in `metadata`, for the error.
    """
    if expected and expected != metadata["etag"]:
        raise AbortedError(
            Reason.ETAG_MISMATCH,
            f"{field}: {what} has changed: its etag is {metadata['etag']!r}, not {expected!r};"
            " read it again",
            metadata=metadata,
        )


def attachment_not_found(of: str, name: str, names: Sequence[str]) -> NotFoundError:
    """The error for an attachment that is not there: `of` says of what, `names` which there are."""
    shown = names[:ATTACHMENTS_SHOWN_MAX]
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    known = ", ".join([*map(repr, shown), *more]) or "none"
    return NotFoundError(
        Reason.ATTACHMENT_NOT_FOUND,
        f"name: {of} has no attachment {name!r}; it has {known}",
        metadata={"name": name, "names": json.dumps(shown, ensure_ascii=False)},
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
