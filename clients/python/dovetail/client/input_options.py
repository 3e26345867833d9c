"""The options of a question about a task, as callers give and read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from dovetail.client.records import Record
from dovetail.types.v1 import types_pb2


class InputOption(Record, of=types_pb2.InputOption):
    """An answer between which a question lets its reader choose, and what it means."""

    name: str
    description: str
    proto: types_pb2.InputOption


OptionsLike = Mapping[str, str] | Iterable[str | InputOption]
"""Options by their names, with their descriptions in a mapping."""


def option_messages(options: OptionsLike) -> list[types_pb2.InputOption]:
    """The options as the generated code takes them."""
    if isinstance(options, Mapping):
        described = cast("Mapping[str, str]", options).items()
        return [types_pb2.InputOption(name=name, description=text) for name, text in described]
    return [
        types_pb2.InputOption(name=each) if isinstance(each, str) else each.proto
        for each in options
    ]
