"""Who makes a call: the one seam that turns a call's metadata into a Caller."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from dovetail.server.checks import id_fault
from dovetail.server.errors import InvalidArgumentError, Reason

TEAM_KEY = "dovetail-team"
AGENT_KEY = "dovetail-agent"
DEFAULT_TEAM = "default"


class Role(StrEnum):
    """What a caller may do. Where no credentials are asked for, every caller is an operator."""

    OPERATOR = "operator"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who makes a call. `agent_id` is empty for a caller without an agent."""

    team_id: str
    agent_id: str
    role: Role = Role.OPERATOR

    def require_agent(self, purpose: str) -> str:
        """The caller's agent, or an error that says how to name one."""
        if not self.agent_id:
            raise InvalidArgumentError(
                Reason.CALLER_AGENT_REQUIRED,
                f"{purpose} needs a caller with an agent: set the metadata {AGENT_KEY}"
                " (command line: --as AGENT)",
            )
        return self.agent_id


current_caller: ContextVar[Caller] = ContextVar("current_caller")


def caller_from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Make a Caller of `dovetail-team` and `dovetail-agent`, or of their `-bin` forms in UTF-8.

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
    team_id = found.get(TEAM_KEY, "") or DEFAULT_TEAM
    agent_id = found.get(AGENT_KEY, "")
    for name, value in ((TEAM_KEY, team_id), (AGENT_KEY, agent_id)):
        fault = value and id_fault(value)
        if fault:
            raise _invalid(name, fault)
    return Caller(team_id=team_id, agent_id=agent_id)


def _text(key: str, value: str | bytes) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise _invalid(key, "is not UTF-8") from error


def _invalid(key: str, fault: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        Reason.INVALID_CALLER, f"metadata {key}: {fault}", metadata={"field": key}
    )
