"""Page tokens: opaque to callers, and good only for the request that they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from dovetail.server.edge.validation import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Checks, id_fault

PAGE_BYTES = 1024 * 1024
# The longest id, of 128 characters of four bytes each, escaped, in base64.
TOKEN_CHARACTERS_MAX = 2_560
NUMBER = re.compile("[0-9]{1,18}")
PAIR = re.compile("([0-9]{1,18})-([0-9]{1,18})")


class Order(IntEnum):
    """The direction of a listing."""

    OLDEST_FIRST = 1
    NEWEST_FIRST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    """The page that a request asks for. `binding` is what else it asks, so that tokens fit it."""

    page_size: int
    page_token: str
    binding: bytes

    @property
    def most(self) -> int:
        """How many items the page may have."""
        return min(self.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)

    def after_id(self, check: Checks) -> str:
        """The last id of the page before, empty for the first page. Records what is wrong."""
        return self._after(check, lambda last: id_fault(last) is None)

    def after_number(self, check: Checks) -> int | None:
        """The last number of the page before, None for the first page. Records what is wrong."""
        last = self._after(check, lambda last: NUMBER.fullmatch(last) is not None)
        return int(last) if last else None

    def after_pair(self, check: Checks) -> tuple[int, int] | None:
        """The same of a list that has the order of two numbers."""
        last = self._after(check, lambda last: PAIR.fullmatch(last) is not None)
        first, _, second = last.partition("-")
        return (int(first), int(second)) if last else None

    def _after(self, check: Checks, is_item: Callable[[str], bool]) -> str:
        check.page_size(self.page_size)
        if not self.page_token:
            return ""
        last, fingerprint = _decode(self.page_token)
        if fingerprint == self._fingerprint() and is_item(last):
            return last
        check.refuse(
            "page_token",
            "must be the next_page_token of a request that was equal in all other fields",
        )
        return ""

    def next_token(self, last: str | int | tuple[int, int] | None) -> str:
        """The token for the page that begins after an item; none after None."""
        if last is None:
            return ""
        if isinstance(last, tuple):
            last = f"{last[0]}-{last[1]}"
        text = json.dumps([str(last), self._fingerprint()]).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    def _fingerprint(self) -> str:
        return hashlib.sha256(self.binding).hexdigest()[:16]


def _decode(token: str) -> tuple[str, str]:
    if len(token) > TOKEN_CHARACTERS_MAX:
        return "", "?"
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        after, fingerprint = json.loads(base64.urlsafe_b64decode(padded))
        return str(after), str(fingerprint)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        return "", "?"
