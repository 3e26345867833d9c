"""How a repeat of a request is known: the caller's id for it, and a hash of what it asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKey:
    """How a repeat is known: the caller's id for the request, and a hash of what it asked.

    Ids are remembered for the agent that called. `scope` is for a caller without one: the
    credential by which it called, so that two operators do not share their ids.
    """

    request_id: str
    request_hash: bytes
    scope: str = ""

    @property
    def key(self) -> str:
        """What is stored, and looked for. Ids hold no line breaks: no scope's key is another's."""
        return f"{self.scope}\n{self.request_id}" if self.scope else self.request_id


def stored_key(key: str, request_hash: bytes) -> IdempotencyKey:
    """The repeat of a stored key."""
    scope, _, request_id = key.rpartition("\n")
    return IdempotencyKey(request_id=request_id, request_hash=request_hash, scope=scope)
