"""What can keep a move of rows from being done. Each text says what is wrong, and what to do."""

from __future__ import annotations


class MoveError(Exception):
    """A move was not done, or not to its end."""


class MoveRefusedError(MoveError):
    """The state of a store forbids it: servers use it, or something is there already."""


class ServedError(MoveRefusedError):
    """Servers use the store, and may write to it."""


class NotThereError(MoveError):
    """What was named does not exist."""


class FaultyFileError(MoveError):
    """A file is not what it must be: the text names the line and the field."""


class RowError(MoveError):
    """A row that the database does not take: the number of the row in its set, and why."""

    def __init__(self, number: int, text: str) -> None:
        """Name the row, counted from 0."""
        super().__init__(text)
        self.number = number
