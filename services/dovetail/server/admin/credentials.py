"""Credentials: how they are created, rotated and revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from dovetail.server import clock
from dovetail.server.access.audit import Audit
from dovetail.server.access.caller import Caller
from dovetail.server.access.tokens import new_token, token_hash
from dovetail.server.edge.paging import Paging
from dovetail.server.edge.validation import Checks
from dovetail.server.errors import FailedPreconditionError, NotFoundError, Reason
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, credentials
from dovetail.server.store.tables.credentials import NO_TEAM, Credential, ListRequest, Role
from dovetail.server.store.transaction import MICROS, Snapshot, Transaction

DESCRIPTION_CHARACTERS_MAX = 256
DAY_MICROS = 24 * 60 * 60 * MICROS
LIFETIME_MICROS_MAX = 3_650 * DAY_MICROS
GRACE_MICROS_MAX = 30 * DAY_MICROS


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCredential:
    """A credential to create. `lifetime` is in microseconds; None: until it is revoked."""

    team_id: str
    agent_id: str
    role: int
    description: str
    lifetime: int | None

    def check(self, check: Checks) -> None:
        """Record what is wrong, and what does not fit together."""
        check.optional_id("team_id", self.team_id)
        check.optional_id("agent_id", self.agent_id)
        check.enum("role", self.role, Role.AGENT)
        check.text("description", self.description, DESCRIPTION_CHARACTERS_MAX)
        _check_lifetime(check, self.lifetime)
        if not self.role:
            check.refuse("role", "must be set: AGENT, OPERATOR, OBSERVER or ADMIN")
        elif self.role == Role.ADMIN:
            for field, given in (("team_id", self.team_id), ("agent_id", self.agent_id)):
                if given:
                    check.refuse(field, "must be empty for ADMIN, which is of no team")
        elif not self.team_id:
            check.refuse("team_id", "must be set, but for ADMIN")
        if self.role == Role.AGENT and not self.agent_id:
            check.refuse("agent_id", "must be set for AGENT")


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialQuery:
    """Which credentials to list."""

    team_id: str
    agent_id: str
    role: int
    include_ended: bool


class Credentials:
    """Creates credentials and ends them."""

    def __init__(self, store: Store, audit: Audit) -> None:
        """Keep credentials in `store`, and record each change in `audit`."""
        self._store = store
        self._audit = audit

    async def create(self, caller: Caller, new: NewCredential) -> tuple[Credential, str]:
        """Create a credential. Returns it and its token, which is stored nowhere."""
        token = new_token()

        def unit(transaction: Transaction) -> Credential:
            if new.team_id and credentials.find_team(transaction, new.team_id) is None:
                raise NotFoundError(
                    Reason.TEAM_NOT_FOUND,
                    f"team_id: no team {new.team_id!r}: make it first",
                    metadata={"team_id": new.team_id},
                )
            credential = _new(transaction, new, caller.credential_id)
            if new.agent_id:
                agents.touch(transaction.in_team(new.team_id), new.agent_id)
            credentials.insert(transaction, credential, token_hash(token))
            return credential

        made = await self._store.write(NO_TEAM, unit)
        self._audit_change("credential created", made, caller)
        return made, token

    async def page(self, query: CredentialQuery, paging: Paging) -> tuple[list[Credential], str]:
        """Return a page of credentials in order of creation, and the token of the next page."""
        with Checks() as check:
            check.optional_id("team_id", query.team_id)
            check.optional_id("agent_id", query.agent_id)
            check.enum("role", query.role, Role.AGENT)
            after = paging.after_number(check)
        asked = ListRequest(
            team_id=query.team_id,
            agent_id=query.agent_id,
            role=query.role,
            include_ended=query.include_ended,
            now=clock.now(),
            after=after or 0,
            most=paging.most,
        )
        page, more = await self._store.scan(NO_TEAM, lambda s: credentials.page(s, asked))
        return page, paging.next_token(page[-1].number if more else None)

    async def rotate(
        self, caller: Caller, credential_id: str, grace: int, lifetime: int | None
    ) -> tuple[Credential, str]:
        """Replace a credential, which stays valid for `grace`. Returns the new one, its token."""
        token = new_token()

        def unit(transaction: Transaction) -> Credential:
            old = _existing(transaction, credential_id)
            now = transaction.team.wall_clock
            if old.ended(now):
                raise FailedPreconditionError(
                    Reason.CREDENTIAL_NOT_ROTATABLE,
                    f"credential_id: {credential_id} has ended: make a new one",
                    metadata={"credential_id": credential_id},
                )
            new = _successor(transaction, old, lifetime, caller.credential_id)
            ends = min(old.expire_time or now + grace, now + grace)
            _change(transaction, replace(old, expire_time=ends, revoker_id=caller.credential_id))
            credentials.insert(transaction, new, token_hash(token))
            return new

        made = await self._store.write(NO_TEAM, unit)
        self._audit_change("credential rotated", made, caller, in_place_of=credential_id)
        return made, token

    async def revoke(self, caller: Caller, credential_id: str) -> Credential:
        """End a credential."""
        with Checks() as check:
            check.id("credential_id", credential_id)

        def unit(transaction: Transaction) -> tuple[Credential, bool]:
            old = _existing(transaction, credential_id)
            if old.revoke_time is not None:
                return old, False
            now = transaction.team.stamp
            new = replace(old, revoke_time=now, revoker_id=caller.credential_id)
            return _change(transaction, new), True

        credential, changed = await self._store.write(NO_TEAM, unit)
        if changed:
            self._audit_change("credential revoked", credential, caller)
        return credential

    async def has_admin(self) -> bool:
        """Return whether an admin's credential is valid."""
        return await self._store.read(NO_TEAM, _has_admin)

    async def ensure_admin(self, read_token: Callable[[], str]) -> None:
        """Create an admin with the token that `read_token` returns, unless there is one."""
        hashed = token_hash(await asyncio.to_thread(read_token))

        def unit(transaction: Transaction) -> Credential | None:
            if _has_admin(transaction):
                return None
            if credentials.find_token(transaction, hashed):
                raise FailedPreconditionError(
                    Reason.CREDENTIAL_NOT_ROTATABLE,
                    "its token was given out before, and is no living admin's: name a file that"
                    " does not exist yet, and it is made",
                )
            new = NewCredential(
                team_id="", agent_id="", role=Role.ADMIN, description="first", lifetime=None
            )
            credential = _new(transaction, new, "")
            credentials.insert(transaction, credential, hashed)
            return credential

        made = await self._store.write(NO_TEAM, unit)
        if made:
            self._audit.record("first admin", credential_id=made.credential_id)

    def _audit_change(
        self, event: str, credential: Credential, caller: Caller, **more: str
    ) -> None:
        self._audit.record(
            event,
            credential_id=credential.credential_id,
            team_id=credential.team_id,
            agent_id=credential.agent_id,
            role=credential.role.name,
            by=caller.credential_id,
            **more,
        )


def _has_admin(snapshot: Snapshot) -> bool:
    return credentials.any_admin(snapshot, clock.now())


def check_rotation(check: Checks, credential_id: str, grace: int, lifetime: int | None) -> None:
    """Record what is wrong with a rotation; both durations are in microseconds."""
    check.id("credential_id", credential_id)
    _check_lifetime(check, lifetime)
    if not 0 <= grace <= GRACE_MICROS_MAX:
        check.refuse("grace", f"must be 0 to 30 days, is {grace / MICROS:g} s")


def _check_lifetime(check: Checks, lifetime: int | None) -> None:
    if lifetime is not None and not MICROS <= lifetime <= LIFETIME_MICROS_MAX:
        check.refuse("lifetime", f"must be 1 s to 3,650 days, is {lifetime / MICROS:g} s")


def _existing(snapshot: Snapshot, credential_id: str) -> Credential:
    credential = credentials.find(snapshot, credential_id)
    if credential is None:
        raise NotFoundError(
            Reason.CREDENTIAL_NOT_FOUND,
            f"credential_id: no credential {credential_id!r}",
            metadata={"credential_id": credential_id},
        )
    return credential


def _new(transaction: Transaction, new: NewCredential, creator_id: str) -> Credential:
    servers = transaction.team
    number, lifetime = servers.next_event(), new.lifetime
    return Credential(
        credential_id=f"c{number}",
        number=number,
        change_number=number,
        team_id=new.team_id,
        agent_id=new.agent_id,
        role=Role(new.role),
        description=new.description,
        create_time=servers.stamp,
        lifetime=lifetime,
        expire_time=None if lifetime is None else servers.wall_clock + lifetime,
        revoke_time=None,
        creator_id=creator_id,
        revoker_id="",
        rotated_id="",
    )


def _successor(
    transaction: Transaction, old: Credential, lifetime: int | None, creator_id: str
) -> Credential:
    new = NewCredential(
        team_id=old.team_id,
        agent_id=old.agent_id,
        role=old.role,
        description=old.description,
        lifetime=old.lifetime if lifetime is None else lifetime,
    )
    return replace(_new(transaction, new, creator_id), rotated_id=old.credential_id)


def _change(transaction: Transaction, credential: Credential) -> Credential:
    changed = replace(credential, change_number=transaction.team.next_event())
    credentials.change(transaction, changed)
    return changed
