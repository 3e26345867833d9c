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


OptionLike = str | tuple[str, str] | InputOption
"""An option: its name, its name and its description, or an option that a question has."""

OptionsLike = Mapping[str, str] | Iterable[OptionLike]
"""Options; of a mapping, names with descriptions."""


def option_messages(options: OptionsLike) -> list[types_pb2.InputOption]:
    """The options as the generated code takes them."""
    if isinstance(options, Mapping):
        return [_message(each) for each in cast("Mapping[str, str]", options).items()]
    return [_message(each) for each in options]


def _message(option: OptionLike) -> types_pb2.InputOption:
    if isinstance(option, InputOption):
        return option.proto
    name, description = (option, "") if isinstance(option, str) else option
    return types_pb2.InputOption(name=name, description=description)
