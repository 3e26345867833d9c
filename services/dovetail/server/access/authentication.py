"""The gate: from a call's metadata to its Caller, by a credential or by what the caller says.

Credentials that were used are kept in memory and follow the store: every change of one is seen
within PERIOD_SECONDS, whoever made it. While the store cannot be asked nothing is trusted for
longer than TRUST_SECONDS, so that a revoked token ends everywhere within five seconds.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import structlog

from dovetail.server import clock
from dovetail.server.access.caller import AGENT_KEY, Caller, credential_ended
from dovetail.server.access.rights import RIGHTS, Reach, Right
from dovetail.server.access.tokens import is_token, token_hash
from dovetail.server.edge.validation import id_fault
from dovetail.server.errors import (
    DovetailError,
    InvalidArgumentError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from dovetail.server.store.engines.base import StoreOpenError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import credentials
from dovetail.server.store.tables.credentials import NO_TEAM, Credential, Role
from dovetail.server.store.transaction import Snapshot

TEAM_KEY = "dovetail-team"
TOKEN_KEY = "authorization"
SCHEME = "bearer "
DEFAULT_TEAM = "default"
PERIOD_SECONDS = 1.0
TRUST_SECONDS = 4.0
SESSIONS_KEPT_MAX = 10_000

_NOBODY = (
    ": this server asks for no credentials, so that nobody is an admin; start it with --credentials"
    " and --admin-token-file"
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.gate")

Metadata = Sequence[tuple[str, str | bytes]]


class Authenticator(ABC):
    """Says who makes a call, and refuses those who may not."""

    def authenticate_cached(self, method: str, metadata: Metadata) -> Caller | None:
        """The caller, where that is known without the store; None: ask `authenticate`."""
        del method, metadata
        return None

    @abstractmethod
    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """The caller, of whom `authorize` says whether it may call. Raises UnauthenticatedError."""

    @abstractmethod
    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse a caller, who is known by now and so can be named, for what it may not."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Do what must be done besides, for as long as the block lasts."""
        yield


class TrustingAuthenticator(Authenticator):
    """Believes what callers say of themselves: everyone is an operator."""

    def authenticate_cached(self, method: str, metadata: Metadata) -> Caller:
        """The caller of `dovetail-team` and `dovetail-agent`, or of their `-bin` forms in UTF-8."""
        said = declared_identity(metadata)
        return Caller(
            team_id=said.get(TEAM_KEY, "") or DEFAULT_TEAM,
            agent_id=said.get(AGENT_KEY, ""),
            reach=_reach(method, Role.OPERATOR),
        )

    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """The same; nothing is waited for."""
        return self.authenticate_cached(method, metadata)

    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse what is for admins alone: there are none."""
        del metadata
        _require_reach(caller, method, _NOBODY)


class _Session:
    """A credential that was used here, as it was last seen."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        self.told = False

    @property
    def ended(self) -> bool:
        return self.credential.ended(clock.now())


class TokenAuthenticator(Authenticator):
    """Believes tokens."""

    def __init__(self, store: Store) -> None:
        """Find credentials in `store`."""
        self._store = store
        self._by_token: dict[bytes, _Session] = {}
        # Every pass that somebody holds, an open stream for one, whether it was used lately or not.
        self._sessions: WeakValueDictionary[str, _Session] = WeakValueDictionary()
        self._seen: int | None = None
        self._asked = -TRUST_SECONDS

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Follow the changes of credentials, from before the first call on."""
        try:
            await self._refresh()
        except DovetailError as error:
            raise StoreOpenError(error.message) from error
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()

    def authenticate_cached(self, method: str, metadata: Metadata) -> Caller | None:
        """The caller, by a token that was used here lately."""
        known = self._by_token.get(token_hash(_token(metadata))) if self._is_fresh else None
        return self._caller(known, method) if known else None

    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """The caller, by a token that the store knows."""
        return self._caller(await self._find(token_hash(_token(metadata))), method)

    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse an ended token, a caller that says it is another, and what its role may not."""
        if self._sessions[caller.credential_id].ended:  # the caller holds it
            raise credential_ended()
        _compare(caller, declared_identity(metadata))
        _require_reach(caller, method)

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self._asked < TRUST_SECONDS

    async def _find(self, hashed: bytes) -> _Session:
        """A pass as the store has it now: where something changed meanwhile, it is read again."""
        while True:
            seen = self._seen
            found = await self._store.read(NO_TEAM, lambda s: credentials.find_token(s, hashed))
            if found is None:
                raise UnauthenticatedError(Reason.CREDENTIAL_UNKNOWN, "the token is not known here")
            if seen == self._seen:
                return self._keep(hashed, found)

    def _keep(self, hashed: bytes, credential: Credential) -> _Session:
        kept = self._sessions.setdefault(credential.credential_id, _Session(credential))
        kept.credential = credential
        if len(self._by_token) >= SESSIONS_KEPT_MAX:
            self._by_token.clear()
        self._by_token[hashed] = kept
        return kept

    def _caller(self, known: _Session, method: str) -> Caller:
        credential = known.credential
        return Caller(
            team_id=credential.team_id,
            agent_id=credential.agent_id,
            role=credential.role,
            reach=_reach(method, credential.role),
            credential_id=credential.credential_id,
            check_live=lambda: self._check_live(known),
        )

    def _check_live(self, known: _Session) -> None:
        """Refuse to go on with a pass that has ended, or that could not be looked after."""
        if known.ended:
            raise credential_ended()
        if not self._is_fresh:
            raise UnavailableError(
                Reason.STORE_UNAVAILABLE,
                "the store did not answer whether the token is still good: try again",
                retry_after=PERIOD_SECONDS,
            )

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(2 * PERIOD_SECONDS):
                    await self._refresh()
            except (DovetailError, TimeoutError):
                pass  # health tells of it; trust ends by itself
            except Exception:
                log.exception("credentials cannot be followed")
            self._wake_ended()
            await asyncio.sleep(PERIOD_SECONDS)

    async def _refresh(self) -> None:
        """Take over what changed since the last time. The first time only says where to begin."""
        asked, after = time.monotonic(), self._seen

        def query(snapshot: Snapshot) -> tuple[int, list[Credential]]:
            changed = [] if after is None else credentials.changed(snapshot, after)
            return credentials.last_change(snapshot), changed

        self._seen, changed = await self._store.read(NO_TEAM, query)
        for credential in changed:
            known = self._sessions.get(credential.credential_id)
            if known:
                known.credential = credential
        self._asked = asked

    def _wake_ended(self) -> None:
        """Wake the streams and waiting calls of what has ended: they look and end themselves.

        Where nothing can be trusted any more that is all of them.
        """
        if not self._is_fresh:
            self._store.bells.ring_all()
            return
        for known in list(self._sessions.values()):
            if known.ended and not known.told:
                known.told = True
                self._store.bells.ring_team(known.credential.team_id)


def declared_identity(metadata: Metadata) -> dict[str, str]:
    """The team and the agent that a call's metadata names.

    Raises InvalidArgumentError `INVALID_CALLER` for an id that is no id, is not UTF-8, or is given
    twice with different values.
    """
    found: dict[str, str] = {}
    for key, value in metadata:
        name = key.removesuffix("-bin")
        if name in (TEAM_KEY, AGENT_KEY):
            text = _text(key, value)
            if found.setdefault(name, text) != text:
                raise _invalid(name, f"is given twice, as {found[name]!r} and {text!r}")
    for name, value in found.items():
        fault = value and id_fault(value)
        if fault:
            raise _invalid(name, fault)
    return found


def _token(metadata: Metadata) -> str:
    given = {value for key, value in metadata if key == TOKEN_KEY}
    if not given:
        raise UnauthenticatedError(
            Reason.CREDENTIAL_REQUIRED,
            f"this server asks for a token: send the metadata {TOKEN_KEY} with Bearer TOKEN"
            " (command line: --token-file FILE, or DOVETAIL_TOKEN)",
        )
    said = given.pop()
    if given or not isinstance(said, str) or said[: len(SCHEME)].lower() != SCHEME:
        raise UnauthenticatedError(
            Reason.CREDENTIAL_UNKNOWN, f"the metadata {TOKEN_KEY} is not one Bearer TOKEN"
        )
    token = said[len(SCHEME) :].strip()
    if not is_token(token):
        raise UnauthenticatedError(
            Reason.CREDENTIAL_UNKNOWN, f"the metadata {TOKEN_KEY} holds no token of Dovetail's"
        )
    return token


def _reach(method: str, role: Role) -> Reach:
    return RIGHTS.get(method, Right()).of(role)


def _require_reach(caller: Caller, method: str, hint: str = "") -> None:
    if caller.reach is Reach.NONE:
        name = method.rpartition("/")[2]
        raise PermissionDeniedError(
            Reason.ROLE_REFUSED,
            f"the role {caller.role.name} may not call {name}{hint}",
            metadata={"role": caller.role.name},
        )


def _compare(caller: Caller, said: dict[str, str]) -> None:
    """Refuse a caller that says it is somebody else than its credential says."""
    truth = {TEAM_KEY: caller.team_id, AGENT_KEY: caller.agent_id}
    for name, value in said.items():
        if value and value != truth[name]:
            raise PermissionDeniedError(
                Reason.CALLER_MISMATCH,
                f"metadata {name}: the token is not that of {value!r}: use its own, or leave it"
                " out (command line: --as, --team)",
                metadata={"field": name},
            )


def _text(key: str, value: str | bytes) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise _invalid(key, "is not UTF-8") from error


def _invalid(key: str, fault: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_CALLER, f"metadata {key}: {fault}", metadata={"field": key}
    )
