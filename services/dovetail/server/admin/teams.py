"""Teams: how they are created, listed and found, what each keeps, and what ends loops in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

from dovetail.server.access.audit import Audit
from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import Paging
from dovetail.server.edge.validation import Checks, shown
from dovetail.server.errors import NotFoundError, PermissionDeniedError, Reason
from dovetail.server.retention import AGES, COUNT_MAX, NAMES, Retention, age_fault, count_fault
from dovetail.server.store.store import Store
from dovetail.server.store.tables import credentials, teams
from dovetail.server.store.tables.credentials import NO_TEAM, Role
from dovetail.server.store.tables.teams import TeamFigures, TeamSettings
from dovetail.server.store.transaction import MICROS, Transaction

LIMITS = ("inbox_messages", "inbox_bytes", "messages", "bytes")
LOOP_COUNTS = {
    "hops_max": "hops",
    "thread_messages_per_hour_max": "thread_messages",
    "depth_max": "depth",
}
LOOP_LIMITS = {**LOOP_COUNTS, "away_max": "away"}
"""Fields of the contract, and what they are called here."""

LOOP_COUNT_MAX = 1_000_000
AWAY_MICROS_MIN, AWAY_MICROS_MAX = 60 * MICROS, 365 * 86_400 * MICROS
PATHS = (
    "retention",
    *(f"retention.{name}" for name in NAMES),
    "limits",
    *(f"limits.{name}" for name in LIMITS),
    "loop_limits",
    *(f"loop_limits.{name}" for name in LOOP_LIMITS),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamState:
    """A team with its rules, those that apply here, and its figures if they were asked for."""

    settings: TeamSettings
    effective: Retention
    figures: TeamFigures | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamUpdate:
    """New rules for a team: the paths that are set, and the values of all. A limit 0: none.

    Of `loop_limits` None: what the server says, 0: none.
    """

    team_id: str
    paths: tuple[str, ...]
    retention: Retention
    limits: Mapping[str, int]
    loop_limits: Mapping[str, int | None]

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        if not self.paths:
            check.refuse(
                "update_mask",
                "must name one or more of retention, limits, loop_limits, or their fields",
            )
        for path in self.paths:
            if path not in PATHS:
                check.refuse(
                    "update_mask", f"{shown(path)} cannot be updated, only {', '.join(PATHS)}"
                )
        self._check_values(check)

    def _check_values(self, check: Checks) -> None:
        for name in NAMES:
            value = getattr(self.retention, name)
            if value is not None and self._sets("retention", name):
                fault = age_fault(value) if name in AGES else count_fault(value)
                if fault:
                    check.refuse(f"team.retention.{name}", fault)
        for name in LIMITS:
            if self._sets("limits", name):
                check.number(f"team.limits.{name}", self.limits[name], 0, COUNT_MAX)
        for name, value in self.loop_limits.items():
            if value and self._sets("loop_limits", name):
                _check_loop_limit(check, name, value)

    @property
    def sets_limits(self) -> bool:
        """Whether it changes limits."""
        return any(path.split(".")[0] == "limits" for path in self.paths)

    def apply(self, settings: TeamSettings) -> TeamSettings:
        """The rules of a team with the new ones."""
        rules = {
            name: getattr(self.retention, name) for name in NAMES if self._sets("retention", name)
        }
        limits = {name: self.limits[name] or None for name in LIMITS if self._sets("limits", name)}
        loops = {
            LOOP_LIMITS[name]: value
            for name, value in self.loop_limits.items()
            if self._sets("loop_limits", name)
        }
        return replace(
            settings,
            retention=replace(settings.retention, **rules),
            limits=replace(settings.limits, **limits),
            loop_limits=replace(settings.loop_limits, **loops),
        )

    def _sets(self, group: str, name: str) -> bool:
        return group in self.paths or f"{group}.{name}" in self.paths


class Teams:
    """Creates teams, finds them, and sets what they keep."""

    def __init__(self, store: Store, audit: Audit, default: Retention) -> None:
        """Keep teams in `store`, and record changes in `audit`; `default` is of this server."""
        self._store = store
        self._audit = audit
        self._default = default

    async def create(self, caller: Caller, team_id: str) -> tuple[TeamState, bool]:
        """Create a team. Returns it, and whether this call created it."""
        with Checks() as check:
            check.id("team_id", team_id)

        def unit(transaction: Transaction) -> bool:
            if credentials.find_team(transaction, team_id):
                return False
            credentials.add_team(transaction, team_id)
            return True

        created = await self._store.write(NO_TEAM, unit)
        if created:
            self._audit.record("team created", team_id=team_id, by=caller.credential_id)
        return self._state(await self._find(team_id)), created

    async def get(self, caller: Caller, team_id: str) -> TeamState:
        """One team, with its figures."""
        team_id = _own(caller, team_id, "team_id")
        settings = await self._store.read(team_id, teams.find)
        if settings is None:
            if caller.role is Role.ADMIN:
                raise _not_found("team_id", team_id)
            settings = TeamSettings.new(team_id)  # Nothing was written in it yet.
        return await self._with_figures(settings)

    async def update(self, caller: Caller, update: TeamUpdate) -> TeamState:
        """Set what a team keeps, and how much it may keep."""
        team_id = _own(caller, update.team_id, "team.team_id")
        if update.sets_limits and caller.role is Role.OPERATOR and caller.credential_id:
            raise PermissionDeniedError(
                Reason.ROLE_REFUSED,
                "limits: where the servers require credentials these are set by admins",
                metadata=caller.role_metadata,
            )
        # An admin names teams: a wrong name must not make one. None is ever removed.
        if caller.role is Role.ADMIN and await self._store.read(team_id, teams.find) is None:
            raise _not_found("team.team_id", team_id)

        def unit(transaction: Transaction) -> tuple[TeamSettings, bool]:
            before = teams.find(transaction) or TeamSettings.new(team_id)
            after = update.apply(before)
            if after != before:
                teams.save(transaction, after)
            return after, after != before

        settings, changed = await self._store.write(team_id, unit)
        if changed:
            self._audit.record(
                "team updated",
                team_id=team_id,
                by=caller.credential_id,
                **_said(settings),
            )
        return await self._with_figures(settings)

    async def page(self, paging: Paging) -> tuple[list[TeamState], str]:
        """Return a page of teams in order of id, and the token of the next page."""
        with Checks() as check:
            after = paging.after_id(check)
        look = partial(teams.page, after=after or NO_TEAM, most=paging.most + 1)
        found = await self._store.read(NO_TEAM, look)
        page = [self._state(each) for each in found[: paging.most]]
        more = len(found) > paging.most
        return page, paging.next_token(page[-1].settings.team_id if more else None)

    async def _find(self, team_id: str) -> TeamSettings:
        found = await self._store.read(team_id, teams.find)
        return found or TeamSettings.new(team_id)

    async def _with_figures(self, settings: TeamSettings) -> TeamState:
        figures = await self._store.scan(settings.team_id, teams.figures)
        return replace(self._state(settings), figures=figures)

    def _state(self, settings: TeamSettings) -> TeamState:
        return TeamState(settings=settings, effective=settings.retention.over(self._default))


def _check_loop_limit(check: Checks, name: str, value: int) -> None:
    field = f"team.loop_limits.{name}"
    if name in LOOP_COUNTS:
        check.number(field, value, 0, LOOP_COUNT_MAX)
    elif not AWAY_MICROS_MIN <= value <= AWAY_MICROS_MAX:
        check.refuse(field, f"must be 0, or 1 minute to 365 days, not {value / MICROS:,g} s")


def _own(caller: Caller, team_id: str, field: str) -> str:
    """The team that a call is about. For all but admins there is no team but their own."""
    if caller.role is Role.ADMIN:
        with Checks() as check:
            check.id(field, team_id)
        return team_id
    if team_id not in ("", caller.team_id):
        with Checks() as check:
            check.id(field, team_id)
        raise _not_found(field, team_id)
    return caller.team_id


def _not_found(field: str, team_id: str) -> NotFoundError:
    return NotFoundError(
        Reason.TEAM_NOT_FOUND,
        f"{field}: no team {team_id!r}",
        metadata={"team_id": team_id},
    )


def _said(settings: TeamSettings) -> dict[str, str]:
    """The rules of a team, as the audit log has them: ages in seconds."""
    rules = {
        name: str(value // MICROS if name in AGES else value)
        for name, value in asdict(settings.retention).items()
        if value is not None
    }
    limits = {
        f"max_{name}": str(value)
        for name, value in asdict(settings.limits).items()
        if value is not None
    }
    loops = {name: getattr(settings.loop_limits, own) for name, own in LOOP_LIMITS.items()}
    loop_limits = {
        f"loop_{name}": str(value if name in LOOP_COUNTS else value // MICROS)
        for name, value in loops.items()
        if value is not None
    }
    return {**rules, **limits, **loop_limits}
