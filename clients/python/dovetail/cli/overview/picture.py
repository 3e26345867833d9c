"""The screens of `status` and `top`: what may need an action stands first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dovetail.cli.output.cells import one_line
from dovetail.cli.output.render import STATE_BARS, STATE_STYLES, presence, state
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Column, Listing, Table
from dovetail.cli.output.text import age, ago, local
from dovetail.cli.overview.snapshot import AGENTS_MAX, TASKS_MAX, Work
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work

NAMED_MAX = 5
"""How many agents, leases or questions a line names."""

BAR_STATES = (
    work.TASK_STATE_COMPLETED,
    work.TASK_STATE_FAILED,
    work.TASK_STATE_CANCELLED,
    work.TASK_STATE_INPUT_REQUIRED,
    work.TASK_STATE_IN_PROGRESS,
    work.TASK_STATE_PENDING,
)


def facts_table(rows: Sequence[tuple[str, Text]]) -> Table:
    """Names and what there is, folded to the width of the terminal."""
    table = Table(Column(name=""), Column(name="", folds=True, cells_min=20))
    for name, fact in rows:
        table.add_row(Text(name, style="bold"), fact)
    return table


def agents_fact(agents: Sequence[talk.Agent]) -> Text:
    """How many agents there are, and how many messages they have not acknowledged."""
    unread = sum(agent.unacknowledged_count for agent in agents)
    some = f"{AGENTS_MAX:,} or more" if len(agents) >= AGENTS_MAX else f"{len(agents):,}"
    return Text(f"{some}, {unread:,} unread message{'s' * (unread != 1)}{_most_unread(agents)}")


def work_facts(found: Work) -> Iterator[tuple[str, Text]]:
    """Tasks by state, the oldest that is ready, what is held, and what waits for an answer."""
    yield "tasks", tasks_fact(found.report)
    yield "ready", ready_fact(found)
    yield "leases", Text(_leases(found))
    if found.questions:
        count = _at_least(found, len(found.questions))
        names = _named(task.task_id for task in found.questions)
        yield "questions", Text(f"{count} open: {names}. See: dovetail questions --all")


def tasks_fact(report: work.Report) -> Text:
    """How many tasks there are, and in which states, without those that no task is in."""
    line = Text(f"{report.total_tasks:,}")
    present = [each for each in report.states if each.count]
    for number, each in enumerate(present):
        line.append(", " if number else ": ").append(f"{each.count:,} ").append_text(
            state(each.state)
        )
    return line


def states_bar(report: work.Report, cells: int) -> Text:
    """A bar of all tasks, with a sign and a colour for each state."""
    counts = {each.state: each.count for each in report.states}
    bar, end, total = Text(), 0, max(report.total_tasks, 1)
    for value in BAR_STATES:
        begin, end = end, end + counts.get(value, 0)
        length = cells * end // total - cells * begin // total
        bar.append(signs(STATE_BARS[value]) * length, STATE_STYLES[value])
    return bar


def ready_fact(found: Work) -> Text:
    """The oldest task that can be started."""
    task = found.oldest_ready
    if task is None:
        some = f" among the {TASKS_MAX} oldest" if len(found.pending) >= TASKS_MAX else ""
        return Text(f"no task is ready{some}")
    since = f"{local(task.create_time)} ({ago(task.create_time)})"
    whose = f"for {one_line(task.assignee_id)}" if task.assignee_id else "in the pool"
    return Text.assemble(
        "the oldest is ", (one_line(task.task_id), "bold"), f" {whose}, created {since}"
    )


def throughput(found: Work) -> Text:
    """How many tasks were completed in the last hour."""
    count = found.completed_in_hour or 0
    return Text(f"{count:,} completed in the last hour, {count / 60:.1f} a minute")


def _leases(found: Work) -> str:
    held = found.leases
    if not held:
        return "none held"
    return f"{_at_least(found, len(held))} held: {_named(task.task_id for task in held)}"


def _at_least(found: Work, count: int) -> str:
    return f"{count} or more" if len(found.under_way) >= TASKS_MAX else str(count)


def _named(names: Iterator[str]) -> str:
    known = [one_line(name) for name in names]
    left = len(known) - NAMED_MAX
    return ", ".join(known[:NAMED_MAX]) + (f" and {left} more" if left > 0 else "")


def _most_unread(agents: Sequence[talk.Agent]) -> str:
    having = sorted(agents, key=lambda agent: -agent.unacknowledged_count)
    named = [agent for agent in having[:NAMED_MAX] if agent.unacknowledged_count]
    parts = (f"{one_line(agent.agent_id)} {agent.unacknowledged_count:,}" for agent in named)
    return f": {', '.join(parts)}" if named else ""


def _under_way(task: work.Task) -> tuple[str | Text, ...]:
    lease = ago(task.lease.expire_time) if task.lease.HasField("expire_time") else ""
    return (
        Text(one_line(task.task_id), style="bold"),
        state(task.state),
        Text(one_line(task.assignee_id) or "-", style="cyan"),
        f"{task.progress.percent} %" if task.HasField("progress") else "",
        age(task.start_time) if task.HasField("start_time") else "",
        one_line(task.title),
        f"ends {lease}" if lease else "",
    )


UNDER_WAY: Listing[work.Task] = Listing(
    columns=(
        Column(name="task", cells_min=12),
        Column(name="state"),
        Column(name="holder", cells_min=10, weight=2),
        Column(name="done", is_number=True),
        Column(name="since", is_number=True),
        Column(name="title", cells_min=10),
        Column(name="lease", terminal_min=80),
    ),
    row=_under_way,
    empty="no task is under way",
)


def _busy(agent: talk.Agent) -> tuple[str | Text, ...]:
    return (
        Text(one_line(agent.agent_id), style="cyan"),
        f"{agent.unacknowledged_count:,}",
        ago(agent.last_seen_time) if agent.HasField("last_seen_time") else "never",
        presence(agent),
        one_line(agent.display_name),
    )


AGENTS: Listing[talk.Agent] = Listing(
    columns=(
        Column(name="agent", cells_min=20),
        Column(name="unread", is_number=True),
        Column(name="seen", is_number=True),
        Column(name="present", cells_min=8, terminal_min=80),
        Column(name="name", cells_min=10, terminal_min=80),
    ),
    row=_busy,
    empty="no agents",
)
