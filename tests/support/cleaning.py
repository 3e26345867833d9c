"""Cleaning a store on demand: rules that the contract would refuse, and one round of a cleaner."""

from __future__ import annotations

from dataclasses import replace

from dovetail.server.admin.cleaner import Cleaner
from dovetail.server.retention import DEFAULT, Retention
from dovetail.server.store.removal.looks import Policy
from dovetail.server.store.store import Store
from dovetail.server.store.tables import teams
from dovetail.server.store.tables.teams import TeamSettings
from support.teams import Team

NOW = 1
"""An age in microseconds that everything has reached."""


async def keep(team: Team, **rules: int) -> None:
    """Set what a team keeps, also for less than an hour."""

    def unit(transaction: object) -> None:
        settings = teams.find(transaction) or TeamSettings.new(team.team_id)  # type: ignore[arg-type]
        teams.save(transaction, replace(settings, retention=Retention(**rules)))  # type: ignore[arg-type]

    await team.pair.messaging_store.write(team.team_id, unit)


async def clean(store: Store, default: Retention = DEFAULT, kept_micros: int = 0) -> None:
    """One round of a cleaner."""
    policy = Policy(default=default, kept_micros=kept_micros)
    await Cleaner(store, policy, period=60.0, pause_ratio=0.0).round()
