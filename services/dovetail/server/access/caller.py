"""The caller of a call, and how far its rights reach in it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from dovetail.server.access.rights import Reach
from dovetail.server.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
)
from dovetail.server.store.tables.credentials import Role

AGENT_KEY = "dovetail-agent"


def _no_credential() -> None:
    """The check of a caller without a credential: there is none that could end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The caller of a call. `agent_id` is empty for a caller without an agent.

    `reach` is the right of the caller's role in this call. `credential_id` is empty on a server
    without credentials. `check_live` is for calls that wait: it raises UnauthenticatedError if the
    credential has ended since the call began, and UnavailableError if that could not be checked. It
    does not wait, and any thread may call it.
    """

    team_id: str
    agent_id: str
    role: Role = Role.OPERATOR
    reach: Reach = Reach.ALL
    credential_id: str = ""
    check_live: Callable[[], None] = field(default=_no_credential, compare=False)

    def require_agent(self, purpose: str) -> str:
        """Return the caller's agent, or raise an error that says how to name one."""
        if not self.agent_id:
            how = (
                "use the token of an agent"
                if self.credential_id
                else f"set the metadata {AGENT_KEY} (command line: --as AGENT)"
            )
            raise InvalidArgumentError(
                Reason.CALLER_AGENT_REQUIRED,
                f"{purpose} needs a caller with an agent: {how}",
                metadata=self.role_metadata,
            )
        return self.agent_id

    @property
    def role_metadata(self) -> dict[str, str]:
        """The caller's role, for an error; none where the server asks for no token."""
        return {"role": self.role.name} if self.credential_id else {}

    def reaches(self, *owner_ids: str) -> bool:
        """Whether the caller may act on what these agents own."""
        return self.reach is Reach.ALL or (bool(self.agent_id) and self.agent_id in owner_ids)

    def require_own(self, what: str, *owner_ids: str) -> None:
        """Raise PermissionDeniedError unless the caller may act on what these agents own."""
        if not self.reaches(*owner_ids):
            raise PermissionDeniedError(
                Reason.NOT_YOURS,
                f"{what} does not belong to {self.agent_id!r}: the role {self.role.name} may do"
                " this to its own alone",
                metadata={"role": self.role.name},
            )


def credential_ended() -> UnauthenticatedError:
    """The error for a token that was valid once."""
    return UnauthenticatedError(
        Reason.CREDENTIAL_ENDED,
        "the token was revoked or has expired: ask an admin for a new one",
    )


current_caller: ContextVar[Caller] = ContextVar("current_caller")
"""Set by the interceptor, before the handler of the call runs."""
