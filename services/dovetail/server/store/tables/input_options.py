"""Options: the answers between which a question about a task lets its reader choose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple


class InputOption(NamedTuple):
    """An answer to choose, and what it means."""

    name: str
    description: str = ""


def encode(options: Sequence[InputOption]) -> str:
    """What a column says of the options of a question; of none it is empty."""
    return json.dumps(options, ensure_ascii=False) if options else ""


def decode(text: str) -> tuple[InputOption, ...]:
    """The options of which a column says this."""
    return tuple(InputOption(*each) for each in json.loads(text)) if text else ()
