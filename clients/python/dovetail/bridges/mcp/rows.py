"""Agents, tasks and reports as rows of a list, which stands in a fence."""

from __future__ import annotations

from dovetail.bridges.fences import one_line, origin_of, word
from dovetail.bridges.mcp.unread import passed
from dovetail.bridges.senders import labels_of
from dovetail.bridges.texts import shown_id, task_facts
from dovetail.client.message_records import AgentRecord
from dovetail.client.task_records import Report, Task

ASSIGNEES_SHOWN = 20


def task_row(task: Task) -> str:
    """A task as a row."""
    return f"{task_facts(task)}: {one_line(task.title)}"


def agent_row(agent: AgentRecord) -> str:
    """An agent as a row."""
    origin = origin_of(agent.agent_id, None, labels_of(agent))
    facts = [word(agent.agent_id), f"unread {agent.unacknowledged_count}"]
    facts.append(f"seen {passed(agent.last_seen_time)} ago")
    if origin.role:
        facts.append(f"role {one_line(origin.role, 40)}")
    if origin.is_person:
        facts.append("person")
    name = one_line(agent.display_name, 60)
    return ", ".join(facts) + (f": {name}" if name else "")


def totals_text(report: Report) -> str:
    """How many tasks are in which state, and how long they take: nothing that others wrote."""
    states = [f"{each.count} {each.state}" for each in report.states if each.count]
    lines = [", ".join((f"{report.total_tasks:,} tasks", *states))]
    times = {"queue": report.queue_time, "work": report.task_time}
    known = {name: time.median for name, time in times.items() if time and time.median is not None}
    if known:
        medians = (f"{name} {median.total_seconds():.0f} s" for name, median in known.items())
        lines.append(f"median {', '.join(medians)}")
    return "\n".join(lines)


def workload_rows(report: Report) -> list[str]:
    """What each agent has to do, and has done."""
    rows = [
        f"{shown_id(each.assignee_id)}: {each.open_tasks} open, {each.in_progress_tasks} in"
        f" progress, {each.completed_tasks} done, {each.failed_tasks} failed,"
        f" unread {each.unacknowledged_messages}"
        for each in report.assignees[:ASSIGNEES_SHOWN]
    ]
    left = report.total_assignees - len(rows)
    return [*rows, f"and {left} more"] if left else rows
