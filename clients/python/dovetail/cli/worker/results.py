"""The output of a program as the result of its task."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, cast

from dovetail.client import WorkFailedError

SUMMARY_BYTES = 64 * 1024
DATA_BYTES = 256 * 1024
LEVELS_MAX = 30


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a program: a summary for people, or data for programs."""

    summary: str = ""
    data: dict[str, Any] | None = None


def result(out: bytes | bytearray) -> Result:
    """Read the output of a program. Raises WorkFailedError if it is too large for a result."""
    text = out.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    data = _object(text)
    if data is not None:
        _check_size("a result's JSON object", _written(data), DATA_BYTES)
        if _levels(data) > LEVELS_MAX:
            raise WorkFailedError(f"a result's JSON object may be {LEVELS_MAX} levels deep")
        return Result(data=data)
    _check_size("a result that is text", text, SUMMARY_BYTES)
    return Result(summary=text)


def _object(text: str) -> dict[str, Any] | None:
    """The text as a JSON object; None if it is not one that can be sent."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        value = json.loads(text, parse_constant=refuse, parse_int=_whole)
        json.dumps(value, ensure_ascii=False).encode()  # Half a surrogate pair cannot be encoded.
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _whole(digits: str) -> float:
    """An integer as it will arrive: results have doubles. One with too many digits is infinite."""
    number = float(digits)
    return int(number) if math.isfinite(number) else number


def _written(data: dict[str, Any]) -> str:
    """An object as JSON. Raises WorkFailedError if a number in it is too large."""
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
        message = "a number in its result is too large: all must be finite as doubles"
        raise WorkFailedError(message) from None


def _levels(value: Any) -> int:
    """How deep objects and lists are nested."""
    if not isinstance(value, (dict, list)):
        return 0
    inner = cast("list[Any]", [*value.values()] if isinstance(value, dict) else value)
    return 1 + max(map(_levels, inner), default=0)


def _check_size(what: str, text: str, bytes_max: int) -> None:
    size = len(text.encode())
    if size > bytes_max:
        raise WorkFailedError(
            f"it printed too much: {what} may have {bytes_max:,} bytes, not {size:,}"
        )
