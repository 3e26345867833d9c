"""`connect`: an agent, from arguments and settings."""
# ruff: noqa: PLR0913 - a keyword for each setting

from __future__ import annotations

from pathlib import Path

from dovetail.client.agent import Agent
from dovetail.client.configuration import Configuration
from dovetail.client.connection import Access, Addresses, Connection, caller_metadata
from dovetail.client.security import Tls
from dovetail.client.tasks import Tasks


def connect(
    agent_id: str | None = None,
    *,
    team_id: str | None = None,
    messaging: Addresses | None = None,
    tasks: Addresses | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    token: str = "",
    token_file: Path | str | None = None,
    tls: Tls | None = None,
    insecure: bool | None = None,
) -> Agent:
    """Act as an agent of a team, with the servers at these addresses. Makes no call yet.

    Close what it returns, or use it in a block that does: `async with connect("bob") as bob:`.

    A call takes at most `timeout` seconds. While a server cannot be reached the call is repeated
    for `patience` seconds (default: the whole `timeout`); that is safe because every write has an
    id by which the server recognizes a repeat. With the agent "" you may read, and work on tasks,
    but not send. The team "" is the team "default", or the team of the token.

    Arguments that are left out are read as the command line reads them: from the environment
    (DOVETAIL_AGENT, DOVETAIL_TEAM, DOVETAIL_MESSAGING, DOVETAIL_TASKS, DOVETAIL_TIMEOUT,
    DOVETAIL_PATIENCE and the variables of tokens and TLS), then from the configuration file, then
    the default applies (`dovetail config`).

    Each service may have several addresses, of servers over one store: a list, or separated by
    commas. Calls go to the servers that are up, in turn.

    Servers that require credentials get `token`, or the token in `token_file` (mode 0600; read
    again when a server refuses the old one). It identifies the caller: the ids may be left out.
    `tls` encrypts; a token is sent to another machine without TLS only if `insecure` is set.
    Raises ConfigurationError.
    """
    configured = Configuration()
    agent_id = str(configured.value("agent", agent_id))
    timeout = float(configured.value("timeout", timeout))
    patience = configured.value("patience", patience)
    access = Access(
        ids=caller_metadata(configured.value("team", team_id), agent_id),
        token=configured.token(token, token_file),
        tls=configured.tls(tls),
        insecure=configured.value("insecure", insecure),
        timeout=timeout,
        patience=timeout if patience is None else patience,
    )
    talk = Connection(configured.addresses("messaging", messaging), access)
    work = Connection(configured.addresses("tasks", tasks), access)
    return Agent(agent_id, talk, Tasks(work))
