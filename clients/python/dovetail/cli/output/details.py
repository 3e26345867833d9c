"""Everything of one task that a person needs to know, on one screen where that is possible."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.cli.output.cells import one_line
from dovetail.cli.output.json_values import structured
from dovetail.cli.output.render import (
    STATE_STYLES,
    answer_text,
    attached,
    default_of,
    labels_of,
    state,
    used,
)
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.tables import Column, Group, Shown, Table
from dovetail.cli.output.terminal import is_for_people
from dovetail.cli.output.text import ago, escape_controls, length, local
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2 as types

LINES_MAX = 12
CHARACTERS_MAX = 1_200
"""How much of each text a terminal shows; a pipe gets all."""

INLINE_CHARACTERS = 60
"""Data that is longer as JSON is shown in lines of its own."""

LABEL_CELLS = 13
LINKING_MAX = 10

MARKS = {
    work.TASK_STATE_COMPLETED: "✔",
    work.TASK_STATE_FAILED: "✘",
    work.TASK_STATE_CANCELLED: "✘",
}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The tasks around a task, as far as they were read."""

    dependencies: Sequence[work.Task | str] = field(default_factory=tuple)
    """Those that it waits for; of one that is deleted its id."""
    more_count: int = 0
    """How many more it waits for, which were not read."""
    parent: work.Task | None = None
    linked: Mapping[str, work.Task | str] = field(default_factory=dict[str, "work.Task | str"])
    """The first of those to which it links, by id; of one that is deleted its id."""
    linking: Sequence[work.Task] = field(default_factory=tuple)
    """The first of those that link to it."""


def details(item: work.Task, around: Surroundings) -> Shown:
    """A task with all that is set, and the tasks that it waits for."""
    head = Text.assemble(
        (one_line(item.task_id), "bold"), "  ", state(item.state), "  ", one_line(item.title)
    )
    table = Table(Column(name=""), Column(name="", folds=True, cells_min=20))
    for name, value in _facts(item, around):
        table.add_row(Text(f"    {name:<{LABEL_CELLS - 2}}", style="dim"), value)
    return Group(head, table)


def _facts(item: work.Task, around: Surroundings) -> Iterator[tuple[str, Text]]:
    """The names and values of what is set, what asks for an action first."""
    yield from _asked(item)
    yield from _waits(item, around)
    facts = {
        "assignee": one_line(item.assignee_id),
        "lease": _lease(item),
        "progress": _progress(item),
        "description": _capped(item, item.description),
        "input": _data(item, item.input if item.HasField("input") else None),
        "attached": "\n".join(map(attached, item.input_attachments)),
        **_ending(item),
        "attempts": _attempts(item),
        **_usage(item),
        "priority": str(item.priority or ""),
        "labels": labels_of(item.labels),
        "part of": _parent(item, around),
        "thread": one_line(item.thread_id) if item.thread_id != item.task_id else "",
    }
    yield from ((name, Text(fact)) for name, fact in facts.items() if fact)
    yield from _links(item, around)
    facts = {**_times(item), "etag": item.etag}
    yield from ((name, Text(fact)) for name, fact in facts.items() if fact)


def _asked(item: work.Task) -> Iterator[tuple[str, Text]]:
    """The last question, and its answer or how to give it."""
    if not item.HasField("question"):
        return
    asked = item.question
    to = f"to {one_line(asked.agent_id)}, {ago(asked.ask_time)}: "
    yield "question", Text(to + _capped(item, asked.text))
    if asked.HasField("data"):
        yield "its data", Text(_data(item, asked.data))
    if item.state == work.TASK_STATE_INPUT_REQUIRED:
        if asked.options:
            yield "options", lines(*map(_option, asked.options))
        if asked.HasField("deadline_time"):
            yield "default", Text(one_line(default_of(item)))
        how = "--option NAME" if asked.options else "TEXT"
        way = f"dovetail task answer {shlex.quote(escape_controls(item.task_id))} {how}"
        yield "answer it", Text(way, style="bold")
    elif item.HasField("answer"):
        default = "(the default, as nobody answered in time)\n" if item.answer.is_default else ""
        yield "answer", Text(default + _capped(item, answer_text(item.answer)))
        if item.answer.HasField("data"):
            yield "its data", Text(_data(item, item.answer.data))


def _option(item: types.InputOption) -> Text:
    described = f"  {one_line(item.description)}" if item.description else ""
    return Text.assemble((one_line(item.name), "bold"), described)


def _waits(item: work.Task, around: Surroundings) -> Iterator[tuple[str, Text]]:
    """What it waits for, a line each."""
    if not item.depends_on:
        return
    rows = [_dependency(each) for each in around.dependencies]
    if around.more_count:
        task_id = shlex.quote(escape_controls(item.task_id))
        rows.append(Text(f"and {around.more_count} more: dovetail task graph {task_id}"))
    yield "waits for" if item.waiting_for_count else "waited for", lines(*rows)


def _links(item: work.Task, around: Surroundings) -> Iterator[tuple[str, Text]]:
    """The tasks to which it links, and those that link to it, a line each."""
    rows = [
        Text.assemble(f"{link.kind}  ", _task(around.linked.get(link.task_id, link.task_id)))
        for link in item.links
    ]
    if rows:
        yield "links to", lines(*rows)
    back = [
        Text.assemble(f"{link.kind}  ", _task(each))
        for each in around.linking[:LINKING_MAX]
        for link in each.links
        if link.task_id == item.task_id
    ]
    if len(around.linking) > LINKING_MAX:
        back.append(Text("and more"))
    if back:
        yield "linked from", lines(*back)


def _dependency(known: work.Task | str) -> Text:
    if isinstance(known, str):
        return Text.assemble((one_line(known), "bold"), "  deleted: ", "it waits until updated")
    return _task(known)


def _task(known: work.Task | str) -> Text:
    """Another task in a line; of one that was not read its id."""
    if isinstance(known, str):
        return Text(one_line(known), style="bold")
    sign = signs(MARKS.get(known.state, "○"))
    return Text.assemble(
        (f"{sign} ", STATE_STYLES[known.state]),
        (one_line(known.task_id), "bold"),
        "  ",
        state(known.state),
        f"  {one_line(known.title)}",
    )


def _ending(item: work.Task) -> dict[str, str]:
    """The outcome of the task, and of the attempt before."""
    facts = {"result": _capped(item, item.result.summary)}
    if item.result.HasField("data"):
        facts["result data"] = _data(item, item.result.data)
    facts["its files"] = "\n".join(map(attached, item.result.attachments))
    for name, failure in (("failure", item.failure), ("last failure", item.last_failure)):
        facts[name] = _capped(item, failure.message)
        if failure.HasField("data"):
            facts["failure data" if name == "failure" else "its data"] = _data(item, failure.data)
    return facts | {"cancelled": _capped(item, item.cancel_reason)}


def _lease(item: work.Task) -> str:
    if not item.HasField("lease"):
        return ""
    duration = f"{length(item.lease.duration)}, held by {one_line(item.assignee_id) or 'no agent'}"
    if not item.lease.HasField("expire_time"):
        return f"{duration}, stopped until the answer"
    return f"{duration}, until {_time(item.lease.expire_time)}"


def _progress(item: work.Task) -> str:
    if not item.HasField("progress"):
        return ""
    return f"{item.progress.percent} % {escape_controls(item.progress.note)}".strip()


def _usage(item: work.Task) -> dict[str, str]:
    """What it used, and its budget."""
    most = [f"{item.max_tokens:,} tokens"] if item.max_tokens else []
    if item.HasField("max_cost"):
        most.append(f"{item.max_cost.amount} {item.max_cost.currency}")
    budget = ", ".join(most)
    spent = "spent: it cannot be started" if item.budget_spent else ""
    tree = used(item.tree_usage) if item.tree_usage != item.usage else ""
    return {
        "used": used(item.usage),
        "with parts": tree,
        "budget": "; ".join(filter(None, (budget, spent))),
    }


def _attempts(item: work.Task) -> str:
    if not item.failed_attempts and item.attempt < 2:
        return ""
    return f"{item.attempt}, of which {item.failed_attempts} failed; {item.max_attempts} may"


def _parent(item: work.Task, around: Surroundings) -> str:
    if not item.parent_task_id:
        return ""
    parent_id = one_line(item.parent_task_id)
    if around.parent is None:
        return parent_id
    return f"{parent_id}  {state(around.parent.state).plain}  {one_line(around.parent.title)}"


def _times(item: work.Task) -> dict[str, str]:
    names = {
        "not before": "schedule_time",
        "due": "due_time",
        "created": "create_time",
        "assigned": "assign_time",
        "started": "start_time",
        "ended": "end_time",
        "changed": "update_time",
    }
    facts = {name: time for name, each in names.items() if (time := _time_of(item, each))}
    by = one_line(item.creator_id)
    facts["created"] = f"{facts.get('created', '')}{by and f' by {by}'}"
    if item.update_time in (item.create_time, item.end_time):
        facts.pop("changed", None)
    return facts


def _time_of(item: Message, field: str) -> str:
    return _time(getattr(item, field)) if item.HasField(field) else ""


def _time(time: Timestamp) -> str:
    return f"{local(time)} ({ago(time)})"


def _data(item: work.Task, data: Struct | None) -> str:
    """Structured content as JSON: in a line if it is short."""
    if data is None:
        return ""
    value = structured(data)
    short = json.dumps(value, ensure_ascii=False)
    if len(short) > INLINE_CHARACTERS:
        short = json.dumps(value, ensure_ascii=False, indent=2)
    return _capped(item, short)


def _capped(item: work.Task, text: str) -> str:
    """A text of other agents; on a terminal its beginning, and how to see the rest."""
    shown = escape_controls(text.replace("\t", "    ")).rstrip("\n")
    if not is_for_people():
        return shown
    some = "\n".join(shown.splitlines()[:LINES_MAX])[:CHARACTERS_MAX]
    if len(some) == len(shown):
        return shown
    left = len(shown) - len(some)
    task_id = shlex.quote(escape_controls(item.task_id))
    return f"{some}\n{signs('…')} {left:,} more characters: dovetail task show {task_id} --json"
