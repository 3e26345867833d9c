"""What a watcher told, kept beside its lock: in no session is a message shown twice.

A wake is told once: a watcher that is started again waits for a later message. What a hook showed
counts as told. It is written after it was told, so a watcher that is killed in between tells it
twice rather than never.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dovetail.settings.replacing import replace_file

SESSIONS_MAX = 32
"""How many sessions are remembered, those that were heard of last."""

TASKS_MAX = 100


@dataclass(kw_only=True)
class Session:
    """What hooks showed to one session of a host."""

    shown_through: int = 0
    """All messages up to this sequence were shown."""
    high_through: int = 0
    """Those of high importance up to this sequence were shown."""
    reminded: list[str] = field(default_factory=list[str])
    """The tasks of which it was reminded in this turn."""
    holds: int = 0
    """How often in a row the end of its turn was held."""
    asked_to_watch: float = 0.0
    """When it was asked to start a watcher, in seconds since 1970."""

    def has(self, sequence: int, *, is_high: bool) -> bool:
        """Whether a message was shown."""
        return sequence <= self.shown_through or (is_high and sequence <= self.high_through)


class Memory:
    """What was told of one inbox, in a file."""

    def __init__(self, path: Path) -> None:
        """Read the file."""
        self._path = path
        self.inbox = ""
        """When the agent was registered: another store at the same address has another inbox."""
        self.told_through = 0
        self.sessions: dict[str, Session] = {}
        self.read()

    def read(self) -> None:
        """Take what the file says; one that is missing or broken remembers nothing."""
        try:
            kept = json.loads(self._path.read_bytes())
            self.inbox = str(kept["inbox"])
            self.told_through = int(kept["told_through"])
            self.sessions = {name: Session(**each) for name, each in kept["sessions"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self.belong_to("")

    def belong_to(self, inbox: str) -> None:
        """Remember nothing of another inbox."""
        if self.inbox != inbox or not inbox:
            self.inbox, self.told_through, self.sessions = inbox, 0, {}

    def session(self, name: str) -> Session:
        """What was shown to a session, which is now the one that was heard of last."""
        found = self.sessions.pop(name, None) or Session()
        self.sessions[name] = found
        for oldest in list(self.sessions)[:-SESSIONS_MAX]:
            del self.sessions[oldest]
        return found

    def tell(self, through: int) -> None:
        """Remember that all up to a sequence was told."""
        self.told_through = max(self.told_through, through)

    def save(self) -> None:
        """Write the file. Raises OSError."""
        for each in self.sessions.values():
            del each.reminded[:-TASKS_MAX]
        kept: dict[str, Any] = {
            "inbox": self.inbox,
            "told_through": self.told_through,
            "sessions": {name: asdict(each) for name, each in self.sessions.items()},
        }
        replace_file(self._path, json.dumps(kept).encode(), 0o600)
