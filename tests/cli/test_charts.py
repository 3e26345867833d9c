"""How completions over time look in the terminal."""

from __future__ import annotations

from dovetail.cli.output.charts import columns, merged
from dovetail.cli.output.reports import report
from dovetail.cli.output.screen import console
from dovetail.tasks.v1 import tasks_pb2 as pb


def drawn(counts: list[int], step: int = 60) -> list[str]:
    """The lines of a report with so many completions in each bucket."""
    made = pb.Report(total_tasks=sum(counts))
    for number, count in enumerate(counts):
        bucket = made.completions.add(completed_tasks=count)
        bucket.start_time.seconds = number * step
    screen = console()
    with screen.capture() as printed:
        screen.print(report(made))
    return [line.rstrip() for line in printed.get().splitlines()]


def test_a_column_is_as_high_as_its_share_of_the_highest():
    assert columns([0, 1, 4, 8], 1) == [" ▁▄█"]
    assert columns([0, 1, 4, 8], 2) == ["   █", " ▂██"]
    assert columns([0, 0], 2) == ["  ", "  "]


def test_what_is_not_nothing_is_seen():
    assert columns([1, 1_000], 1) == ["▁█"]


def test_neighbours_are_added_where_there_is_no_room():
    assert merged([1, 2, 3, 4, 5], 2) == ([6, 9], 3)
    assert merged([1, 2], 2) == ([1, 2], 1)


def test_few_buckets_are_bars_with_their_numbers():
    lines = drawn([2, 0, 4])
    assert [line.split()[2:] for line in lines[-3:]] == [["████████", "2"], ["0"], ["█" * 16, "4"]]


def test_many_buckets_are_a_chart_with_the_most_and_the_ends():
    lines = drawn([1] * 19 + [12])
    top = next(index for index, line in enumerate(lines) if line.startswith("12 ┤"))
    assert lines[top - 1] == "completed in each 1 min 0 s"
    assert lines[top] == "12 ┤" + " " * 19 + "█"
    assert lines[top + 3] == "   ┤" + "▃" * 19 + "█"
    assert lines[top + 4] == " 0 └" + "─" * 20
    assert len(lines[top + 5].split()) == 4


def test_very_many_buckets_share_columns():
    lines = drawn([1] * 1_000)
    assert max(map(len, lines)) < 80
    assert any("17 min" in line for line in lines)
