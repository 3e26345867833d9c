"""`dovetail watch`: waits for what an agent should look at, and ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.output.exit_codes import NOT_FOUND, REFUSED, CommandError
from dovetail.settings import CLIENT

if TYPE_CHECKING:
    from dovetail.bridges.watcher.watching import Place, Wake

EXIT_CODE_MAX = 255


@click.command()
@click.option("--check", is_flag=True, help="Only ask whether one runs: 0 if so, else 3.")
@click.option("--again", is_flag=True, help="Also for what was told before.")
@click.option(
    "--exit-code",
    type=click.IntRange(0, EXIT_CODE_MAX),
    metavar="N",
    help="End with N, for a host that starts it and wants that.",
)
@click.option("--for-hooks", is_flag=True, help="Only answer hooks; they start it so.")
@calls
async def watch(
    session: Session, check: bool, again: bool, exit_code: int | None, for_hooks: bool
) -> None:
    """Wait for something to look at.

    It ends as soon as there is. Run it in the background: where the end of a process wakes the
    agent, that is the wake-up. It waits through restarts of servers, and prints who wrote and how
    to read it. What it told once does not wake again. While a hook says that a turn is under way,
    it waits for its end. There is one for each agent.
    """
    from dovetail.bridges.watcher import watching  # Slow to load: not for --help.

    try:
        place = _place(session)
        if check:
            if not place.is_watched():
                raise CommandError("no watcher runs", NOT_FOUND, hint="Start it: dovetail watch")
            session.out.remark("a watcher runs")
            return
        if not for_hooks:
            await late.asyncio.to_thread(place.end_for_hooks)
        with place.locked(watching.FOR_HOOKS if for_hooks else watching.WAKES):
            if exit_code is not None:
                place.set_armed_by_host()
            watcher = watching.Watcher(
                session.agent,
                place,
                watching.Watch(wakes=not for_hooks, is_started_by_host=place.is_armed_by_host),
                has_token=session.servers.has_token,
            )
            if for_hooks:
                await watcher.serve_hooks()
                return
            with late.readers.ending_with_reader():
                wake = await watcher.wake(again=again)
            _tell(session, wake)
            watcher.remember(wake)
    except watching.AlreadyWatchedError as other:
        raise CommandError(
            f"a watcher of this agent runs already: {other}", REFUSED, hint="One is enough"
        ) from None
    click.get_current_context().exit(exit_code or 0)


def _place(session: Session) -> Place:
    """The folder of this agent's watchers, which hooks with the same settings find."""
    from dovetail.bridges.hooks import places
    from dovetail.bridges.watcher import watching

    agent, servers = session.agent.agent_id, session.servers
    if not (agent or servers.has_token):
        raise click.UsageError("whose inbox? Name the agent: --as AGENT")
    token = str(servers.token_file.absolute()) if servers.token_file else ""
    secret = "" if token else os.environ.get(CLIENT["token"].variable, "")
    try:
        place = watching.place_of(
            agent, session.known_team_id, servers.messaging, servers.tasks, token, secret
        )
        if not any(map(_given, ("messaging", "tasks", "token-file"))):
            key = places.call_key(_given("agent"), _given("team"))
            watching.remember_call(key, place)
    except OSError as error:
        raise CommandError(f"no private folder for the watcher: {error}") from error
    return place


def _given(name: str) -> str:
    """The value of an option, if the command line has it."""
    context = click.get_current_context()
    key = CLIENT[name].key
    is_given = context.get_parameter_source(key) is ParameterSource.COMMANDLINE
    return str(context.params[key]) if is_given else ""


def _tell(session: Session, wake: Wake) -> None:
    from dovetail.bridges.watcher.texts import digest, digest_facts

    told = (wake.names, wake.lines, wake.unread)
    text = digest(*told)
    session.out.facts(digest_facts(*told), lambda: text, lambda _: text)
