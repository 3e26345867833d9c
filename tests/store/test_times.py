"""The time of a process and of its teams, with clocks that are set by the test."""

from __future__ import annotations

import pytest

from dovetail.server import clock
from dovetail.server.clock import JUMP_SECONDS, MICROS, Clock
from dovetail.server.store import times
from dovetail.server.store.times import TEAMS_MAX, Times

HOUR = 3_600 * MICROS
BEGIN = 1_800_000_000 * MICROS


class Machine:
    """A machine with a clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall = BEGIN
        self.steady = 5 * MICROS
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += round(seconds * MICROS)
        self.steady += round(seconds * MICROS)

    def set(self, seconds: float) -> None:
        """Set the clock by so much."""
        self.wall += round(seconds * MICROS)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_time_is_that_of_the_machine(machine: Machine) -> None:
    machine.run(10)
    assert machine.clock.now() == BEGIN + 10 * MICROS


@pytest.mark.parametrize("seconds", [0.5, -0.5, 1, -1])
def test_a_small_step_is_followed_at_once(machine: Machine, seconds: float) -> None:
    machine.set(seconds)
    assert machine.clock.now() == machine.wall


@pytest.mark.parametrize("seconds", [1.1, -1.1, 86_400 * 365, -86_400 * 365])
def test_a_jump_that_ends_within_a_minute_is_never_followed(
    machine: Machine, seconds: float
) -> None:
    for _ in range(3):
        machine.set(seconds)
        for _ in range(JUMP_SECONDS - 1):
            before = machine.clock.now()
            machine.run(1)
            assert machine.clock.now() == before + MICROS
        machine.set(-seconds)
        assert machine.clock.now() == machine.wall


@pytest.mark.parametrize("seconds", [1.1, -1.1, 86_400 * 365, -86_400 * 365])
def test_a_jump_that_lasts_for_a_minute_is_followed(machine: Machine, seconds: float) -> None:
    machine.set(seconds)
    machine.clock.now()
    machine.run(JUMP_SECONDS)
    assert machine.clock.now() == machine.wall
    machine.run(1)
    assert machine.clock.now() == machine.wall


def test_the_minute_begins_anew_with_another_jump(machine: Machine) -> None:
    machine.set(3_600)
    machine.clock.now()
    machine.run(JUMP_SECONDS - 1)
    machine.set(3_600)
    assert machine.clock.now() == machine.wall - 2 * HOUR
    machine.run(JUMP_SECONDS - 1)
    assert machine.clock.now() == machine.wall - 2 * HOUR
    machine.run(1)
    assert machine.clock.now() == machine.wall


def test_a_process_that_stops_between_two_looks_sees_no_jump() -> None:
    machine = Machine()
    stops = [0, 0, 8, 8, 8]

    def steady() -> int:
        # The second look of all comes eight seconds after the first: each looks at the wall first.
        machine.run(stops.pop(0) if stops else 0)
        return machine.steady

    stopping = Clock(lambda: machine.wall, steady)
    stopping.now()
    assert stopping.now() == machine.wall
    machine.run(JUMP_SECONDS)
    assert stopping.now() == machine.wall


class TestTeams:
    """How the time of a team goes on."""

    @pytest.fixture(autouse=True)
    def set_clock(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "now", machine.clock.now)
        monkeypatch.setattr(clock, "steady", lambda: machine.steady)

    def test_a_team_has_the_time_of_the_clock(self, machine: Machine) -> None:
        assert Times().now("t", 0) == (BEGIN, BEGIN)
        machine.run(3)
        assert Times().now("t", BEGIN) == (BEGIN + 3 * MICROS, BEGIN + 3 * MICROS)

    def test_from_a_stamp_to_come_time_goes_on_as_fast_as_it_passes(self, machine: Machine) -> None:
        known = Times()
        last = BEGIN + 24 * 365 * HOUR
        assert known.now("t", last) == (last, BEGIN)
        for _ in range(10):
            machine.run(60)
            stamp, now = known.now("t", last)
            assert 59.9 * MICROS <= stamp - last <= 60 * MICROS
            assert now == machine.wall
            last = stamp

    def test_a_team_that_is_a_little_ahead_meets_the_clock_again(self, machine: Machine) -> None:
        known = Times()
        known.now("t", BEGIN + 10 * MICROS)
        machine.run(10_000)
        assert known.now("t", BEGIN)[0] == machine.wall

    def test_a_clock_that_is_set_to_and_fro_drives_a_team_no_further(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known, last = Times(), 0
        for offset in (0, HOUR, -HOUR, 0, -HOUR, HOUR // 2, -HOUR):
            monkeypatch.setattr(clock, "now", lambda offset=offset: machine.wall + offset)
            stamp, _ = known.now("t", last)
            assert stamp >= last
            last = stamp
            machine.run(1)
        assert last <= machine.wall + HOUR

    def test_other_teams_are_not_ahead(self) -> None:
        known = Times()
        known.now("t", BEGIN + HOUR)
        assert known.now("other", BEGIN)[0] == BEGIN

    def test_two_processes_whose_clocks_differ_do_not_drive_each_other_on(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, last = Times(), Times(), 0
        for number in range(1_000):
            ahead = HOUR * (number % 2)
            monkeypatch.setattr(clock, "now", lambda ahead=ahead: machine.wall + ahead)
            stamp, _ = (second if ahead else first).now("t", last)
            assert stamp >= last
            last = stamp
            machine.run(0.01)
        assert machine.wall + HOUR - MICROS < last <= machine.wall + HOUR

    def test_of_very_many_teams_the_latest_are_remembered(self, machine: Machine) -> None:
        known = Times()
        for number in range(TEAMS_MAX + 1):
            known.now(f"t{number}", BEGIN + HOUR)
        machine.run(1)
        assert known.now("t1", 0)[0] > BEGIN + HOUR
        assert known.now("t0", 0)[0] == machine.wall

    def test_it_is_warned_of_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        known = Times()
        for hours in (1, 2):
            known.now("crew", BEGIN + hours * HOUR)
        known.now("near", BEGIN + (times.WARN_SECONDS - 1) * MICROS)
        said = capsys.readouterr()
        assert (said.out + said.err).count("ahead_seconds") == 1
