"""Tokens in files, and how `connect` refuses what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dovetail.client import ConfigurationError, connect

TOKEN = "dovetail_" + "s3cret-" * 6 + "x"
"""A token that no server knows."""


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    """A file with a content and a mode."""
    path.write_text(content)
    path.chmod(mode)
    return path


async def fault(**given: Any) -> str:
    """With what words `connect` refuses what it is given."""
    with pytest.raises(ConfigurationError) as refused:
        async with connect(**given):
            pass
    return str(refused.value)
