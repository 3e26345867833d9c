"""The public surface of `dovetail.client` is what `__all__` says."""

from __future__ import annotations

import types
from importlib.metadata import version

import pytest

from dovetail import client


def test_all_is_exactly_what_can_be_seen():
    seen = {
        name
        for name, member in vars(client).items()
        if not name.startswith("_") and not isinstance(member, types.ModuleType)
    }
    assert set(client.__all__) == seen
    assert list(client.__all__) == sorted(client.__all__)


def test_only_the_version_is_loaded_when_it_is_asked_for():
    assert client.__version__ == version("dovetail")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = client.nonsense  # type: ignore[attr-defined]


def test_every_error_is_exported():
    def below(kind: type[client.DovetailError]) -> set[str]:
        found = {kind.__name__}
        return found.union(*(below(child) for child in kind.__subclasses__()))

    assert below(client.DovetailError) <= set(client.__all__)
