"""Checks of what a request carries: they collect every violation, so that one error names all."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TypeVar

from dovetail.server.errors import FieldViolation, InvalidArgumentError, Reason
from dovetail.server.store.filters import TimeRange

E = TypeVar("E", bound=IntEnum)

ID_CHARACTERS_MAX = 128
LABELS_MAX = 16
LABEL_KEY_CHARACTERS = 64
LABEL_VALUE_CHARACTERS = 256
MESSAGE_BYTES = 1024 * 1024
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1_000
FILTER_ENTRIES_MAX = 1_000
SHOWN_CHARACTERS = 60
VIOLATIONS_MAX = 10


def shown(value: object) -> str:
    """A value as an error shows it: quoted, and cut when it is long."""
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return json.dumps(cut, ensure_ascii=False) if isinstance(value, str) else cut


def id_fault(value: str) -> str | None:
    """What is wrong with an id, or None: 1 to 128 printable characters in NFC, no outer spaces."""
    if not 1 <= len(value) <= ID_CHARACTERS_MAX:
        return f"must have 1 to {ID_CHARACTERS_MAX} characters, has {len(value)}"
    return line_fault(value)


def line_fault(value: str) -> str | None:
    """What is wrong with a line of text, or None: as an id, of any length."""
    if not value.isprintable():
        return f"{shown(value)} must have printable characters only"
    if value != value.strip():
        return f"{shown(value)} must not begin or end with a space"
    if not unicodedata.is_normalized("NFC", value):
        return f"{shown(value)} must be in Unicode normal form C"
    return None


class Checks:
    """Collects violations, then raises them together: `with Checks() as check: check.id(…)`."""

    def __init__(self) -> None:
        """Begin without violations."""
        self._violations: list[FieldViolation] = []
        self._count = 0

    def __enter__(self) -> Checks:
        """Collect."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise what was collected, if anything was."""
        if kind is None and self._violations:
            first = self._violations[0]
            more = f" (and {self._count - 1:,} more)" if self._count > 1 else ""
            raise InvalidArgumentError(
                Reason.INVALID_FIELDS,
                f"{first.field}: {first.description}{more}",
                metadata={"field": first.field},
                violations=self._violations,
            )

    @property
    def violations(self) -> int:
        """How many there are so far."""
        return self._count

    def refuse(self, field: str, description: str) -> None:
        """Record a violation: the first ten are told, the others counted."""
        self._count += 1
        if len(self._violations) < VIOLATIONS_MAX:
            self._violations.append(FieldViolation(field=field, description=description))

    def id(self, field: str, value: str) -> None:
        """An id that must be there."""
        fault = id_fault(value)
        if fault:
            self.refuse(field, fault)

    def optional_id(self, field: str, value: str) -> None:
        """An id that may be empty."""
        if value:
            self.id(field, value)

    def at_most(self, field: str, values: Sequence[object], most: int) -> bool:
        """A list of bounded length; False when it is too long to look into."""
        if len(values) > most:
            self.refuse(field, f"must have at most {most:,} entries, has {len(values):,}")
        return len(values) <= most

    def ids(self, field: str, values: Sequence[str], most: int = FILTER_ENTRIES_MAX) -> None:
        """A list of ids."""
        if not self.at_most(field, values, most):
            return
        for index, value in enumerate(values):
            self.id(f"{field}[{index}]", value)

    def text(self, field: str, value: str, characters: int, least: int = 0) -> None:
        """Text of a bounded length without NUL characters."""
        if not least <= len(value) <= characters:
            self.refuse(
                field, f"must have {least} to {characters:,} characters, has {len(value):,}"
            )
        elif "\0" in value:
            self.refuse(field, "must not contain NUL characters")

    def text_bytes(self, field: str, value: str, most_bytes: int) -> None:
        """Text of any shape, of a bounded size, without NUL characters."""
        size = len(value.encode())
        if size > most_bytes:
            self.refuse(field, f"must be at most {most_bytes:,} bytes, is {size:,}")
        elif "\0" in value:
            self.refuse(field, "must not contain NUL characters")

    def number(self, field: str, value: int, least: int, most: int) -> None:
        """A number in a range."""
        if not least <= value <= most:
            self.refuse(field, f"must be {least:,} to {most:,}, is {value:,}")

    def enum(self, field: str, value: int, default: E) -> E:
        """The member of an enum with this number; the default for 0 and for an unknown number."""
        kind = type(default)
        if value in kind.__members__.values():
            return kind(value)
        if value:
            names = ", ".join(f"{member.name} ({member.value})" for member in kind)
            self.refuse(field, f"{value} is not one of {names}")
        return default

    def enums(self, field: str, values: Sequence[int], kind: type[E]) -> list[E]:
        """The members of an enum with these numbers, of which none may be 0."""
        if not self.at_most(field, values, FILTER_ENTRIES_MAX):
            return []
        found: list[E] = []
        for index, value in enumerate(values):
            if value == 0:
                self.refuse(f"{field}[{index}]", "must not be UNSPECIFIED")
            found.append(self.enum(f"{field}[{index}]", value, next(iter(kind))))
        return found

    def labels(self, field: str, labels: Mapping[str, str]) -> None:
        """At most 16 labels of printable text."""
        if len(labels) > LABELS_MAX:
            self.refuse(field, f"must have at most {LABELS_MAX} entries, has {len(labels):,}")
            return
        for key, value in labels.items():
            if not 1 <= len(key) <= LABEL_KEY_CHARACTERS or not key.isprintable():
                self.refuse(
                    f"{field}[{shown(key)}]",
                    f"the key must have 1 to {LABEL_KEY_CHARACTERS} printable characters",
                )
            if len(value) > LABEL_VALUE_CHARACTERS or not value.isprintable():
                self.refuse(
                    f"{field}[{shown(key)}]",
                    f"the value must have 0 to {LABEL_VALUE_CHARACTERS} printable characters",
                )

    def page_size(self, value: int) -> None:
        """The size of a page: 0 for the default; one that is too large counts as the largest."""
        if value < 0:
            self.refuse("page_size", f"must not be negative, is {value:,}")

    def size(self, field: str, size: int) -> None:
        """The bytes of a whole message or task."""
        if size > MESSAGE_BYTES:
            self.refuse(field, f"must be at most {MESSAGE_BYTES:,} bytes in all, is {size:,}")

    def time_range(self, field: str, times: TimeRange) -> None:
        """A span of time that does not end before it starts."""
        if times.start is not None and times.end is not None and times.start > times.end:
            self.refuse(f"{field}.end_time", f"must not be before {field}.start_time")
