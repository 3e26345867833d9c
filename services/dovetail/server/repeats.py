"""Repeats: the same `request_id` with another payload is refused."""

from __future__ import annotations

from dovetail.server.errors import InvalidArgumentError, Reason
from dovetail.server.store.records import Repeat


def check_repeat(repeat: Repeat, request_hash: bytes) -> None:
    """Refuse a request that differs from the one that used this id first."""
    if repeat.request_hash != request_hash:
        raise InvalidArgumentError(
            Reason.REQUEST_ID_REUSED,
            f"request_id {repeat.request_id!r} was used for a request with other content:"
            " a new request needs a new id",
            metadata={"request_id": repeat.request_id},
        )
