"""Mutual waits: circles of agents that wait for each other, told when a question closes one.

An agent can go on if it has a task that is IN_PROGRESS, or PENDING and not waiting for others. One
that cannot waits for those to whom its open questions are put, and for those to whom open tasks are
assigned that its own PENDING tasks depend on. The asker of a question could go on before it, by the
very task with which it asks. So every circle that a question closes leads through its asker, and
none was there before: each is told once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dovetail.server.store.tables import agents, messages, waits
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.tables.waits import OpenTask
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks.recording import TaskChange
from dovetail.server.tasks.wait_notices import Question, Wait, mutual_wait

AGENTS_MAX = 100
TASKS_MAX = 1_000
"""Agents, and tasks with dependencies, at which one question looks. Chosen: some milliseconds."""

Waits = dict[str, dict[str, Wait]]
"""For whom each agent waits that cannot go on, and with which of its tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Circle:
    """The shortest circle through an agent, and who else is in circles with it."""

    waits: Sequence[Wait]
    other_ids: Sequence[str]


def tell_circle(transaction: Transaction, change: TaskChange) -> None:
    """Tell all agents in circles that a question closed, in its commit."""
    task = change.task
    circle = find_circle(transaction, task.assignee_id, task.asked_id) if task.assignee_id else None
    if circle is None:
        return
    members = [*(wait.agent_id for wait in circle.waits), *circle.other_ids]
    last_sequences = agents.last_sequences(transaction, members)
    number = change.notices[0].message_number if change.notices else None
    question = Question(task=task, message_number=number)
    notice = mutual_wait(question, circle.waits, circle.other_ids, tuple(last_sequences))
    messages.append(transaction, notice, last_sequences)


def find_circle(snapshot: Snapshot, asker_id: str, asked_id: str) -> Circle | None:
    """The circles that lead from an agent back to it, of which one leads through `asked_id`."""
    found = _Search(snapshot).waits_from(asker_id, asked_id)
    way = _shortest(found, asker_id)
    if not way:
        return None
    reached, back = _reached(found, asker_id), _reached(_turned(found), asker_id)
    named = {wait.agent_id for wait in way}
    return Circle(waits=way, other_ids=sorted(reached.intersection(back).difference(named)))


class _Search:
    """Finds out for whom agents wait, a step further at a time, within bounds."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._tasks_left = TASKS_MAX

    def waits_from(self, asker_id: str, asked_id: str) -> Waits:
        """The waits of these agents, and of all to whom they lead."""
        found: Waits = {}
        seen: set[str] = set()
        frontier = [asker_id, asked_id]
        while frontier:
            seen.update(frontier)
            new = self._waits_of(frontier)
            found |= new
            if asker_id not in found:  # It can go on, so it is in no circle.
                return {}
            following = (each for waits in new.values() for each in waits)
            frontier = [each for each in dict.fromkeys(following) if each not in seen]
            del frontier[max(0, AGENTS_MAX - len(seen)) :]
        return found

    def _waits_of(self, agent_ids: Sequence[str]) -> Waits:
        """The waits of those of these agents that cannot go on."""
        rows = waits.open_tasks(self._snapshot, agent_ids, self._tasks_left + 1)
        self._tasks_left -= len(rows)
        if self._tasks_left < 0:
            return {}
        tasks: dict[str, list[OpenTask]] = defaultdict(list)
        for row in rows:
            tasks[row.assignee_id].append(row)
        stuck = {agent_id: each for agent_id, each in tasks.items() if not any(map(_goes_on, each))}
        found: Waits = {agent_id: _questions(each) for agent_id, each in stuck.items()}
        pending = [
            task for each in stuck.values() for task in each if task.state == TaskState.PENDING
        ]
        reached = self._assignees_behind([task.task_id for task in pending])
        for task in pending:
            for agent_id in reached.get(task.task_id, ()):
                if agent_id != task.assignee_id:
                    wait = Wait(task.assignee_id, agent_id, task.task_id)
                    found[task.assignee_id].setdefault(agent_id, wait)
        return found

    def _assignees_behind(self, task_ids: Sequence[str]) -> dict[str, set[str]]:
        """To whom the open tasks are assigned that each of these depends on, near or far."""
        if not task_ids:
            return {}
        rows = waits.open_dependencies(self._snapshot, task_ids, self._tasks_left + 1)
        self._tasks_left -= len(rows)
        if self._tasks_left < 0:
            return {}
        further: dict[str, list[str]] = defaultdict(list)
        assignees: dict[str, str] = {}
        for row in rows:
            further[row.task_id].append(row.depends_on_id)
            assignees[row.depends_on_id] = row.assignee_id
        behind = {task_id: _reached(further, task_id) for task_id in task_ids}
        return {
            task_id: {assignees[each] for each in ids if assignees[each]}
            for task_id, ids in behind.items()
        }


def _goes_on(task: OpenTask) -> bool:
    """Whether its agent can work on it."""
    is_free = task.state == TaskState.PENDING and not task.waiting_for_count
    return is_free or task.state == TaskState.IN_PROGRESS


def _questions(tasks: Iterable[OpenTask]) -> dict[str, Wait]:
    asked = [task for task in tasks if task.state == TaskState.INPUT_REQUIRED and task.asked_id]
    return {
        task.asked_id: Wait(task.assignee_id, task.asked_id, task.task_id, is_question=True)
        for task in asked
        if task.asked_id != task.assignee_id
    }


def _shortest(found: Waits, begin: str) -> list[Wait]:
    """The shortest way from an agent back to it; empty: there is none."""
    came_by: dict[str, Wait] = {}
    frontier = [begin]
    while frontier and begin not in came_by:
        following: list[str] = []
        for agent_id in frontier:
            for other_id, wait in found.get(agent_id, {}).items():
                if other_id not in came_by:
                    came_by[other_id] = wait
                    following.append(other_id)
        frontier = following
    if begin not in came_by:
        return []
    way = [came_by[begin]]
    while way[-1].agent_id != begin:
        way.append(came_by[way[-1].agent_id])
    return way[::-1]


def _reached(further: Mapping[str, Iterable[str]], begin: str) -> set[str]:
    """All that is reached from one in one step or more."""
    reached: set[str] = set()
    frontier = [begin]
    while frontier:
        following = {each for name in frontier for each in further.get(name, ())}
        frontier = [*following.difference(reached)]
        reached.update(frontier)
    return reached


def _turned(found: Waits) -> dict[str, list[str]]:
    """Who waits for each agent."""
    turned: dict[str, list[str]] = defaultdict(list)
    for agent_id, others in found.items():
        for other_id in others:
            turned[other_id].append(agent_id)
    return turned
