"""How a repeated request is recognized: by the caller's id for it, and a hash of its content."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKey:
    """The caller's id for a request, and a hash of its content.

    Ids belong to the agent that called. `scope` is for a caller without an agent: its credential,
    so that two operators do not share their ids.
    """

    request_id: str
    request_hash: bytes
    scope: str = ""

    @property
    def key(self) -> str:
        """The stored text. Ids contain no line breaks, so keys of two scopes never collide."""
        return f"{self.scope}\n{self.request_id}" if self.scope else self.request_id


def stored_key(key: str, request_hash: bytes) -> IdempotencyKey:
    """Parse a stored key."""
    scope, _, request_id = key.rpartition("\n")
    return IdempotencyKey(request_id=request_id, request_hash=request_hash, scope=scope)
