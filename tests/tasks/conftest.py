"""Services that the tests of tasks share, one empty team for each test."""

from __future__ import annotations

import pytest

from support.pair import Pair
from support.sharing import new_team, shared_pair, shared_url
from tasks.work import Team

__all__ = ["shared_pair", "shared_url"]


@pytest.fixture
def team(shared_pair: Pair) -> Team:
    """A new team on both services, on each engine."""
    return Team(shared_pair, new_team())
