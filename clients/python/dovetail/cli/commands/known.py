"""Whether what a filter names is known, where it chose nothing."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.cli import late
from dovetail.cli.options.calling import Session
from dovetail.cli.output.exit_codes import NOT_FOUND, CommandError


async def require_known(session: Session, agent_ids: Iterable[str]) -> None:
    """Raise NotFoundError for the first of these agents that the team does not have.

    The directory is a service of messaging. While that is down the caller's own answer, which is
    empty, stands: so it is asked once, on a connection of its own.
    """
    names = tuple(agent_ids)
    if not names:
        return
    caller = session.agent.agent_id
    async with session.servers.connect(caller, session.team_id, session.timeout, 0.0) as agent:
        for name in names:
            try:
                await agent.agent(name)
            except (late.client.UnavailableError, late.client.DeadlineExceededError):
                return


async def require_known_task(session: Session, task_id: str) -> None:
    """Raise NotFoundError for a task that never was in the team; one that is deleted was.

    As with agents, the service that knows it may be down.
    """
    if not task_id:
        return
    caller = session.agent.agent_id
    async with session.servers.connect(caller, session.team_id, session.timeout, 0.0) as agent:
        try:
            await agent.tasks.events(task_id=task_id).next_page(1)
        except (late.client.UnavailableError, late.client.DeadlineExceededError):
            return


async def thread_of(session: Session, known_id: str) -> str:
    """The thread of a message or a task."""
    try:
        return (await session.agent.message(known_id)).message.thread_id
    except late.client.NotFoundError:
        pass
    try:
        return (await session.agent.tasks.get(known_id)).thread_id
    except late.client.NotFoundError:
        raise CommandError(
            f"no thread, message or task {known_id!r}. See all messages: dovetail message list",
            NOT_FOUND,
        ) from None
