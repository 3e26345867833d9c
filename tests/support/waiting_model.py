"""Who waits for whom, as a plain graph: a model of its own, beside the server's search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

PENDING, IN_PROGRESS, COMPLETED = "PENDING", "IN_PROGRESS", "COMPLETED"
INPUT_REQUIRED = "INPUT_REQUIRED"
OPEN = (PENDING, IN_PROGRESS, INPUT_REQUIRED)


@dataclass
class ModelTask:
    """A task, as far as it has others wait."""

    state: str = PENDING
    assignee: str = ""
    asked: str = ""
    depends_on: tuple[str, ...] = ()


@dataclass
class WaitingModel:
    """All tasks of a team."""

    tasks: dict[str, ModelTask] = field(default_factory=dict)

    def can_go_on(self, agent: str) -> bool:
        """Whether an agent has something to work on."""
        return any(
            task.state == IN_PROGRESS or (task.state == PENDING and not self._open_deps(task))
            for task in self.tasks.values()
            if task.assignee == agent
        )

    def waits(self, agent: str) -> set[tuple[str, str]]:
        """The agents for whom an agent waits, each with the task with which it waits for it."""
        if self.can_go_on(agent):
            return set()
        found: set[tuple[str, str]] = set()
        for task_id, task in self.tasks.items():
            if task.assignee != agent:
                continue
            if task.state == INPUT_REQUIRED:
                found.add((task.asked, task_id))
            if task.state == PENDING:
                behind = self._behind(task_id)
                found |= {(self.tasks[each].assignee, task_id) for each in behind}
        return {(other, task_id) for other, task_id in found if other not in ("", agent)}

    def circle_members(self, agent: str) -> set[str]:
        """All agents on ways from an agent back to it; none: there is no such way."""
        everybody = {task.assignee for task in self.tasks.values()} - {""}
        others = {each: {other for other, _ in self.waits(each)} for each in everybody}
        reach = {each: _closure(others, each) for each in everybody}
        members = {each for each in reach.get(agent, ()) if agent in reach.get(each, ())}
        return members | ({agent} if members else set())

    def _open_deps(self, task: ModelTask) -> list[str]:
        return [each for each in task.depends_on if self.tasks[each].state != COMPLETED]

    def _behind(self, task_id: str) -> set[str]:
        """Open tasks that a PENDING task waits for, near or far."""
        found: set[str] = set()
        for each in self.tasks[task_id].depends_on:
            if self.tasks[each].state in OPEN:
                found.add(each)
                if self.tasks[each].state == PENDING:
                    found |= self._behind(each)
        return found


def _closure(others: dict[str, set[str]], begin: str) -> set[str]:
    found: set[str] = set()
    ahead: list[Iterable[str]] = [others.get(begin, ())]
    while ahead:
        for each in set(ahead.pop()) - found:
            found.add(each)
            ahead.append(others.get(each, ()))
    return found
