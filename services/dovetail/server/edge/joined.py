"""Responses that are joined of bytes: nothing is built, and nothing is encoded again.

Protobuf reads fields in any order, and pieces of a message one after the other as one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

from google.protobuf.message import Message

T = TypeVar("T", bound=Message)


def joined(kind: type[T], parts: Iterable[bytes]) -> T:
    """A response of these parts: bytes, where a servicer declares that it returns a message.

    The interceptor sends bytes as they are (`_encoder` in `access/interceptor.py`), and nothing
    else looks at a response.
    """
    del kind
    return cast(T, b"".join(parts))
