"""Tokens: how one is made, known again, and hashed.

A token carries 256 random bits, so that a plain hash keeps it: nobody can try them all, and a slow
hash would only slow down every call.
"""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "dovetail_"
"""By which scanners for leaked secrets find a token."""

_SHAPE = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """A token that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether a text has the shape of a token."""
    return _SHAPE.fullmatch(text) is not None


def token_hash(token: str) -> bytes:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).digest()
