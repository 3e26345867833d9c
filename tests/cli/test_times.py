"""Local times that a zone skips, repeats or never had; and that every time shown has its offset."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime

import pytest

from cli.shell import Shell
from dovetail.cli.output.times import local_time, read_time

In = Callable[[str], None]

SHOWN = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?P<offset>[+-]\d\d:\d\d)?")


@pytest.fixture
def in_zone() -> Generator[In]:
    """Move this process to another zone for a test."""
    before = os.environ.get("TZ")

    def move(zone: str | None) -> None:
        os.environ.pop("TZ", None)
        os.environ.update({"TZ": zone} if zone else {})
        time.tzset()

    yield move
    move(before)


@pytest.mark.parametrize(
    ("zone", "written", "meant"),
    [
        ("America/New_York", "2027-07-01T12:00", "2027-07-01T16:00:00"),
        ("America/New_York", "2027-01-01T12:00:30.25", "2027-01-01T17:00:30.250"),
        ("Asia/Kathmandu", "2027-01-01", "2026-12-31T18:15:00"),
        ("Europe/London", "2027-07-01T12:00+02:00", "2027-07-01T10:00:00"),
        ("Europe/Berlin", "2027-03-28T02:30+01:00", "2027-03-28T01:30:00"),
        ("Europe/Berlin", "2027-03-28T03:00", "2027-03-28T01:00:00"),
        ("Europe/Berlin", "2027-03-28T01:59:59", "2027-03-28T00:59:59"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00"),
        # Clocks went from 23:59:59 to 01:00: the day begins an hour late.
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00"),
    ],
)
def test_a_time_is_the_one_that_clocks_there_show(in_zone: In, zone: str, written: str, meant: str):
    in_zone(zone)
    read = read_time(written)
    assert (read.time, read.remark) == (datetime.fromisoformat(meant).replace(tzinfo=UTC), "")


@pytest.mark.parametrize(
    ("zone", "written", "neighbours"),
    [
        (
            "Europe/Berlin",
            "2027-03-28T02:30",
            ("2027-03-28 01:59:59+01:00", "2027-03-28 03:00:00+02:00"),
        ),
        (
            "America/New_York",
            "2027-03-14T02:30",
            ("2027-03-14 01:59:59-05:00", "2027-03-14 03:00:00-04:00"),
        ),
        (
            "Pacific/Apia",
            "2011-12-30",
            ("2011-12-29 23:59:59-10:00", "2011-12-31 00:00:00+14:00"),
        ),
        (
            "Australia/Lord_Howe",  # where half an hour is skipped
            "2027-10-03T02:15",
            ("2027-10-03 01:59:59+10:30", "2027-10-03 02:30:00+11:00"),
        ),
    ],
)
def test_a_time_that_does_not_exist_is_refused_with_its_neighbours(
    in_zone: In, zone: str, written: str, neighbours: tuple[str, str]
):
    in_zone(zone)
    with pytest.raises(ValueError, match="does not exist here") as refused:
        read_time(written)
    assert " to ".join(neighbours) in str(refused.value)
    # What is shown can be given back, and is the same time as before.
    assert tuple(local_time(read_time(each).time) for each in neighbours) == neighbours


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia"])
@pytest.mark.parametrize(
    "written",
    [
        *("9999-12-31T23:59", "9999-12-31T23:59Z", "0001-01-01", "0001-01-01T00:00+09:00"),
        *("1e3", "tomorrow", ""),
    ],
)
def test_what_is_no_time_or_at_an_end_of_the_calendar_is_refused(
    in_zone: In, zone: str, written: str
):
    in_zone(zone)
    with pytest.raises(ValueError, match=f"'{re.escape(written)}' is no"):
        read_time(written)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("shown", ["0001-01-01 00:00:00+00:00", "9999-12-31 23:59:59+00:00"])
def test_a_stored_time_at_an_end_of_the_calendar_is_shown(in_zone: In, zone: str, shown: str):
    in_zone(zone)
    moment = datetime.fromisoformat(shown)
    assert datetime.fromisoformat(local_time(moment)) == moment


def test_commands_refuse_what_is_skipped_and_tell_what_comes_twice(shell: Shell):
    there = shell.within(TZ="America/New_York")
    create = ("task", "create", "--as", "alice", "T", "--json")
    skipped = there.run(*create, "--at", "2027-03-14T02:30")
    assert (skipped.exit_code, skipped.out) == (2, "")
    assert "2027-03-14 03:00:00-04:00: write one of these" in skipped.error
    twice = there.run(*create, "--at", "2027-11-07T01:30")
    assert twice.exit_code == 0
    assert '"schedule_time":"2027-11-07T05:30:00Z"' in twice.out
    assert twice.error == (
        "dovetail: 2027-11-07T01:30 comes twice here:"
        " 2027-11-07 01:30:00-04:00 is taken, not 2027-11-07 01:30:00-05:00\n"
    )


def test_a_length_with_endless_digits_is_refused(shell: Shell):
    done = shell.run("report", "--bucket", "9" * 5_000 + "s")
    assert (done.exit_code, "9…' is not a length of time" in done.error) == (2, True)


def test_every_time_that_people_see_has_its_offset(shell: Shell):
    at = "2030-01-02T00:00:00Z"
    (sent,) = shell.json("send", "--as", "alice", "bob", "x")
    (task,) = shell.json("task", "create", "--as", "alice", "T", "--at", at, "--due", at)
    there = shell.within(TZ="Asia/Kathmandu")
    for words in (
        ("task", "show", task["task_id"]),
        ("inbox", "--as", "bob"),
        ("message", "show", sent["message_id"]),
        ("report", "--bucket", "1h"),
    ):
        shown = [match["offset"] for match in SHOWN.finditer(there.says(*words))]
        assert shown, words
        assert set(shown) == {"+05:45"}, words
    assert there.json("task", "show", task["task_id"])[0]["due_time"] == at
