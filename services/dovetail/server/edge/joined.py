"""Responses that are joined of bytes: nothing is built, and nothing is encoded again.

Protobuf reads fields in any order, and pieces of a message one after the other as one message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

T = TypeVar("T", bound=Message)


def joined(kind: type[T], parts: Iterable[bytes]) -> T:
    """A response of these parts: bytes, where a servicer declares that it returns a message.

    The interceptor sends bytes as they are (`_encoder` in `access/interceptor.py`), and nothing
    else looks at a response.
    """
    del kind
    return cast(T, b"".join(parts))


@dataclass(frozen=True, slots=True)
class Followed:
    """A response, and what is to be called once the caller's connection has taken it."""

    response: Message
    taken: Callable[[], None]


def followed(response: T, taken: Callable[[], None]) -> T:
    """A response with what follows it, of a method that is marked by `follows`."""
    return cast(T, Followed(response, taken))


_Method = TypeVar("_Method", bound=Callable[..., Awaitable[Any]])


def follows(method: _Method) -> _Method:
    """Mark a method whose responses are `followed`: the interceptor writes them by itself."""
    setattr(method, _FOLLOWS, True)
    return method


def is_followed(method: Callable[..., Any]) -> bool:
    """Whether a method is marked by `follows`."""
    return hasattr(method, _FOLLOWS)


_FOLLOWS = "_dovetail_follows"
