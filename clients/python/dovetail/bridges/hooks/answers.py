"""What several hosts have in common: how they count held ends of turns, and what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def held_by_mark(said: Mapping[str, Any]) -> int | None:
    """0 at the first end of a turn; then the host says only that hooks held it before: None."""
    return None if said.get("stop_hook_active") else 0


def more_context(event: str, text: str) -> dict[str, Any]:
    """The object with which a host adds a text to what the model reads."""
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": text}}
