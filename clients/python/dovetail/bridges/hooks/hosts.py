"""The hosts of models, each with its contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from dovetail.bridges.hooks import claude, codex, cursor, gemini


class Contract(Protocol):
    """What a host says to its hooks, and what it reads of what they print."""

    EVENTS: Mapping[str, str]
    """The host's events, and which moment of a session each is."""
    SESSION: str
    """The field that names the session."""
    IS_WOKEN_BY_EXIT: bool
    """Whether the end of a background process starts a turn."""
    HOLDS_MAX: int
    """How often in a row hooks may hold the end of a turn."""
    NOTHING: str

    def is_for_us(self, event: str, said: Mapping[str, Any]) -> bool:
        """Whether the main model reads what a hook prints now."""
        ...

    def held_before(self, said: Mapping[str, Any]) -> int | None:
        """How often hooks held the end of this turn before; None where the host does not count."""
        ...

    def shown(self, event: str, text: str) -> dict[str, Any]:
        """The object with which the host shows a text to the model."""
        ...


HOSTS = {
    name: cast(Contract, module)
    for name, module in (
        ("claude", claude),
        ("codex", codex),
        ("cursor", cursor),
        ("gemini", gemini),
    )
}
