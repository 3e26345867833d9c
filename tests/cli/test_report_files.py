"""`dovetail report --html` and `--csv`: what is in the files, and how they are written."""

from __future__ import annotations

import csv
import io
import itertools
import re
import stat
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from cli.shell import Shell
from dovetail.cli.commands.reporting import BUCKETS, longer_bucket
from dovetail.cli.output.reports import largest
from dovetail.cli.pages.report_page import Context, page
from dovetail.cli.pages.report_rows import COLUMNS, rows
from dovetail.cli.pages.retried import RetriedTask
from dovetail.cli.pages.style import STYLE
from dovetail.tasks.v1 import tasks_pb2 as work

NOW = 1_790_000_000
USED = '{"input_tokens": 1200, "cost": {"amount": "0.25", "currency": "USD"}}'
HOSTILE = (
    *("", "bob", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&amp;"),
    *("\u202eevil", "שלום עולם", "研究", "=1+1", "+1", "-1", "@x", "\uff1d1", "a,b", 'a"b'),
)
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section"),
    *("h1", "h2", "p", "i", "bdi", "dl", "dt", "dd", "div", "span", "svg", "rect", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tr", "th", "td"),
}


def report(names: tuple[str, ...], buckets: int = 0, total: int = 0) -> work.Report:
    """A report over assignees of these names, each with more tasks than the one before."""
    made = work.Report(basis=work.REPORT_BASIS_SCAN, total_assignees=total or len(names))
    made.report_time.seconds = NOW
    for number, name in enumerate(names, 1):
        made.assignees.add(
            assignee_id=name,
            total_tasks=number + 1,
            completed_tasks=number,
            failed_tasks=1,
            average_task_time=Duration(seconds=number, nanos=500_000_000),
            unacknowledged_messages=2,
        )
    made.completed_tasks = sum(each.completed_tasks for each in made.assignees)
    made.total_tasks = sum(each.total_tasks for each in made.assignees)
    made.states.add(state=work.TASK_STATE_COMPLETED, count=made.completed_tasks)
    made.states.add(state=work.TASK_STATE_FAILED, count=len(names))
    for number in range(buckets):
        start = Timestamp(seconds=NOW + 60 * number)
        made.completions.add(start_time=start, completed_tasks=number % 7)
    return made


class Reader(HTMLParser):
    """Reads a page: its elements with their attributes, and the text in some of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_what_agents_wrote_is_text_of_the_page_and_never_markup() -> None:
    context = Context(team_id="<b>red</b>", conditions=[("label", "</dl><script>")])
    read = Reader(page(report(HOSTILE, 3), context))
    assert {tag for tag, _ in read.elements} == ELEMENTS
    shown = read.texts["bdi"]
    assert shown[:2] == ["<b>red</b>", "</dl><script>"]
    expected = {name.replace("\u202e", "\\u202e") or "(unassigned)" for name in HOSTILE}
    assert expected - {"(unassigned)"} == set(shown[2:])
    assert not [name for _, found in read.elements for name in found if name.startswith("on")]


def test_the_page_needs_nothing_else() -> None:
    text = page(report(HOSTILE, 3), Context(team_id="red"))
    assert text.isascii()
    read = Reader(text)
    assert not {"src", "href", "style"} & {name for _, found in read.elements for name in found}
    assert not re.search(r"url\(|@import|https?:", STYLE)
    (policy,) = (m["content"] for m in read.of("meta") if "http-equiv" in m)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_every_table_and_picture_has_a_name_and_every_head_a_scope() -> None:
    read = Reader(page(report(HOSTILE, 3), Context(team_id="red")))
    assert len(read.of("caption")) == len(read.of("table")) == 5
    assert all(each.get("scope") in ("col", "row") for each in read.of("th"))
    for each in read.of("svg"):
        assert each.get("aria-hidden") == "true" or each.get("aria-label"), each
    assert (read.of("html")[0]["lang"], len(read.of("h1"))) == ("en", 1)


@pytest.mark.parametrize("count", [0, 1, 10, 1_000])
def test_the_page_has_a_bounded_number_of_assignees_and_says_how_many_it_leaves_out(
    count: int,
) -> None:
    names = tuple(f"agent-{number:04}" for number in range(count))
    text = page(
        report(names, count, total=count + (234 if count == 1_000 else 0)), Context(team_id="red")
    )
    assert len(text) < 250_000
    read = Reader(text)
    shown = min(count, 200)
    assert sum(each.startswith("agent-") for each in read.texts.get("bdi", [])) == 2 * shown
    assert ("1,034 more are left out" in text) == (count == 1_000)
    assert ("No task is completed." in text) == (count == 0)
    columns = [each for each in read.of("rect") if each.get("class") == "completed"]
    assert len(columns) <= 1 + shown + 60


def test_all_text_can_be_read_in_light_and_in_dark() -> None:
    """By the contrast of the WCAG: 4.5 for text, 3 for what a picture shows."""
    schemes = [dict(re.findall(r"--([\w-]+):(#\w+)", part)) for part in STYLE.split("@media")[:2]]
    assert len(schemes[0]) == len(schemes[1]) == 11
    for scheme in schemes:
        grounds = scheme["ground"], scheme["raised"]
        for ground in grounds:
            for text in ("text", "faint"):
                assert contrast(scheme[text], ground) >= 4.5, (text, ground)
            for state in ("completed", "in-progress", "input-required", "pending", "failed"):
                assert contrast(scheme[state], ground) >= 3, (state, ground)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * each for each in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_rows_are_csv_that_no_spreadsheet_runs() -> None:
    text = rows(report(HOSTILE))
    assert all(line.endswith("\r") for line in text.split("\n")[:-1])
    header, total, *others = csv.reader(io.StringIO(text, newline=""))
    assert (tuple(header), len(others)) == (COLUMNS, len(HOSTILE))
    first = dict(zip(header, others[1], strict=True))
    assert first == {
        **dict.fromkeys(COLUMNS, ""),
        **dict.fromkeys(("open_tasks", "in_progress_tasks", "cancelled_tasks"), "0"),
        "input_required_tasks": "0",
        **{"row": "assignee", "assignee_id": "bob", "total_tasks": "3", "completed_tasks": "2"},
        **{"failed_tasks": "1", "average_task_seconds": "2.500000", "unacknowledged_messages": "2"},
    }
    ids = [each[1] for each in others]
    assert ids[8:13] == ["'=1+1", "'+1", "'-1", "'@x", "'\uff1d1"]
    assert ids[:8] + ids[13:] == [*HOSTILE[:8], *HOSTILE[13:]]
    assert not [cell for row in (total, *others) for cell in row if cell[:1] in tuple("=+-@")]
    assert total[:6] == ["total", "", "135", "0", "0", "120"]
    assert dict(zip(header, total, strict=True))["unacknowledged_messages"] == "30"


def test_totals_that_only_the_assignees_have_are_empty_if_some_are_missing() -> None:
    _, total, _ = csv.reader(io.StringIO(rows(report(("bob",), total=2)), newline=""))
    known = dict(zip(COLUMNS, total, strict=True))
    assert not known["oldest_open_create_time"] + known["unacknowledged_messages"]


def test_what_was_used_is_on_the_page_and_in_the_rows() -> None:
    usage = work.UsageTotal(
        input_tokens=1_200,
        output_tokens=80,
        cached_tokens=7,
        costs=[work.Cost(amount="0.5", currency="EUR"), work.Cost(amount="7.3", currency="USD")],
    )
    found = report(("bob", "ann"))
    assert "Usage" not in page(found, Context(team_id="red"))
    found.usage.CopyFrom(usage)
    found.assignees[0].usage.CopyFrom(usage)
    text = page(found, Context(team_id="red"))
    cells = "<td>1,200</td><td>7</td><td>80</td><td>0.5 EUR, 7.3 USD</td>"
    assert (text.count("<h2>Usage</h2>"), text.count(cells)) == (1, 2)
    _, total, bob, ann = csv.reader(io.StringIO(rows(found), newline=""))
    assert total[-4:] == bob[-4:] == ["1200", "80", "7", "0.5 EUR, 7.3 USD"]
    assert ann[-4:] == ["", "", "", ""]


def test_the_attempts_of_tasks_that_were_tried_again_are_on_the_page(shell: Shell) -> None:
    shell.says("task", "create", "<dig>", "--id", "x", "--backoff", "0s")
    shell.says("task", "create", "once", "--id", "once")
    for agent, words in (
        ("ann", ("fail", "x", "no <spade>", "--retryable", "--usage", USED)),
        ("ann", ("fail", "x", "rock", "--retryable")),
        ("bob", ("complete", "x", "--usage", '{"output_tokens": 50}')),
        ("bob", ("complete", "once")),
    ):
        shell.says("task", "start", words[1], "--as", agent)
        shell.says("task", *words, "--as", agent)
    text = shell.says("report", "--html", "-")
    read = Reader(text)
    assert read.texts["h3"] == ["x: <dig>, completed"]
    assert read.texts["caption"][-1] == "Attempts of x"
    cells = [re.sub("<[^>]*>", "|", row) for row in text.split("<tr>")[-3:]]
    for row, parts in zip(
        cells,
        (
            ("1", "ann", "failed", "no &lt;spade&gt;", "1,200 tokens, 0.25 USD"),
            ("2", "ann", "failed", "rock", "-"),
            ("3", "bob", "completed", "50 tokens"),
        ),
        strict=True,
    ):
        assert all(f"|{part}|" in row for part in parts), row
    assert "<h3>" not in shell.says("report", "--html", "-", "--assignee", "ann")


def test_only_the_last_of_very_many_attempts_are_shown() -> None:
    task = work.Task(task_id="x", title="dig", state=work.TASK_STATE_PENDING)
    attempts = [work.TaskAttempt(task_id="x", attempt=n, reason="y" * 999) for n in (31, 32)]
    retried = [RetriedTask(task=task, attempts=attempts, left_out=30)]
    text = page(report(("bob",)), Context(team_id="red", retried=retried))
    assert "Attempts of x: the last 2; 30 before them are left out" in text
    assert "y" * 500 + "&#8230;" in text


def test_columns_are_as_long_as_makes_them_few() -> None:
    minute = BUCKETS[0]
    assert list(BUCKETS) == sorted(set(BUCKETS))
    for span, length in (
        (timedelta(minutes=1_001), timedelta(minutes=15)),
        (timedelta(days=4), timedelta(hours=1)),
        (timedelta(days=200), timedelta(days=7)),
        (timedelta(days=100_000), BUCKETS[-1]),
    ):
        assert longer_bucket(span, minute) == length
    assert all(longer_bucket(one, one) > one for one in BUCKETS[:-1])


@pytest.fixture
def done(shell: Shell) -> Shell:
    """A team with a completed task of bob's."""
    shell.says("task", "create", "x", "--assignee", "bob", "--label", "a=<b>")
    shell.says("task", "start", "t1", "--as", "bob")
    shell.says("task", "complete", "t1", "--as", "bob")
    return shell


def test_files_are_written_and_replaced(done: Shell, tmp_path: Path) -> None:
    html, rows_ = tmp_path / "report.html", tmp_path / "report.csv"
    said = done.says("report", "--html", str(html), "--csv", str(rows_), "--label", "a=<b>")
    assert said == f"written: {html}, {rows_}\n"
    read = Reader(html.read_text())
    assert read.texts["bdi"][:2] == [done.team, "a=<b>"]
    assert "Completed tasks" in read.texts["caption"][2]
    assert rows_.read_text().count("\n") == 3
    html.chmod(0o640)
    link = tmp_path / "link.html"
    link.symlink_to(html)
    (facts,) = done.json("report", "--html", str(link), "--state", "pending")
    assert facts == {"html": str(link)}
    assert (link.is_symlink(), stat.S_IMODE(html.stat().st_mode)) == (True, 0o640)
    assert "No task is completed." in html.read_text()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("link.html", "report.csv", "report.html")
    ]


def test_a_file_may_be_standard_output(done: Shell, tmp_path: Path) -> None:
    said = done.says("report", "--csv", "-", "--html", str(tmp_path / "x.html"))
    assert said.splitlines()[0] == ",".join(COLUMNS)
    assert "written" not in said
    assert done.says("report", "--html", "-").startswith("<!doctype html>\n")


def test_what_cannot_be_written_is_told(done: Shell, tmp_path: Path) -> None:
    for words, exit_code, part in (
        (("--html", str(tmp_path / "none" / "x")), 1, "No such file or directory"),
        (("--csv", str(tmp_path)), 1, "Is a directory"),
        (("--html", "-", "--csv", "-"), 2, "only one of --html and --csv can be printed"),
        (("--csv", "-", "--json"), 2, "--csv - does not go with --json"),
        (("--html", ""), 2, "--html needs the name of a file"),
    ):
        code, line = done.fails("report", *words)
        assert (code, part in line) == (exit_code, True), line
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_shows_a_bounded_number_of_assignees() -> None:
    names = tuple(f"agent-{number:04}" for number in range(1_000))
    shown, left = largest(report(names, total=1_500), 100)
    assert ([each.assignee_id for each in shown], left) == (list(names[-100:]), 1_400)
    assert all(a.assignee_id < b.assignee_id for a, b in itertools.pairwise(shown))
