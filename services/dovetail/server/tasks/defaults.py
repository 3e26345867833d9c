"""Default answers: what becomes of a question that has no answer at its deadline.

It is answered as by a caller, in one commit with event and notice. The team's writes are serial,
and the unit reads the task again: of several servers that see the deadline pass one gives the
answer, and none does where an answer, a release or an end of the task was committed before.
"""

from __future__ import annotations

from dovetail.server.access.caller import Caller
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Transaction
from dovetail.server.tasks import transitions
from dovetail.server.tasks.notices import utc
from dovetail.server.tasks.questions import Answer
from dovetail.server.tasks.recording import Action, record_change
from dovetail.server.tasks.requests import ChangeOptions
from dovetail.server.tasks.states import next_state


def give_default(transaction: Transaction, task_id: str) -> bool:
    """Answer the open question of a task whose deadline has passed. Returns whether this did."""
    task = tasks.find(transaction, task_id)
    if task is None or task.state is not TaskState.INPUT_REQUIRED:
        return False
    deadline_time = task.question_deadline_time
    if deadline_time is None or deadline_time > transaction.team.wall_clock:
        return False
    state = next_state(TaskVerb.PROVIDE_INPUT, task)
    after = transitions.resume(task, state, _default(task), transaction.team.stamp)
    reason = f"the default: there was no answer by {utc(deadline_time)}"
    caller = Caller(team_id=transaction.team_id, agent_id="")
    options = ChangeOptions(reason=reason)
    action = Action(caller=caller, verb=TaskVerb.PROVIDE_INPUT, options=options)
    record_change(transaction, action, task, after)
    return True


def _default(task: Task) -> Answer:
    if task.question_options_json:
        return Answer(option=task.default_answer, is_default=True)
    return Answer(text=task.default_answer, is_default=True)
