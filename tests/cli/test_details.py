"""`dovetail task show`: everything of one task, and what it waits for by name."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from rich.cells import cell_len

from cli.pool import tasks
from cli.shell import Shell
from dovetail.cli.commands.tasks import RELATED_MAX, read_surroundings
from dovetail.cli.output.details import CHARACTERS_MAX, LINES_MAX, Surroundings, details
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Group, Table
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1.types_pb2 import InputOption
from support.pair import identity

NOW = Timestamp(seconds=1_790_000_000)


def struct(**values: Any) -> Struct:
    made = Struct()
    made.update(values)
    return made


FULL = work.Task(
    task_id="ship",
    title="Ship 予約 of everything\x1b[2J",
    description="First the figures of all regions, and of what is new among them.\n\tThen more",
    state=work.TASK_STATE_INPUT_REQUIRED,
    assignee_id="bob",
    creator_id="alice",
    priority=4,
    labels={"kind": "a"},
    input=struct(n=1, region="north and south", files=["a.txt", "b.txt"], ratio=0.5, last=None),
    attempt=2,
    failed_attempts=1,
    max_attempts=3,
    create_time=NOW,
    update_time=Timestamp(seconds=NOW.seconds + 1),
    due_time=Timestamp(seconds=4_000_000_000),
    progress=work.TaskProgress(percent=40, note="half of it"),
    question=work.TaskQuestion(
        agent_id="alice",
        text="Which of them? " * 9,
        data=struct(n=1),
        ask_time=NOW,
        options=[InputOption(name="all", description="予約 too\n"), InputOption(name="none\x1b")],
        deadline_time=Timestamp(seconds=4_000_000_000),
        default_answer="all",
    ),
    last_failure=work.TaskFailure(message="No disk", data=struct(code=28)),
    lease=work.Lease(),
    depends_on=["plan", "gone", "x" * 100],
    waiting_for_count=2,
    parent_task_id="release",
    links=[
        work.TaskLink(kind="relates_to", task_id="docs"),
        work.TaskLink(kind="replaces", task_id="gone too"),
    ],
    etag="v4",
)
AROUND = Surroundings(
    dependencies=(
        work.Task(task_id="plan", title="Plan the release", state=work.TASK_STATE_COMPLETED),
        work.Task(task_id="test", title="Test all of it", state=work.TASK_STATE_FAILED),
        "gone",
    ),
    more_count=7,
    parent=work.Task(task_id="release", title="Release", state=work.TASK_STATE_PENDING),
    linked={
        "docs": work.Task(task_id="docs", title="Write it down", state=work.TASK_STATE_PENDING),
        "gone too": "gone too",
    },
    linking=[
        work.Task(
            task_id="tell",
            title="Tell everyone",
            state=work.TASK_STATE_PENDING,
            links=[work.TaskLink(kind="announces", task_id="ship")],
        )
    ],
)


def drawn(item: work.Task, around: Surroundings, room: int) -> list[str]:
    head, table = cast("Group", details(item, around)).parts
    assert isinstance(head, Text)
    assert isinstance(table, Table)
    return [head.plain, *(line.plain for line in table.lines(room))]


@pytest.mark.parametrize("room", [60, 80, 120])
def test_all_that_is_set_is_shown_in_the_width_of_the_terminal(room: int):
    rows = drawn(FULL, AROUND, room)
    assert rows[0] == "ship  input required  Ship 予約 of everything\\u001b[2J"
    assert max(map(cell_len, rows)) <= room
    assert len(rows) <= 45
    whole = re.sub(r"\s+", " ", " ".join(rows))
    for part in (
        "question to alice, ",
        "options all 予約 too none\\u001b default in ",
        ": all answer it dovetail task answer ship --option NAME",
        'its data {"n": 1}',
        "waits for ✔ plan completed Plan the release ✘ test failed Test all of it gone deleted",
        "and 7 more: dovetail task graph ship",
        "held by bob, stopped until the answer",
        "progress 40 % half of it",
        '"region": "north and south"',
        '"ratio": 0.5',
        "last failure No disk",
        'its data {"code": 28}',
        "attempts 2, of which 1 failed; 3 may",
        "labels kind=a",
        "part of release pending Release",
        "links to relates_to ○ docs pending Write it down replaces gone too",
        "linked from announces ○ tell pending Tell everyone",
        "created 2026-09-2",
        " ago) by alice",
        "due 2096-",
        "(in ",
        "etag v4",
    ):
        assert part in whole, part


def test_every_time_has_its_zone():
    times = [line for line in drawn(FULL, AROUND, 120) if re.search(r"\d\d:\d\d:\d\d", line)]
    assert len(times) == 3
    assert all(re.search(r"\d\d:\d\d:\d\d[+-]\d\d:\d\d \(", line) for line in times)


def test_the_outcome_comes_with_its_data():
    ended = work.Task(task_id="t1", title="x", state=work.TASK_STATE_COMPLETED)
    ended.result.summary = "All green"
    ended.result.data.update({"passed": 812})
    assert [line.split() for line in drawn(ended, Surroundings(), 80)[1:3]] == [
        ["result", "All", "green"],
        ["result", "data", '{"passed":', "812}"],
    ]
    failed = work.Task(task_id="t1", title="x", state=work.TASK_STATE_FAILED)
    failed.failure.message = "No disk"
    failed.failure.data.update({"code": 28})
    assert '    failure data  {"code": 28}' in drawn(failed, Surroundings(), 80)


def test_a_terminal_gets_the_beginning_of_a_long_text_and_a_pipe_all(
    monkeypatch: pytest.MonkeyPatch,
):
    long = work.Task(task_id="t1", title="x", description="\n".join(map(str, range(500))))
    assert drawn(long, Surroundings(), 80)[-1].split() == ["499"]
    monkeypatch.setenv("COLUMNS", "80")
    rows = drawn(long, Surroundings(), 80)
    assert "… 1,864 more characters: dovetail task show t1 --json" in rows[1 + LINES_MAX]
    wide = work.Task(task_id="t1", title="x", description="word " * 10_000)
    assert len(drawn(wide, Surroundings(), 60)) < CHARACTERS_MAX // 40 + 4


def test_at_most_twenty_one_more_tasks_are_read_and_a_page_of_those_that_link_to_it():
    asked: list[str] = []
    pages: list[Any] = []

    async def get(task_id: str) -> Any:
        asked.append(task_id)
        return SimpleNamespace(proto=work.Task(task_id=task_id, state=work.TASK_STATE_PENDING))

    async def next_page() -> Any:
        return [await get(f"l{number}") for number in range(11)]

    def list_(**asked_for: Any) -> Any:
        pages.append(asked_for)
        return SimpleNamespace(next_page=next_page)

    calls = SimpleNamespace(get=get, list=list_)
    session: Any = SimpleNamespace(agent=SimpleNamespace(tasks=calls))
    wide = work.Task(
        task_id="wide",
        state=work.TASK_STATE_PENDING,
        depends_on=[f"t{number}" for number in range(100)],
        parent_task_id="p",
        links=[work.TaskLink(kind="relates_to", task_id=f"r{number}") for number in range(32)],
    )
    around = asyncio.run(read_surroundings(session, wide))
    assert len(set(asked)) == 2 * RELATED_MAX + 1 + 11
    assert pages == [{"linked_task_id": "wide", "page_size": 11}]
    assert (len(around.dependencies), around.more_count) == (10, 90)
    assert (len(around.linked), len(around.linking)) == (10, 11)
    assert around.parent is not None
    rows = drawn(wide, around, 80)
    assert sum("relates_to" in row for row in rows) == 32


def test_a_task_is_shown_with_what_it_waits_for_by_name(shell: Shell):
    with tasks(shell) as stub:
        requests = [
            work.CreateTaskRequest(task_id="plan", title="Plan the release"),
            work.CreateTaskRequest(task_id="release", title="Release everything"),
            work.CreateTaskRequest(
                task_id="ship",
                title="Ship it",
                depends_on=["plan"],
                parent_task_id="release",
                input=struct(n=1),
            ),
        ]
        batch = work.BatchCreateTasksRequest(requests=requests)
        stub.BatchCreateTasks(batch, metadata=identity("alice", shell.team))
    printed = shell.says("task", "show", "ship")
    for part in ("ship  pending  Ship it", "○ plan  pending  Plan the release", '{"n": 1}'):
        assert part in printed
    assert "part of      release  pending  Release everything" in printed
    narrow = shell.within(COLUMNS="60", LC_ALL="C").says("task", "show", "ship")
    assert "o plan  pending  Plan the release" in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    (programs,) = shell.json("task", "show", "ship")
    assert programs["depends_on"] == ["plan"]
    code, line = shell.fails("task", "show", "none")
    assert (code, "[TASK_NOT_FOUND]" in line) == (3, True)
