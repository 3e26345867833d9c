"""Authentication: from a call's metadata to its Caller, by a token or by what the caller declares.

Credentials that were used are kept in memory and follow the store: each change of one is seen
within PERIOD_SECONDS, whichever server made it. While the store cannot be read, nothing is trusted
for longer than TRUST_SECONDS, so that a revoked token ends everywhere within five seconds.

All fields belong to the event loop. The exception is `_check_live`, which writers' threads call as
well (`store.current_permit`): it only reads, and each field that it reads is one reference or
number that is replaced as a whole, so it sees the state before a refresh or the one after it.
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
from dovetail.server.access.rights import Reach, reach_of
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

# The promise is five seconds (docs/promises.md), and these are chosen for it. Whatever is trusted
# at a time T rests on a refresh that began after T - 4 s, so it shows every revocation before that.
# The fifth second is for waiting calls and streams, which are woken once in each period, and at
# once when trust ends because the store hangs (`_follow`).
PERIOD_SECONDS = 1.0
TRUST_SECONDS = 4.0

# Chosen, to bound memory. Beyond it all are dropped, and each costs one read at its next use.
SESSIONS_KEPT_MAX = 10_000

_NO_ADMINS = (
    ": this server asks for no credentials, so that nobody is an admin; start it with --credentials"
    " and --admin-token-file"
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.gate")

Metadata = Sequence[tuple[str, str | bytes]]


class Authenticator(ABC):
    """Finds the caller of a call, and refuses callers that may not make it."""

    def authenticate_cached(self, method: str, metadata: Metadata) -> Caller | None:
        """Return the caller if that needs no read of the store; None: call `authenticate`."""
        del method, metadata
        return None

    @abstractmethod
    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """Return the caller, who is not yet authorized. Raises UnauthenticatedError."""

    @abstractmethod
    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse a caller that may not make this call. Apart, so that the refusal can name it."""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Do the background work of this authenticator while the block lasts."""
        yield


class TrustingAuthenticator(Authenticator):
    """Believes what callers declare: each is an operator."""

    def authenticate_cached(self, method: str, metadata: Metadata) -> Caller:
        """The caller of `dovetail-team` and `dovetail-agent`, or of their `-bin` forms in UTF-8."""
        declared = declared_identity(metadata)
        return Caller(
            team_id=declared.get(TEAM_KEY, "") or DEFAULT_TEAM,
            agent_id=declared.get(AGENT_KEY, ""),
            reach=reach_of(Role.OPERATOR, method),
        )

    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """The same, at once."""
        return self.authenticate_cached(method, metadata)

    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse calls for admins: there are none."""
        del metadata
        _require_reach(caller, method, _NO_ADMINS)


class _Session:
    """A credential that was used here, as it was last seen.

    There is one for each credential at most, which all calls and streams of it share: so a refresh
    that finds it by its id reaches all of them.
    """

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        # Whether its team was woken after it ended. Once is enough: a token ends once (unless a
        # clock is set back, and then its streams have ended already).
        self.is_end_notified = False

    @property
    def ended(self) -> bool:
        return self.credential.ended(clock.now())


class TokenAuthenticator(Authenticator):
    """Believes tokens."""

    def __init__(self, store: Store) -> None:
        """Find credentials in `store`."""
        self._store = store
        # Keyed by hash, so that a dump of this process's memory holds few tokens. It keeps the
        # sessions of recent calls alive; dropping it all is safe at any time.
        self._by_token: dict[bytes, _Session] = {}
        # Every session in use, recent or not: a stream may be open for days after its token was
        # dropped from `_by_token`. The caller of each call keeps its session alive (`check_live`).
        self._sessions: WeakValueDictionary[str, _Session] = WeakValueDictionary()
        # The number of the last change that was applied to `_sessions`; None before the first look.
        self._seen_change: int | None = None
        # When the last refresh that succeeded began: what it read is at least as new.
        self._fresh_since = -TRUST_SECONDS

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Follow the changes of credentials, beginning before the first call."""
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
        """The caller, by a token that was used here recently."""
        session = self._by_token.get(token_hash(_token(metadata))) if self._is_fresh else None
        return self._caller(session, method) if session else None

    async def authenticate(self, method: str, metadata: Metadata) -> Caller:
        """The caller, by a token that the store knows."""
        return self._caller(await self._find(token_hash(_token(metadata))), method)

    def authorize(self, caller: Caller, method: str, metadata: Metadata) -> None:
        """Refuse an ended token, another declared identity, and what the role may not call."""
        # Never a KeyError: `caller.check_live` refers to the session, and so keeps it alive.
        if self._sessions[caller.credential_id].ended:
            raise credential_ended()
        _require_same(caller, declared_identity(metadata))
        _require_reach(caller, method)

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self._fresh_since < TRUST_SECONDS

    async def _find(self, hashed: bytes) -> _Session:
        """The session of a token, as the store has its credential now."""
        # A refresh may apply a change while this read is under way. The session is not in
        # `_sessions` then, so the change passes it by, and no later refresh brings it again: what
        # was read could be from before a revocation, and be trusted for good. Hence once more, if
        # `_seen_change` moved. If not, the session is kept without an await in between, and every
        # change that this read did not see is still to come. It ends: changes come once a second.
        while True:
            seen = self._seen_change
            found = await self._store.read(NO_TEAM, lambda s: credentials.find_token(s, hashed))
            if found is None:
                raise UnauthenticatedError(Reason.CREDENTIAL_UNKNOWN, "the token is not known here")
            if seen == self._seen_change:
                return self._keep(hashed, found)

    def _keep(self, hashed: bytes, credential: Credential) -> _Session:
        # A session that lives, of a stream perhaps, is used again: there must not be two.
        kept = self._sessions.setdefault(credential.credential_id, _Session(credential))
        kept.credential = credential
        if len(self._by_token) >= SESSIONS_KEPT_MAX:
            self._by_token.clear()
        self._by_token[hashed] = kept
        return kept

    def _caller(self, session: _Session, method: str) -> Caller:
        credential = session.credential
        return Caller(
            team_id=credential.team_id,
            agent_id=credential.agent_id,
            role=credential.role,
            reach=reach_of(credential.role, method),
            credential_id=credential.credential_id,
            check_live=lambda: self._check_live(session),
        )

    def _check_live(self, session: _Session) -> None:
        """Refuse to go on with a token that has ended, or that could not be checked recently."""
        if session.ended:
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
                async with asyncio.timeout(self._but_while_fresh(2 * PERIOD_SECONDS)):
                    await self._refresh()
            except (DovetailError, TimeoutError):
                pass  # Health reports it, and `_is_fresh` turns false by itself.
            except Exception:
                log.exception("credentials cannot be followed")
            self._wake_ended()
            await asyncio.sleep(self._but_while_fresh(PERIOD_SECONDS))
            if not self._is_fresh:
                self._wake_ended()

    def _but_while_fresh(self, seconds: float) -> float:
        """These seconds, or fewer if trust ends earlier: whoever waits is woken at that moment."""
        left = self._fresh_since + TRUST_SECONDS - time.monotonic()
        return min(seconds, left) if left > 0 else seconds

    async def _refresh(self) -> None:
        """Apply what has changed since the last refresh; the first one only finds the beginning."""
        # The time before the query: its snapshot cannot be older. The time after it would extend
        # trust by as long as a slow store takes.
        begin, after = time.monotonic(), self._seen_change

        def query(snapshot: Snapshot) -> tuple[int, list[Credential]]:
            changed = [] if after is None else credentials.changed(snapshot, after)
            return credentials.last_change(snapshot), changed

        # Numbers become visible in order (`tables.credentials`), so none is passed by. From here to
        # the end there is no await: no call sees the new number with an old credential.
        self._seen_change, changed = await self._store.read(NO_TEAM, query)
        for credential in changed:
            session = self._sessions.get(credential.credential_id)
            if session:
                session.credential = credential
        self._fresh_since = begin

    def _wake_ended(self) -> None:
        """Wake streams and waiting calls whose token has ended: they check it and end themselves.

        If no token can be trusted any more, these are all of them.
        """
        if not self._is_fresh:
            self._store.bells.ring_all()
            return
        # A list: weak entries may vanish during the loop. Which names a session watches is not
        # known here, so its whole team is woken; the others look, and wait on.
        for session in list(self._sessions.values()):
            if session.ended and not session.is_end_notified:
                session.is_end_notified = True
                self._store.bells.ring_team(session.credential.team_id)


def declared_identity(metadata: Metadata) -> dict[str, str]:
    """The team and the agent that a call's metadata names.

    Raises InvalidArgumentError `INVALID_CALLER` for a value that is not an id or not UTF-8, and for
    two different values of one key.
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
    value = given.pop()
    if given or not isinstance(value, str) or value[: len(SCHEME)].lower() != SCHEME:
        raise UnauthenticatedError(
            Reason.CREDENTIAL_UNKNOWN, f"the metadata {TOKEN_KEY} is not one Bearer TOKEN"
        )
    token = value[len(SCHEME) :].strip()
    if not is_token(token):
        raise UnauthenticatedError(
            Reason.CREDENTIAL_UNKNOWN, f"the metadata {TOKEN_KEY} holds no token of Dovetail's"
        )
    return token


def _require_reach(caller: Caller, method: str, hint: str = "") -> None:
    if caller.reach is Reach.NONE:
        name = method.rpartition("/")[2]
        raise PermissionDeniedError(
            Reason.ROLE_REFUSED,
            f"the role {caller.role.name} may not call {name}{hint}",
            metadata=caller.role_metadata,
        )


def _require_same(caller: Caller, declared: dict[str, str]) -> None:
    """Refuse a caller that declares another identity than that of its credential."""
    actual = {TEAM_KEY: caller.team_id, AGENT_KEY: caller.agent_id}
    for name, value in declared.items():
        if value and value != actual[name]:
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
