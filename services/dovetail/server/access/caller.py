"""Who makes a call, and how far the caller may reach in it."""

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


def _lives() -> None:
    """Callers without a credential have none that could end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who makes a call. `agent_id` is empty for a caller without an agent.

    `reach` is what the table of rights gives the caller's role in this call. `credential_id` is
    empty where no credential was asked for. `check_live` is for calls that wait: it raises
    UnauthenticatedError when the credential has ended since the call began.
    """

    team_id: str
    agent_id: str
    role: Role = Role.OPERATOR
    reach: Reach = Reach.ALL
    credential_id: str = ""
    check_live: Callable[[], None] = field(default=_lives, compare=False)

    def require_agent(self, purpose: str) -> str:
        """The caller's agent, or an error that says how to name one."""
        if not self.agent_id:
            how = (
                "use the token of an agent"
                if self.credential_id
                else f"set the metadata {AGENT_KEY} (command line: --as AGENT)"
            )
            raise InvalidArgumentError(
                Reason.CALLER_AGENT_REQUIRED, f"{purpose} needs a caller with an agent: {how}"
            )
        return self.agent_id

    def reaches(self, *owner_ids: str) -> bool:
        """Whether the caller may act on what these agents own."""
        return self.reach is Reach.ALL or (bool(self.agent_id) and self.agent_id in owner_ids)

    def require_own(self, what: str, *owner_ids: str) -> None:
        """Refuse what is another's, where the caller may only act on its own."""
        if not self.reaches(*owner_ids):
            raise PermissionDeniedError(
                Reason.NOT_YOURS,
                f"{what} does not belong to {self.agent_id!r}: the role {self.role.name} may do"
                " this to its own alone",
                metadata={"role": self.role.name},
            )


def credential_ended() -> UnauthenticatedError:
    """The answer to a token that was good once."""
    return UnauthenticatedError(
        Reason.CREDENTIAL_ENDED,
        "the token was revoked or has expired: ask an admin for a new one",
    )


current_caller: ContextVar[Caller] = ContextVar("current_caller")
