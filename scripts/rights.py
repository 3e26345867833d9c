"""The page docs/reference/rights.md, from the tables in the code; `reference.py` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from dovetail.server.access.rights import RIGHTS
from dovetail.server.store.tables.credentials import Role
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.tasks.states import OWNERS

PAGES = {"MessagingService": "messaging.md", "TaskService": "tasks.md", "AdminService": "admin.md"}

MEANING = """Who may call what, where servers ask for credentials. Where they ask for none,
every caller is an operator, and nobody is an admin.

- **yes**: on everything in the caller's team. Other teams do not exist: what belongs to them is
  NOT_FOUND, as what never was.
- **own**: on what the last column says. Anything else in the team is PERMISSION_DENIED `NOT_YOURS`,
  unless that column says otherwise.
- **no**: PERMISSION_DENIED `ROLE_REFUSED`, before anything is looked at.

An agent that received a message is told what became of it in its own inbox alone; who sent it is
told of every recipient. An agent starts a task that is unassigned or assigned to it; another one is
FAILED_PRECONDITION `ASSIGNED_TO_ANOTHER`."""

TASKS = """## Whose own a task is

The part that an agent must have in a task, by the state that the task is in. Rights come first: who
has no such part gets `NOT_YOURS`, though the state would refuse the verb to everybody."""


def page(made: str) -> Iterator[str]:
    """The page, line by line; `made` tells how it is made."""
    yield "# Rights"
    yield ""
    yield made.format("`dovetail.server.access.rights` and `dovetail.server.tasks.states`")
    yield ""
    yield MEANING
    for service, rpcs in groupby(RIGHTS, lambda path: path.split("/")[1]):
        yield from _service(service.rpartition(".")[2], list(rpcs))
    yield ""
    yield TASKS
    yield ""
    yield from _parts()


def _service(name: str, rpcs: list[str]) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield "| RPC | " + " | ".join(role.name for role in Role) + " | an agent's own |"
    yield "|---|" + "---|" * len(Role) + "---|"
    for path in rpcs:
        rpc, right = path.rpartition("/")[2], RIGHTS[path]
        reaches = " | ".join(right.of(role).value for role in Role)
        yield f"| [{rpc}]({PAGES[name]}#{rpc.lower()}) | {reaches} | {right.own} |"


def _parts() -> Iterator[str]:
    yield "| verb | " + " | ".join(state.name for state in TaskState) + " |"
    yield "|---|" + "---|" * len(TaskState)
    for verb, parts in OWNERS.items():
        cells = (" or ".join(part.value for part in parts[state]) for state in TaskState)
        yield f"| {verb.words} | " + " | ".join(cells) + " |"
