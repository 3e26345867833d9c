"""`dovetail task`: creating and managing tasks. Working on them: `work`."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.commands.fencing import fenced_texts, for_llm_option, is_for_llm
from dovetail.cli.commands.known import require_known
from dovetail.cli.lazy import LazyGroup, lazy_commands
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.files import attach_option
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.texts import (
    DESCRIPTION,
    NEW_DESCRIPTION,
    OBJECT,
    REASON,
)
from dovetail.cli.options.usage import budget_option
from dovetail.cli.options.values import (
    CLEARED,
    COUNT,
    LABEL,
    LENGTH,
    LINK,
    NEW_TIME,
    TIME,
    Labels,
    Word,
    acknowledge_option,
    label_option,
    stacked,
)

RELATED_MAX = 10
"""How many of the tasks that a task waits for, links to or is linked from `task show` names."""

STATES = ("pending", "in_progress", "input_required", "completed", "failed", "cancelled")


def _notify(
    context: click.Context, _: click.Parameter, quiet: bool
) -> late.tasks_pb2.Notify.ValueType | None:
    if context.resilient_parsing:  # For completion: nothing is sent.
        return None
    return late.tasks_pb2.NOTIFY_NONE if quiet else late.tasks_pb2.NOTIFY_ALL


task_argument = click.argument("task_id", metavar="TASK")
etag_option = click.option("--etag", default="", help="Only if the task still has this etag.")
quiet_option = click.option(
    "--quiet", "notify", is_flag=True, callback=_notify, help="Notify no agent."
)
force_option = click.option("--force", is_flag=True, help="Even if an agent is working on it.")
request_id_option = click.option("--request-id", default="", help="A repeat changes nothing.")
repeatable_options = stacked(etag_option, request_id_option)
change_options = stacked(etag_option, quiet_option, request_id_option)
"""The options of a change, as `dovetail.client` has them: ChangeOptions, Repeatable."""

due_option = click.option("--due", "due_time", type=TIME, help="Its deadline.")
depends_option = click.option("--depends-on", multiple=True, metavar="TASK", help="Waits for this.")
at_option = click.option("--at", "schedule_time", type=TIME, help="Not before this time.")
attempts_option = click.option(
    "--max-attempts",
    type=COUNT,
    metavar="N",
    help="Attempts that may fail.  [default: 5]",
)
backoff_option = click.option(
    "--backoff",
    "initial_backoff",
    type=LENGTH,
    help="Before a retry.  [default: 1s]",
)


filters = stacked(
    click.option("--state", "states", type=Word(STATES), multiple=True, help="In this state."),
    click.option("--assignee", "assignees", multiple=True, help="Assigned to this agent."),
    click.option("--unassigned", is_flag=True, help="Without an assignee."),
    click.option("--creator", "creators", multiple=True, help="Created by this agent."),
    click.option("--thread", "thread_id", default="", help="In this thread."),
    click.option("--updated-since", type=TIME, help="Changed since then."),
    label_option,
)
"""The options that choose tasks."""


def task_filter(
    states: tuple[str, ...],
    assignees: tuple[str, ...],
    unassigned: bool,
    creators: tuple[str, ...],
    thread_id: str,
    updated_since: datetime | None,
    labels: Labels,
) -> late.tasks_pb2.TaskFilter:
    """The tasks that these options choose."""
    names = (f"TASK_STATE_{state.upper()}" for state in states)
    since = late.types_pb2.TimeRange(start_time=late.values.timestamp(updated_since))
    return late.tasks_pb2.TaskFilter(
        states=[late.tasks_pb2.TaskState.Value(name) for name in names],
        assignee_ids=assignees,
        unassigned=unassigned,
        creator_ids=creators,
        thread_id=thread_id,
        update_time=since if updated_since else None,
        labels=dict(labels),
    )


@click.group(cls=LazyGroup)
def task() -> None:
    """Create, manage and work on tasks."""


@task.command()
@click.argument("title")
@click.option("--id", "task_id", default="", help="Its id.")
@click.option("--description", type=DESCRIPTION, help="What to do.")
@click.option("--assignee", "assignee_id", default="", help="Who does it.")
@click.option("--priority", type=int, default=0, help="Higher first.")
@click.option("--input", type=OBJECT, help="Its input.")
@click.option("--thread", "thread_id", default="", help="Of its notices.")
@depends_option
@click.option("--parent", "parent_task_id", default="", help="Part of this.")
@click.option("--link", "links", type=LINK, multiple=True, help="A related task.")
@at_option
@due_option
@attempts_option
@backoff_option
@budget_option
@label_option
@attach_option("input_attachments")
@acknowledge_option
@quiet_option
@request_id_option
@calls
async def create(
    session: Session, title: str, labels: Labels, max_attempts: int | None, **fields: Any
) -> None:
    """Create a task."""
    fields |= {"labels": dict(labels), "max_attempts": max_attempts or 0}
    fields |= fields.pop("budget")
    fields["description"] = fields["description"] or ""  # one that is given is never empty
    created = await session.agent.tasks.create(title, **fields)
    session.out.item(created, late.render.task)


@task.command()
@task_argument
@for_llm_option
@calls
async def show(session: Session, task_id: str) -> None:
    """Show one task, with the tasks around it."""
    found = await session.agent.tasks.get(task_id)
    if is_for_llm():
        session.out.remark(await fenced_texts(session).task(found))
        return
    around = late.details.Surroundings()
    if session.out.for_people:
        around = await read_surroundings(session, found.proto)
    session.out.item(found, lambda task: late.details.details(task, around))


async def read_surroundings(
    session: Session, task: late.tasks_pb2.Task
) -> late.details.Surroundings:
    """Read what a task waits for, is part of and links to, and what links to it.

    These are at most 22 calls at once.
    """

    async def read(task_id: str) -> late.tasks_pb2.Task | str:
        try:
            return (await session.agent.tasks.get(task_id)).proto
        except late.client.NotFoundError:
            return task_id

    async def read_linking() -> list[late.tasks_pb2.Task]:
        found = session.agent.tasks.list(linked_task_id=task.task_id, page_size=RELATED_MAX + 1)
        return [record.proto for record in await found.next_page()]

    chosen = task.depends_on[:RELATED_MAX]
    linked = list(dict.fromkeys(link.task_id for link in task.links))[:RELATED_MAX]
    parents = [task.parent_task_id] if task.parent_task_id else []
    ids = list(dict.fromkeys((*chosen, *linked, *parents)))
    linking, found = await late.asyncio.gather(read_linking(), late.asyncio.gather(*map(read, ids)))
    known = dict(zip(ids, found, strict=True))
    parent = known.get(task.parent_task_id)
    return late.details.Surroundings(
        dependencies=[known[each] for each in chosen],
        more_count=len(task.depends_on) - len(chosen),
        parent=None if isinstance(parent, str) else parent,
        linked={each: known[each] for each in linked},
        linking=linking,
    )


@task.command("list")
@filters
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--order", type=Word(("created", "updated")), default="created", help="By this time.")
@calls
@paged
async def list_(session: Session, newest: bool, order: str, part: Part, **chosen: Any) -> None:
    """List tasks, the oldest first."""
    found = session.agent.tasks.list(
        filter=task_filter(**chosen),
        order="newest_first" if newest else "oldest_first",
        order_by="update_time" if order == "updated" else "create_time",
        page_token=part.page_token,
    )
    named = (*chosen["assignees"], *chosen["creators"])
    await session.out.rows(part.of(found), late.lists.TASKS, lambda: require_known(session, named))
    part.tell(session.out, found)


@task.command()
@task_argument
@click.option("--title", help="A new title.")
@click.option("--description", type=NEW_DESCRIPTION, help="What to do.")
@click.option("--priority", type=int, help="Higher is more urgent.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="Replaces all its labels.")
@click.option(
    "--depends-on", multiple=True, metavar="TASK", help="Replaces all its dependencies; '': none."
)
@click.option("--parent", "parent_task_id", help="The task it is a part of; '': none.")
@click.option("--link", "links", type=LINK, multiple=True, help="Replaces all its links; '': none.")
@click.option("--at", "schedule_time", type=NEW_TIME, help="Not before this time; '': at once.")
@click.option("--due", "due_time", type=NEW_TIME, help="Its deadline; '': none.")
@click.option("--max-attempts", type=COUNT, help="How many attempts may fail.")
@click.option(
    "--backoff", "initial_backoff", type=LENGTH, help="How long a retry waits; doubles each time."
)
@budget_option
@change_options
@calls
async def update(
    session: Session,
    task_id: str,
    title: str | None,
    description: str | None,
    priority: int | None,
    labels: Labels,
    depends_on: tuple[str, ...],
    parent_task_id: str | None,
    links: tuple[tuple[str, str], ...],
    schedule_time: datetime | None,
    due_time: datetime | None,
    max_attempts: int | None,
    initial_backoff: timedelta | None,
    budget: dict[str, Any],
    **options: Any,
) -> None:
    """Change fields of a task. Fields that are not named stay as they are."""
    values = {
        "title": title,
        "description": description,
        "priority": priority,
        "labels": dict(labels) or None,
        "depends_on": [each for each in depends_on if each] if depends_on else None,
        "parent_task_id": parent_task_id,
        "links": [each for each in links if any(each)] if links else None,
        "schedule_time": schedule_time,
        "due_time": due_time,
        "max_attempts": max_attempts,
        "initial_backoff": initial_backoff,
        **budget,
    }
    changes: dict[str, Any] = {
        name: None if value is CLEARED else value
        for name, value in values.items()
        if value is not None
    }
    if not changes:
        raise click.UsageError("name what to change: --title, --description, --priority, ...")
    changed = await session.agent.tasks.update(task_id, **changes, **options)
    session.out.item(changed, late.render.task)


@task.command()
@task_argument
@etag_option
@quiet_option
@calls
async def delete(session: Session, task_id: str, **options: Any) -> None:
    """Delete a task that is not in progress. Its id stays taken."""
    await session.agent.tasks.delete(task_id, **options)
    session.out.facts(
        {"task_id": task_id}, lambda: f"deleted {task_id}", lambda _: f"{task_id} deleted"
    )


@task.command()
@task_argument
@click.argument("assignee_id", metavar="AGENT")
@force_option
@change_options
@calls
async def assign(session: Session, task_id: str, assignee_id: str, **options: Any) -> None:
    """Assign a task to an agent."""
    changed = await session.agent.tasks.assign(task_id, assignee_id, **options)
    session.out.item(changed, late.render.task)


@task.command()
@task_argument
@force_option
@change_options
@calls
async def unassign(session: Session, task_id: str, **options: Any) -> None:
    """Remove the assignee of a task."""
    session.out.item(await session.agent.tasks.unassign(task_id, **options), late.render.task)


@task.command()
@task_argument
@click.argument("reason", type=REASON, default="")
@click.option("--cascade", is_flag=True, help="Also its parts that have not ended.")
@change_options
@calls
async def cancel(session: Session, task_id: str, reason: str, **options: Any) -> None:
    """Cancel a task."""
    session.out.item(await session.agent.tasks.cancel(task_id, reason, **options), late.render.task)


@task.command()
@task_argument
@click.argument("reason", type=REASON, default="")
@change_options
@calls
async def reopen(session: Session, task_id: str, reason: str, **options: Any) -> None:
    """Make an ended task pending again."""
    session.out.item(await session.agent.tasks.reopen(task_id, reason, **options), late.render.task)


for each in lazy_commands(
    ("search", "commands.search:search_tasks", "Search tasks, those created last first."),
    ("claim", "commands.work:claim", "Claim ready tasks, your own first."),
    ("start", "commands.work:start", "Start a task; an unassigned one becomes yours."),
    (
        "heartbeat",
        "commands.work:heartbeat",
        "Report progress, and extend the lease of a task.",
    ),
    ("ask", "commands.work:ask", "Ask for input to the work."),
    (
        "answer",
        "commands.work:answer",
        "Answer the question about a task.",
    ),
    ("complete", "commands.work:complete", "Complete a task; SUMMARY is its result."),
    ("fail", "commands.work:fail", "Fail a task; MESSAGE says what went wrong."),
    ("release", "commands.work:release", "Release a task, to its pool if it has one."),
    (
        "history",
        "commands.history:history",
        "Show what was done to tasks.",
    ),
    (
        "watch",
        "commands.history:watch",
        "Print what happens to tasks, as it happens.",
    ),
    (
        "save",
        "commands.saving:of_task",
        "Save the attachments of a task.",
    ),
    ("attempts", "commands.attempts:attempts", "Show the attempts at a task."),
    (
        "graph",
        "commands.graph:graph",
        "Draw what waits for what, and how far the work is.",
    ),
).values():
    task.add_command(each)
