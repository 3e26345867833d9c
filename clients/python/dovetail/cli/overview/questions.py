"""`dovetail questions`: the questions about tasks that wait for an answer."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.output.text import escape_controls

PAGE = 500


@click.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@click.option("--all", "everybody", is_flag=True, help="Whoever is asked.")
@calls
async def questions(session: Session, agent_id: str, everybody: bool) -> None:
    """Show open questions to you.

    Default: those to the agent of --as. Answer one: dovetail task answer TASK TEXT
    """
    asked = "" if everybody else await _asked(session, agent_id)
    found: list[late.tasks_pb2.Task] = []

    async def open_questions() -> AsyncIterator[late.tasks_pb2.Task]:
        asking = session.agent.tasks.list(states="input_required", page_size=PAGE)
        async for task in asking:
            if everybody or (task.question and task.question.agent_id == asked):
                found.append(task.proto)
                yield task.proto

    await session.out.rows(open_questions(), late.lists.QUESTIONS)
    if found:
        task_id = shlex.quote(escape_controls(found[0].task_id)) if len(found) == 1 else "TASK"
        have_options = all(each.question.options for each in found)
        how = "--option NAME" if have_options else "TEXT"
        session.out.remark(f"Answer it: dovetail task answer {task_id} {how}")


async def _asked(session: Session, agent_id: str) -> str:
    """The agent whose questions are shown. Raises NotFoundError for one that is not known."""
    if not (agent_id or session.agent.agent_id or session.servers.has_token):
        raise click.UsageError("whose questions? Name the agent, or yourself: --as AGENT; or --all")
    return (await session.agent.agent(agent_id)).agent_id
