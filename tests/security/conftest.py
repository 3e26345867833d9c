"""Fixtures of the tests of credentials and rights."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.guarded import Guarded, guarded_pair
from support.tokens import TOKEN, written

VARIABLES = ("DOVETAIL_TOKEN", "DOVETAIL_TOKEN_FILE", "DOVETAIL_TLS_CA")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file that holds a token as it should."""
    return written(tmp_path / "token", TOKEN + "\n")


@pytest.fixture
async def guarded(store_url: str, tmp_path: Path) -> AsyncGenerator[Guarded]:
    """Both services over an empty store, asking for credentials, on each engine."""
    async with guarded_pair(store_url, tmp_path) as guarded:
        yield guarded


@pytest.fixture(scope="module")
async def shared(
    shared_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Guarded]:
    """The same for a whole file, whose tests each make teams of their own."""
    async with guarded_pair(shared_url, tmp_path_factory.mktemp("shared")) as guarded:
        yield guarded
