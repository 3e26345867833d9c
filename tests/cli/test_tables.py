"""Tables: laid out for the width of a terminal, separated by tabs in a pipe."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rich.cells import cell_len
from rich.color import Color

from cli.pool import create, tasks
from cli.shell import Shell
from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.cli.output import lists, render
from dovetail.cli.output.screen import PALETTE
from dovetail.cli.output.signs import ASCII, signs
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Column, Group, Layout, Listing, Table
from dovetail.cli.output.terminal import is_ascii
from dovetail.cli.output.text import age
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2 as types
from support.pair import identity

NOW = Timestamp(seconds=1_790_000_000)
LONG = "Read the figures of all regions, and write down what is new among them, region by region"
WIDE = "予約システムを作る、そして試験する 👍 " * 3
WILD = "red\x1b[31m\x9b2J\rover\tthere\nbelow\u2028and\u202eback"

TASKS = [
    work.Task(
        task_id="t1", title=LONG, state=work.TASK_STATE_PENDING, assignee_id="bob", create_time=NOW
    ),
    work.Task(
        task_id="t2", title=WIDE, state=work.TASK_STATE_INPUT_REQUIRED, priority=7, create_time=NOW
    ),
    work.Task(
        task_id="t3",
        title=WILD,
        state=work.TASK_STATE_IN_PROGRESS,
        assignee_id="a" * 128,
        create_time=NOW,
    ),
    work.Task(
        task_id="予" * 40,
        title="x",
        state=work.TASK_STATE_COMPLETED,
        labels={"kind": "予約"},
        create_time=NOW,
    ),
]
AGENTS = [
    talk.Agent(agent_id="alice", unacknowledged_count=12_345, last_seen_time=NOW),
    talk.Agent(agent_id="予" * 64, display_name=WILD, labels={"kind": LONG}),
]
RECEIPTS = [
    types.Receipt(
        recipient_id="bob", sequence=3, state=types.DELIVERY_STATE_ACKNOWLEDGED, state_time=NOW
    ),
    types.Receipt(
        recipient_id="b" * 128, sequence=1_000_000, state=types.DELIVERY_STATE_UNACKNOWLEDGED
    ),
]
TEAMS = [admin.Team(team_id="予" * 64, create_time=NOW), admin.Team(team_id="old")]
CREDENTIALS = [
    admin.Credential(
        credential_id="c1",
        team_id="t" * 128,
        agent_id="a" * 128,
        role=admin.ROLE_AGENT,
        description=WILD,
    ),
    admin.Credential(credential_id="c2", role=admin.ROLE_ADMIN, create_time=NOW, revoke_time=NOW),
]
LISTINGS: list[tuple[Listing[Any], list[Any]]] = [
    (lists.TASKS, TASKS),
    (lists.AGENTS, AGENTS),
    (lists.RECEIPTS, RECEIPTS),
    (lists.TEAMS, TEAMS),
    (lists.CREDENTIALS, CREDENTIALS),
]


def table(listing: Listing[Any], items: list[Any]) -> Table:
    made = listing(items)
    assert isinstance(made, Table)
    return made


def drawn(made: Table, room: int) -> list[str]:
    return [line.plain for line in made.lines(room)]


@pytest.mark.parametrize("room", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize(
    ("listing", "items"), LISTINGS, ids=lambda each: getattr(each, "empty", "")
)
def test_every_row_is_one_line_that_fits(listing: Listing[Any], items: list[Any], room: int):
    lines = drawn(table(listing, items), room)
    assert len(lines) == len(items) + 1
    assert max(map(cell_len, lines)) <= room
    assert not any(re.search(r"[\x00-\x1f\x7f-\x9f\u202e\u2028]", line) for line in lines)


@pytest.mark.parametrize(
    ("listing", "items"), LISTINGS, ids=lambda each: getattr(each, "empty", "")
)
def test_a_pipe_gets_a_line_for_each_row_with_the_same_number_of_tabs(
    listing: Listing[Any], items: list[Any]
):
    lines = table(listing, items).plain.splitlines()
    assert len(lines) == len(items) + 1
    assert len({line.count("\t") for line in lines}) == 1
    assert "  " not in "".join(lines)


@pytest.mark.parametrize(
    ("room", "head"),
    [
        (60, ["task", "state", "assignee", "title", "age"]),
        (80, ["task", "state", "assignee", "title", "age", "priority"]),
        (120, ["task", "state", "assignee", "title", "age", "priority", "labels", "created"]),
    ],
)
def test_a_wider_terminal_shows_more_columns_of_tasks(room: int, head: list[str]):
    listed = [
        work.Task(
            task_id=f"t{number}",
            title=LONG,
            state=work.TASK_STATE_INPUT_REQUIRED,
            priority=1,
            labels={"kind": "a"},
        )
        for number in range(3)
    ]
    for each in listed:
        each.create_time.CopyFrom(NOW)
    lines = drawn(table(lists.TASKS, listed), room)
    assert lines[0].split() == head
    assert "input required" in lines[1]
    assert "…" in lines[1]


def test_columns_line_up_beside_wide_characters():
    lines = drawn(table(lists.TASKS, TASKS), 120)
    starts = {
        cell_len(line[: line.index(str(word))])
        for line, word in zip(
            lines, ("state", "pending", "input", "in progress", "completed"), strict=True
        )
    }
    assert len(starts) == 1


def test_columns_with_nothing_in_them_are_left_out_on_a_terminal_only():
    listed = table(
        lists.TASKS,
        [work.Task(task_id="t1", title="x", state=work.TASK_STATE_PENDING, create_time=NOW)],
    )
    assert drawn(listed, 200)[0].split() == ["task", "state", "assignee", "title", "age", "created"]
    assert "priority\tlabels\tcreated" in listed.plain


def test_rows_that_follow_keep_the_widths_of_the_first():
    layout, first = Layout(), Table(Column(name="a"), Column(name="b", cells_min=4))
    first.add_row("one", "two")
    assert [line.plain for line in first.lines(20, layout)] == ["a    b", "one  two"]
    rest = first.without_head()
    rest.add_row("1", "more than there is room for")
    assert [line.plain for line in rest.lines(20, layout)] == ["1    mo…"]


def test_a_column_may_go_on_below():
    made = Table(Column(name="a"), Column(name="b", folds=True, cells_min=6))
    made.add_row("one", Text("予約システム", style="bold"))
    assert drawn(made, 11) == ["a    b", "one  予約シ", "     ステム"]


def test_a_part_of_a_drawing_is_as_wide_in_a_pipe_as_it_needs_to_be():
    made = Table("name", "#count")
    made.add_row("a longer name", "5")
    assert Group(Text("head"), made).plain.splitlines() == [
        "head",
        "name           count",
        "a longer name      5",
    ]


def test_styles_end_with_the_text_that_is_cut():
    whole = Text.assemble(("red", "red"), ("green", "green"))
    assert whole.cut(5, "…").parts == [("red", "red"), ("g", "green"), ("…", "")]
    assert whole.cut(8, "…") is whole


def test_ages_are_short():
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    time = Timestamp()
    time.FromDatetime(begin)
    ages = {
        timedelta(seconds=-5): "0s",
        timedelta(seconds=59): "59s",
        timedelta(seconds=60): "1m",
        timedelta(minutes=119): "119m",
        timedelta(hours=2): "2h",
        timedelta(hours=47): "47h",
        timedelta(days=2): "2d",
        timedelta(days=800): "800d",
    }
    assert {length: age(time, begin + length) for length in ages} == ages


def luminance(name: str) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = Color.parse(name).get_truecolor()
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


@pytest.mark.parametrize("name", PALETTE)
def test_a_colour_can_be_read_on_black_and_on_white(name: str):
    """By the contrast of WCAG, which asks 3 of large text and 4.5 of small."""
    light = luminance(PALETTE[name])
    assert (light + 0.05) / 0.05 >= 3.5
    assert 1.05 / (light + 0.05) >= 3.5


def test_all_colours_that_are_used_are_of_the_palette():
    root = Path(render.__file__).parents[1]
    source = "\n".join(path.read_text() for path in root.rglob("*.py") if path.name != "screen.py")
    used = re.findall(
        r'"(?:bold )?((?:bright_)?(?:red|green|yellow|blue|magenta|cyan|white|black))"', source
    )
    assert len(used) > 20
    assert set(used) <= set(PALETTE)
    assert "on_" not in PALETTE


def test_states_differ_without_colours():
    names = [render.state(value).plain for value in render.STATE_STYLES]
    assert len(set(names)) == len(set(render.STATE_BARS.values())) == len(names)


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # As Python sets it at its start.
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "C", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, True),
        ({"LANG": "en_US.UTF-8", "TERM": "dumb"}, True),
        ({"LANG": "en_US.UTF-8", "TERM": "xterm"}, False),
    ],
)
def test_the_terminal_and_the_locale_say_whether_it_is_ascii(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], plain: bool
):
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Path("/dev/null").open("w", encoding="utf-8") as file:
        assert is_ascii(file) is plain
    with Path("/dev/null").open("w", encoding="ascii") as file:
        assert is_ascii(file)
    assert signs("→ █").isascii() is plain


def test_every_sign_has_one_in_ascii():
    root = Path(render.__file__).parents[1]
    files = [path for path in root.rglob("*.py") if path.name not in ("signs.py", "story.py")]
    code = re.sub(
        r'""".*?"""|#.*', "", "\n".join(path.read_text() for path in files), flags=re.DOTALL
    )
    odd = set(re.findall(r"[^\x00-\x7f]", code)) - set("\u2013\u00d7")
    assert odd <= set(ASCII), odd - set(ASCII)


def test_many_tasks_are_listed_page_by_page(shell: Shell):
    titles = [f"Title {number}" for number in range(1_100)]
    for start in (0, 1_000):
        if titles[start:]:
            create(shell, *titles[start : start + 1_000])
    long = work.CreateTaskRequest(title="x" * 500, assignee_id="bob")
    with tasks(shell) as stub:
        stub.CreateTask(long, metadata=identity("alice", shell.team))
    lines = shell.says("task", "list", "--limit", "0").splitlines()
    assert lines[0].split("\t")[:4] == ["task", "state", "assignee", "title"]
    assert [line.split("\t")[3] for line in lines[1:-1]] == titles
    assert lines[-1].split("\t")[2:4] == ["bob", "x" * 500]
    assert max(map(len, lines[1:-1])) < 80
    on_screen = shell.within(COLUMNS="60").says("task", "list", "--limit", "0").splitlines()
    assert len(on_screen) == 1_102
    assert {line.index("pending") for line in on_screen[1:]} == {on_screen[0].index("state")}


def test_a_list_is_ascii_where_the_locale_says_so(shell: Shell):
    shell.says("task", "create", "x" * 200)
    printed = shell.within(COLUMNS="60", LC_ALL="C").says("task", "list")
    assert printed.isascii()
    assert "xxx..." in printed
