"""The dependencies between tasks: read, drawn, and drawn again as work goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from dovetail.cli.options.calling import Session
from dovetail.cli.output.brief import begin
from dovetail.cli.output.json_values import words
from dovetail.cli.output.readers import ending_with_reader
from dovetail.cli.output.render import STATE_BARS, STATE_STYLES, is_ready, state
from dovetail.cli.output.screen import ForegroundLive, console
from dovetail.cli.output.signs import signs
from dovetail.cli.output.terminal import is_ascii, is_in_foreground
from dovetail.cli.output.text import escape_controls
from dovetail.client import DovetailError
from dovetail.tasks.v1 import tasks_pb2 as work

TREE_TASKS_MAX = 40
"""More tasks are drawn layer by layer: a tree of them would not fit on a screen."""

BAR_COLUMNS = 40
LAYER_COLUMNS = 20
PAUSE_SECONDS = 0.5
PAGE = 1_000
ONE_LINE: Any = {"no_wrap": True, "overflow": "crop" if is_ascii() else "ellipsis"}
"""A line that is too long for the terminal is cut."""

MARKS = {
    work.TASK_STATE_PENDING: "·",
    work.TASK_STATE_IN_PROGRESS: "▶",
    work.TASK_STATE_INPUT_REQUIRED: "?",
    work.TASK_STATE_COMPLETED: "✔",
    work.TASK_STATE_FAILED: "✘",
    work.TASK_STATE_CANCELLED: "-",
}
READY = "○"
ENDED = (work.TASK_STATE_COMPLETED, work.TASK_STATE_FAILED, work.TASK_STATE_CANCELLED)
NAMED_STATES = (work.TASK_STATE_FAILED, work.TASK_STATE_INPUT_REQUIRED, work.TASK_STATE_IN_PROGRESS)
"""The states of the tasks that a layer names, in this order."""

DOT_COLOURS = {
    work.TASK_STATE_PENDING: "lightyellow",
    work.TASK_STATE_IN_PROGRESS: "lightblue",
    work.TASK_STATE_INPUT_REQUIRED: "plum",
    work.TASK_STATE_COMPLETED: "palegreen",
    work.TASK_STATE_FAILED: "lightsalmon",
    work.TASK_STATE_CANCELLED: "lightgrey",
}


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Tasks by id, and in layers: each task depends only on tasks of earlier layers."""

    tasks: Mapping[str, work.Task]
    layers: Sequence[Sequence[work.Task]]

    @property
    def states(self) -> Counter[work.TaskState.ValueType]:
        """The number of tasks in each state."""
        return Counter(task.state for task in self.tasks.values())

    @property
    def has_ended(self) -> bool:
        """Whether all tasks have ended."""
        return all(task.state in ENDED for task in self.tasks.values())

    def waits_for(self, task: work.Task) -> list[work.Task]:
        """The tasks of the graph that it depends on."""
        return [self.tasks[each] for each in task.depends_on if each in self.tasks]


async def show(session: Session, reader: Reader, *, watch: bool, dot: bool) -> None:
    """Show the graph, and with `watch` its changes until all tasks have ended."""
    found = await reader.read()
    if dot:
        print("\n".join(dot_lines(found)))
    elif not session.out.for_people:
        await _print_json(session, reader, found, watch)
    elif not watch:
        session.out.show(draw(found))
    elif is_in_foreground():
        await _redraw(reader, found)
    else:
        session.out.show(draw(found))
        with ending_with_reader():
            await _print_changes(session, reader, found)


def in_layers(tasks: Iterable[work.Task]) -> Graph:
    """Arrange tasks in layers. Raises CycleError."""
    by_id = {task.task_id: task for task in tasks}
    waits = {
        task_id: [each for each in task.depends_on if each in by_id]
        for task_id, task in by_id.items()
    }
    depths: dict[str, int] = {}
    for task_id in TopologicalSorter(waits).static_order():
        depths[task_id] = max((depths[each] + 1 for each in waits[task_id]), default=0)
    layers: list[list[work.Task]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for task_id, task in by_id.items():
        layers[depths[task_id]].append(task)
    return Graph(tasks=by_id, layers=layers)


def related(tasks: Sequence[work.Task], task_ids: Iterable[str]) -> list[work.Task]:
    """The named tasks, with all their dependencies and dependents."""
    before = {task.task_id: list(task.depends_on) for task in tasks}
    after: dict[str, list[str]] = {}
    for task in tasks:
        for each in task.depends_on:
            after.setdefault(each, []).append(task.task_id)
    chosen = _reachable(task_ids, before) | _reachable(task_ids, after)
    return [task for task in tasks if task.task_id in chosen]


def _reachable(task_ids: Iterable[str], steps: Mapping[str, Sequence[str]]) -> set[str]:
    reached, left = set[str](), list(task_ids)
    while left:
        task_id = left.pop()
        if task_id not in reached:
            reached.add(task_id)
            left += steps.get(task_id, ())
    return reached


def draw(graph: Graph, mode: str = "") -> RenderableType:
    """The whole drawing: a summary, then a tree, or layers if there are many tasks."""
    if not graph.tasks:
        return Text("no tasks")
    few = len(graph.tasks) <= TREE_TASKS_MAX
    return Group(_summary(graph), Text(mode), _tree(graph) if few else _layers(graph))


def _summary(graph: Graph) -> Text:
    """A bar of all tasks, with a part for each state, and the counts."""
    counts, total = graph.states, len(graph.tasks)
    line = Text.assemble(_bar(counts, BAR_COLUMNS), f"  {total} task{'s' * (total != 1)}")
    for value in MARKS:
        if counts[value]:
            line.append(f"   {counts[value]} ").append_text(state(value).__rich__())
    return line


def _bar(counts: Mapping[work.TaskState.ValueType, int], columns: int) -> Text:
    """A bar of ended tasks first and pending ones last, empty. Rounding keeps its length."""
    total, end, bar = sum(counts.values()), 0, Text()
    for value in (*ENDED, work.TASK_STATE_INPUT_REQUIRED, work.TASK_STATE_IN_PROGRESS):
        begin, end = end, end + counts.get(value, 0)
        length = columns * end // total - columns * begin // total
        bar.append(STATE_BARS[value] * length, STATE_STYLES[value])
    bar.append(STATE_BARS[work.TASK_STATE_PENDING] * (columns - len(bar)), "dim")
    bar.plain = signs(bar.plain)  # Signs of bars are as wide in ASCII.
    return bar


def _tree(graph: Graph) -> Tree:
    """Each task once, below its dependency in the latest layer; other dependencies are named."""
    root = Tree("", hide_root=True, guide_style="dim")
    branches: dict[str, Tree] = {}
    for layer in graph.layers:
        for task in layer:
            others = graph.waits_for(task)
            last = max(others, key=lambda each: _depth(graph, each), default=None)
            branch = branches[last.task_id] if last else root
            more = [each.task_id for each in others if each is not last]
            branches[task.task_id] = branch.add(_leaf(task, more))
    return root


def _depth(graph: Graph, task: work.Task) -> int:
    return next(depth for depth, layer in enumerate(graph.layers) if task in layer)


def _leaf(task: work.Task, also: Sequence[str]) -> Text:
    """A task as a line of the tree."""
    line = _cell(task).append(f"  {escape_controls(task.title)}")
    notes = [f"waits for {', '.join(also)} too"] if also else []
    notes += [f"part of {task.parent_task_id}"] if task.parent_task_id else []
    notes += [f"{link.kind} {link.task_id}" for link in task.links]
    return line.append(f"  ({escape_controls('; '.join(notes))})", "dim") if notes else line


def _cell(task: work.Task) -> Text:
    """A task in short: its mark, id, progress and assignee."""
    mark = READY if is_ready(task) else MARKS.get(task.state, "")
    line = Text(**ONE_LINE).append(f"{signs(mark)} ", STATE_STYLES.get(task.state, ""))
    line.append(escape_controls(task.task_id), "bold")
    if task.state in (work.TASK_STATE_IN_PROGRESS, work.TASK_STATE_INPUT_REQUIRED):
        if task.HasField("progress"):
            line.append(f" {task.progress.percent} %", STATE_STYLES.get(task.state, ""))
        line.append(f" {escape_controls(task.assignee_id)}", "cyan")
    return line


def _layers(graph: Graph) -> Table:
    """A line for each layer; the completed layers at the start share one."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    done = _completed_layers(graph)
    if done:
        count = sum(map(len, graph.layers[:done]))
        name = f"layers 1 to {done}" if done > 1 else "layer 1"
        table.add_row(name, _layer_bar({ENDED[0]: count}), f"{count} of {count}", Text())
    for number, layer in enumerate(graph.layers[done:], start=done + 1):
        counts = Counter(task.state for task in layer)
        sums = f"{counts[work.TASK_STATE_COMPLETED]} of {len(layer)}"
        table.add_row(f"layer {number}", _layer_bar(counts), sums, _named_tasks(layer))
    return table


def _layer_bar(counts: Mapping[work.TaskState.ValueType, int]) -> Text:
    return _bar(counts, LAYER_COLUMNS)


def _completed_layers(graph: Graph) -> int:
    """How many layers at the start are completed."""
    for number, layer in enumerate(graph.layers):
        if any(task.state != work.TASK_STATE_COMPLETED for task in layer):
            return number
    return len(graph.layers)


def _named_tasks(layer: Sequence[work.Task]) -> Text:
    """The tasks that a layer names: those that failed, ask for input or are in progress."""
    chosen = [task for value in NAMED_STATES for task in layer if task.state == value]
    return Text("   ", **ONE_LINE).join(map(_cell, chosen))


def dot_lines(graph: Graph) -> Iterable[str]:
    """The graph in the language of Graphviz; arrows lead to dependents."""
    yield "digraph tasks {"
    yield "  rankdir=LR; node [shape=box, style=filled];"
    for task in graph.tasks.values():
        label = _quoted(f"{task.task_id}\n{task.title}")
        yield f"  {_quoted(task.task_id)} [label={label}, fillcolor={DOT_COLOURS[task.state]}];"
    for task in graph.tasks.values():
        for each in graph.waits_for(task):
            yield f"  {_quoted(each.task_id)} -> {_quoted(task.task_id)};"
        if task.parent_task_id in graph.tasks:
            parent = _quoted(task.parent_task_id)
            yield f"  {_quoted(task.task_id)} -> {parent} [style=dotted, arrowhead=none];"
        for link in task.links:
            if link.task_id in graph.tasks:
                style = f"style=dashed, constraint=false, label={_quoted(link.kind)}"
                yield f"  {_quoted(task.task_id)} -> {_quoted(link.task_id)} [{style}];"
    yield "}"


def _quoted(text: str) -> str:
    """A string of Graphviz, with backslashes, quotes and line breaks escaped."""
    escaped = escape_controls(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Reader:
    """Reads the graph of a command repeatedly."""

    def __init__(
        self, session: Session, task_ids: tuple[str, ...], labels: Mapping[str, str]
    ) -> None:
        """Read these tasks with all that is related to them, or all that have these labels."""
        self._tasks = session.agent.tasks
        self._task_ids = task_ids
        self._filter = work.TaskFilter(labels=labels)

    async def read(self) -> Graph:
        """Read the graph. A cycle can only come from pages read at different times: read again."""
        while True:
            found = self._tasks.list(filter=self._filter, page_size=PAGE)
            tasks = [task.proto async for task in found]
            missing = set(self._task_ids) - {task.task_id for task in tasks}
            tasks += [(await self._tasks.get(task_id)).proto for task_id in sorted(missing)]
            try:
                return in_layers(related(tasks, self._task_ids) if self._task_ids else tasks)
            except CycleError:
                continue

    async def next(self, last: Graph) -> tuple[Graph, list[work.Task]]:
        """Read the graph after a pause; also returns the tasks that changed since `last`."""
        await asyncio.sleep(PAUSE_SECONDS)
        found = await self.read()
        changed = [task for key, task in found.tasks.items() if task != last.tasks.get(key)]
        return found, changed


async def _redraw(reader: Reader, found: Graph) -> None:
    """Redraw the graph in place on a terminal until all tasks have ended."""
    with ForegroundLive(draw(found), console=console(), auto_refresh=False) as live:
        while not found.has_ended:
            try:
                found, changed = await reader.next(found)
            except DovetailError as error:
                live.update(draw(found, f"{error}: this is the last state"), refresh=True)
                raise
            if changed:
                live.update(draw(found), refresh=True)


async def _print_changes(session: Session, reader: Reader, found: Graph) -> None:
    """Print a line for each task that changes, without a terminal to draw on."""
    while not found.has_ended:
        found, changed = await reader.next(found)
        for task in changed:
            session.out.show(_cell(task).append("  ").append_text(state(task.state).__rich__()))


async def _print_json(session: Session, reader: Reader, found: Graph, watch: bool) -> None:
    """Print all tasks for programs; with `watch` one by one, and again each that changes."""
    tasks = list(found.tasks.values())
    if not watch:
        session.out.facts_list(_all_facts(found, tasks), str, _brief)
        return
    with ending_with_reader():
        while True:
            for facts in _all_facts(found, tasks):
                session.out.facts(facts, str, _brief)
            if found.has_ended:
                return
            found, tasks = await reader.next(found)


def _all_facts(graph: Graph, tasks: Iterable[work.Task]) -> list[dict[str, Any]]:
    layers = {
        task.task_id: number for number, layer in enumerate(graph.layers, 1) for task in layer
    }
    return [_facts(task, layers[task.task_id]) for task in tasks]


def _brief(facts: Mapping[str, Any]) -> str:
    return f"{facts['task_id']} {facts['state']}: {begin(facts['title'])}"


def _facts(task: work.Task, layer: int) -> dict[str, Any]:
    """A task of the graph for programs; `dovetail task show --json` has all its fields."""
    return {
        "task_id": task.task_id,
        "title": task.title,
        "layer": layer,
        "state": words(work.TaskState.DESCRIPTOR)[task.state],
        "is_ready": is_ready(task),
        "assignee_id": task.assignee_id,
        "percent": task.progress.percent,
        "depends_on": list(task.depends_on),
        "parent_task_id": task.parent_task_id,
        "links": [{"kind": link.kind, "task_id": link.task_id} for link in task.links],
    }
