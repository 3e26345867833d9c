"""What a program printed, as the result of its task."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from dovetail.client import WorkFailedError

SUMMARY_BYTES = 64 * 1024
DATA_BYTES = 256 * 1024
MOST_LEVELS = 30


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a program gave: a summary for people, or data for programs."""

    summary: str = ""
    data: dict[str, Any] | None = None


def result(out: bytes | bytearray) -> Result:
    """What a program printed, as a result. Raises WorkFailedError where it is too large."""
    text = out.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    made = _object(text)
    if made is not None:
        _check_size("a result's JSON object", _written(made), DATA_BYTES)
        if _levels(made) > MOST_LEVELS:
            raise WorkFailedError(f"a result's JSON object may be {MOST_LEVELS} levels deep")
        return Result(data=made)
    _check_size("a result that is text", text, SUMMARY_BYTES)
    return Result(summary=text)


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is none that can be sent."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        made = json.loads(text, parse_constant=refuse, parse_int=_whole)
        json.dumps(made, ensure_ascii=False).encode()  # Half of a pair is no character.
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", made) if isinstance(made, dict) else None


def _whole(digits: str) -> float:
    """A whole number as it arrives: results have doubles. One with too many digits is infinite."""
    number = float(digits)
    return int(number) if math.isfinite(number) else number


def _written(made: dict[str, Any]) -> str:
    """An object as JSON. Raises WorkFailedError where a number in it is too large."""
    try:
        return json.dumps(made, ensure_ascii=False, allow_nan=False)
    except ValueError:
        said = "a number in its result is too large: all must be finite as doubles"
        raise WorkFailedError(said) from None


def _levels(value: Any) -> int:
    """How deep objects and lists stand in each other."""
    if not isinstance(value, (dict, list)):
        return 0
    inner = cast("list[Any]", [*value.values()] if isinstance(value, dict) else value)
    return 1 + max(map(_levels, inner), default=0)


def _check_size(what: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise WorkFailedError(f"it printed too much: {what} may have {most:,} bytes, not {size:,}")
