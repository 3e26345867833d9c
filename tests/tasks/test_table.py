"""The table of rights: every verb, in every state, leased or not, by everybody.

Over the wire and with credentials. What is refused changes nothing at all; what is allowed leads
where the table says, in one event. The table is typed by hand: a change of the tables in the code
is noticed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.server.store import changed_names
from dovetail.server.store.tables import agents
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.states import SYSTEM_VERBS
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.callers import Caller, seconds
from support.guarded import guarded_pair
from support.refusals import error_info
from support.tables import LEASE_VERBS, STATES, leads
from support.teams import Team

# Ann is the holder, who bears a token, and the assignee, who bears none; joe created the task; eve
# is a stranger; the operator has no agent. Columns are the states PENDING, IN_PROGRESS,
# INPUT_REQUIRED, COMPLETED, FAILED and CANCELLED: first without a lease, where the holder's token
# is made up; then with one, which is over in all states but IN_PROGRESS and INPUT_REQUIRED. In the
# state INPUT_REQUIRED joe was asked; in the others nobody was.
# ok: allowed, and leads where the table of transitions says; 0: no task is claimed; late: refused
# as old, but what was brought is kept as a late result, as it was not ann who ended the attempt.
TABLE = """
    update         creator operator          ok  ok  ok  no  no  no    ok  ok  ok  no  no  no
    update         holder assignee stranger  not not not not not not   not not not not not not
    delete         creator operator          ok  no  no  ok  ok  ok    ok  no  no  ok  ok  ok
    delete         holder assignee stranger  not not not not not not   not not not not not not
    assign         creator operator          ok  no  no  no  no  no    ok  no  no  no  no  no
    assign         holder assignee stranger  not not not not not not   not not not not not not
    assign!        creator operator          ok  ok  ok  no  no  no    ok  ok  ok  no  no  no
    assign!        holder assignee stranger  not not not not not not   not not not not not not
    unassign       creator operator          ok  no  no  no  no  no    ok  no  no  no  no  no
    unassign       holder assignee stranger  not not not not not not   not not not not not not
    unassign!      creator operator          ok  ok  ok  no  no  no    ok  ok  ok  no  no  no
    unassign!      holder assignee stranger  not not not not not not   not not not not not not
    start          holder assignee operator  ok  no  no  no  no  no    ok  no  no  no  no  no
    start          creator stranger          asg no  no  no  no  no    asg no  no  no  no  no
    claim          holder assignee           ok  0   0   0   0   0     ok  0   0   0   0   0
    claim          creator stranger          0   0   0   0   0   0     0   0   0   0   0   0
    claim          operator                  who who who who who who   who who who who who who
    heartbeat      holder                    old old old old old old   old ok  ok  old old old
    heartbeat      assignee operator         no  ok  ok  no  no  no    no  key key no  no  no
    heartbeat      creator stranger          not not not not not not   not key key not not not
    release        holder                    old old old old old old   old ok  ok  old old old
    release        assignee operator         no  ok  ok  no  no  no    no  key key no  no  no
    release        creator stranger          not not not not not not   not key key not not not
    request-input  holder                    old old old old old old   old ok  no  old old old
    request-input  assignee operator         no  ok  no  no  no  no    no  key key no  no  no
    request-input  creator stranger          not not not not not not   not key key not not not
    provide-input  creator                   not not ok  not not not   not not ok  not not not
    provide-input  operator                  no  no  ok  no  no  no    no  no  ok  no  no  no
    provide-input  holder assignee stranger  not not not not not not   not not not not not not
    complete       holder                    old old old old old old   old ok  no  old old late
    complete       assignee creator operator no  ok  no  no  no  no    no  key key no  no  no
    complete       stranger                  not not not not not not   not key key not not not
    fail           holder                    old old old old old old   old ok  ok  old old late
    fail           assignee                  not ok  ok  no  no  no    not key key no  no  no
    fail           creator                   ok  not not no  no  no    ok  key key no  no  no
    fail           operator                  ok  ok  ok  no  no  no    ok  key key no  no  no
    fail           stranger                  not not not not not not   not key key not not not
    fail~          holder                    old old old old old old   old ok  ok  old old late
    fail~          assignee                  not ok  ok  no  no  no    not key key no  no  no
    fail~          creator                   ok  not not no  no  no    ok  key key no  no  no
    fail~          operator                  ok  ok  ok  no  no  no    ok  key key no  no  no
    fail~          stranger                  not not not not not not   not key key not not not
    cancel         creator operator          ok  ok  ok  no  no  no    ok  ok  ok  no  no  no
    cancel         holder assignee stranger  not not not not not not   not not not not not not
    reopen         creator operator          no  no  no  ok  ok  ok    no  no  no  ok  ok  ok
    reopen         holder assignee stranger  not not not not not not   not not not not not not
"""
REFUSALS = {
    "no": ("FAILED_PRECONDITION", "TASK_STATE"),
    "asg": ("FAILED_PRECONDITION", "ASSIGNED_TO_ANOTHER"),
    "key": ("FAILED_PRECONDITION", "LEASE_TOKEN_REQUIRED"),
    "old": ("ABORTED", "LEASE_LOST"),
    "late": ("ABORTED", "LEASE_LOST"),
    "not": ("PERMISSION_DENIED", "NOT_YOURS"),
    "who": ("INVALID_ARGUMENT", "CALLER_AGENT_REQUIRED"),
}
PEOPLE = {"holder": "ann", "assignee": "ann", "creator": "joe", "stranger": "eve", "operator": ""}
COLUMNS = [(leased, state) for leased in (False, True) for state in STATES]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One question to the table, and what must come of it."""

    row: str
    who: str
    leased: bool
    state: str
    answer: str

    @property
    def verb(self) -> str:
        """The verb, without what makes it another row."""
        return self.row.rstrip("!~")

    @property
    def refused(self) -> bool:
        """Whether nothing may change."""
        return self.answer in {*REFUSALS, "0"} - {"late"}

    @property
    def task_id(self) -> str:
        """The task that is asked for, a new one for each cell."""
        return f"{self.row} {self.who} {self.state} {'leased' if self.leased else 'unleased'}"


def cells() -> list[Cell]:
    found: list[Cell] = []
    for line in TABLE.strip().splitlines():
        row, *words = line.split()
        everybody, answers = words[:-12], words[-12:]
        for who in everybody:
            for (leased, state), answer in zip(COLUMNS, answers, strict=True):
                found.append(Cell(row=row, who=who, leased=leased, state=state, answer=answer))
    return found


CELLS = cells()
ROWS = list(dict.fromkeys(cell.row for cell in CELLS))


@dataclass(frozen=True)
class Scene:
    """A team in which everybody has a token."""

    team: Team
    callers: dict[str, Caller]

    def caller(self, cell: Cell) -> Caller:
        return self.callers[PEOPLE[cell.who]]

    async def set_up(self, cell: Cell) -> str:
        """Bring the task of a cell where it must be; answers the token that ann had or has."""
        ann, joe = self.callers["ann"], self.callers["joe"]
        lease = seconds(3_600) if cell.leased else None
        begun = await ann.do("start", cell.task_id, lease_duration=lease)
        token, path = begun.lease_token, PATHS[cell.state]
        for verb in path:
            who = joe if verb == "cancel" else ann
            await who.do(verb, cell.task_id, **({"lease_token": token} if who is ann else {}))
        return token or "made up"

    async def act(self, cell: Cell, token: str) -> tuple[str, str] | str:
        """Make the call of a cell: its refusal, "0" or ""."""
        caller = self.caller(cell)
        try:
            if cell.verb == "claim":
                mine = pb.TaskFilter(labels={"cell": cell.task_id})
                return "" if await caller.claim(filter=mine) else "0"
            await caller.do(cell.verb, cell.task_id, **fields_of(cell, token))
        except grpc.aio.AioRpcError as error:
            return error.code().name, error_info(error).reason
        return ""

    async def everything(self) -> tuple[Any, ...]:
        """All that any call could change: tasks, and the counts of events and of messages."""

        def query(snapshot: Snapshot) -> tuple[Any, ...]:
            team_id, agent_ids = self.team.team_id, sorted({*PEOPLE.values()} - {""})
            inboxes = [agents.find(snapshot, agent_id) for agent_id in agent_ids]
            counts = [(each.last_sequence, each.unacknowledged_count) for each in inboxes if each]
            return changed_names.since(snapshot, {}, [(team_id, "")]).counters, counts

        store = self.team.pair.tasks_store
        return await self.team.rows(), await store.read(self.team.team_id, query)


PATHS: dict[str, Sequence[str]] = {
    "PENDING": ("release",),
    "IN_PROGRESS": (),
    "INPUT_REQUIRED": ("request-input",),
    "COMPLETED": ("complete",),
    "FAILED": ("fail",),
    "CANCELLED": ("cancel",),
}


def fields_of(cell: Cell, token: str) -> dict[str, Any]:
    """What the request of a cell carries."""
    fields: dict[str, Any] = {"force": True} if cell.row.endswith("!") else {}
    if cell.verb == "assign":
        fields["assignee_id"] = "eve"
    if cell.row == "fail~":
        fields["failure"] = pb.TaskFailure(message="not yet", retryable=True)
    if cell.who == "holder" and cell.verb in LEASE_VERBS:
        fields["lease_token"] = token
    return fields


@pytest.fixture(scope="module")
async def scene(shared_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Scene]:
    folder: Path = tmp_path_factory.mktemp("table")
    async with guarded_pair(shared_url, folder) as guarded:
        callers = {name: await guarded.caller(name) for name in ("ann", "joe", "eve", "")}
        yield Scene(Team(guarded.pair, "red"), callers)


def test_the_table_asks_everything_of_everybody() -> None:
    verbs = {
        verb.words for verb in set(TaskVerb) - SYSTEM_VERBS - {TaskVerb.CREATE, TaskVerb.RETRY}
    }
    asked = {(cell.verb, cell.who, cell.leased, cell.state) for cell in CELLS}
    assert asked == {
        (verb, who, leased, state)
        for verb in verbs
        for who in PEOPLE
        for leased in (False, True)
        for state in TaskState.__members__
    }
    assert len(CELLS) == len(ROWS) * len(PEOPLE) * len(COLUMNS)


@pytest.mark.parametrize("row", ROWS)
async def test_a_verb_does_in_every_state_for_everybody_what_the_table_says(
    scene: Scene, row: str
) -> None:
    asked = [cell for cell in CELLS if cell.row == row]
    drafts = [
        pb.CreateTaskRequest(
            task_id=cell.task_id, title="t", assignee_id="ann", labels={"cell": cell.task_id}
        )
        for cell in asked
    ]
    await scene.callers["joe"].call(pb.BatchCreateTasksRequest(requests=drafts))
    tokens = await asyncio.gather(*map(scene.set_up, asked))
    told = dict(zip(asked, tokens, strict=True))
    await refuse([cell for cell in asked if cell.refused], told, scene)
    others = [cell for cell in asked if not cell.refused]
    does = {cell: keep_late if cell.answer == "late" else allow for cell in others}
    await asyncio.gather(*(do(cell, told[cell], scene) for cell, do in does.items()))


async def refuse(asked: list[Cell], tokens: dict[Cell, str], scene: Scene) -> None:
    """Each is refused as the table says, and all together they have changed nothing."""
    before = await scene.everything()
    answers = await asyncio.gather(*(scene.act(cell, tokens[cell]) for cell in asked))
    found = dict(zip(asked, answers, strict=True))
    assert found == {cell: REFUSALS.get(cell.answer, "0") for cell in asked}
    assert await scene.everything() == before


async def allow(cell: Cell, token: str, scene: Scene) -> None:
    """It leads where the table says; a change is one event, a heartbeat none."""
    team = scene.team
    before, history = await team.row(cell.task_id), await team.events(cell.task_id)
    assert await scene.act(cell, token) == "", cell
    after, events = await team.row(cell.task_id), await team.events(cell.task_id)
    assert before, cell
    assert after, cell
    assert (cell.answer, after.state.name) == ("ok", leads(cell.row, cell.state)), cell
    assert (after.delete_time is not None) == (cell.verb == "delete"), cell
    new = events[len(history) :]
    assert [(event.verb.words, event.actor_id) for event in new] == (
        [] if cell.verb == "heartbeat" else [(cell.verb, PEOPLE[cell.who])]
    ), cell
    assert after.version == before.version + len(new), cell
    holds = cell.verb == "claim" or (cell.leased and cell.verb != "start")
    runs = after.state in (TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED)
    assert bool(after.lease_token) == (holds and runs), cell


async def keep_late(cell: Cell, token: str, scene: Scene) -> None:
    """It is refused, and nothing changes but for an event more."""
    team = scene.team
    before, history = await team.row(cell.task_id), await team.events(cell.task_id)
    assert await scene.act(cell, token) == REFUSALS["late"], cell
    after, events = await team.row(cell.task_id), await team.events(cell.task_id)
    assert before, cell
    assert after == replace(before, event_count=before.event_count + 1), cell
    assert [event.verb.words for event in events[len(history) :]] == ["keep-late-result"], cell
