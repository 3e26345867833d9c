"""Tokens: how they are created, recognized and hashed.

A token carries 256 random bits, so a plain hash protects it: they cannot all be tried, and a slow
hash would only slow down every call.
"""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "dovetail_"
"""Lets scanners for leaked secrets find a token."""

_SHAPE = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """Create a token."""
    return PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether a text has the shape of a token."""
    return _SHAPE.fullmatch(text) is not None


def token_hash(token: str) -> bytes:
    """The hash that the store keeps of a token."""
    return hashlib.sha256(token.encode()).digest()
