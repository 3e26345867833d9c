"""Lengths of time: one syntax for options, settings, the environment and the file."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import click
import pytest

from cli.shell import Shell
from dovetail.cli.lazy import subcommands
from dovetail.cli.main import main
from dovetail.cli.options.settings import SettingOption
from dovetail.cli.options.values import Length
from dovetail.settings import SETTINGS, Kind, converted, read_settings
from dovetail.settings.lengths import EXAMPLES, check_length, length_text, read_length

LENGTHS = {
    "0": 0.0,
    "30": 30.0,
    "30s": 30.0,
    "1.5s": 1.5,
    "1.5": 1.5,
    "0.05": 0.05,
    "0.000001s": 0.000001,
    "1m": 60.0,
    "2h": 7_200.0,
    "0.5h": 1_800.0,
    "7d": 604_800.0,
    "1w": 604_800.0,
}
WRONG = [
    "",
    "s",
    "-1",
    "+1",
    "1e3",
    "nan",
    "inf",
    "1 m",
    "1ms",
    "5 minutes",
    "1h30m",
    ".5s",
    "1.s",
    "²",
]


def test_a_length_is_written_as_a_number_and_a_unit() -> None:
    read = {text: read_length(text) for text in LENGTHS}
    assert read == {text: timedelta(seconds=seconds) for text, seconds in LENGTHS.items()}
    for seconds in LENGTHS.values():
        assert read_length(length_text(seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_length_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(EXAMPLES)):
        read_length(text)


def test_bounds_are_told_with_their_unit() -> None:
    for seconds, says in (
        (0.05, "must be at least 0.1s, is 0.05s"),
        (61, "must be at most 60s, is 61s"),
    ):
        with pytest.raises(ValueError, match=says):
            check_length(seconds, 0.1, 60)
    with pytest.raises(ValueError, match="is too long"):
        read_length("999999999999999w")
    with pytest.raises(click.BadParameter, match="must be at most 50s, is 60s"):
        Length(0, 50).convert("1m", None, None)


def test_every_setting_that_is_a_length_reads_one_wherever_it_is_given(tmp_path: Path) -> None:
    lengths = [setting for setting in SETTINGS if setting.kind is Kind.LENGTH]
    assert {"timeout", "patience", "drain-seconds"} < {setting.name for setting in lengths}
    file = tmp_path / "config.toml"
    for setting in lengths:
        assert (
            converted(setting, "1m") == converted(setting, "60") == converted(setting, 60) == 60.0
        )
        for written in ("60", "60.0", '"60"', '"1m"'):
            file.write_text(f"[{setting.section}]\n{setting.key} = {written}\n")
            assert read_settings(file) == {setting: 60.0}


def test_no_option_has_a_syntax_of_its_own_for_lengths() -> None:
    """Whatever takes seconds does so by one of the two types, and says LENGTH."""

    def below(command: click.Command) -> list[click.Command]:
        if not isinstance(command, click.Group):
            return [command]
        return [each for _, one in subcommands(command) for each in below(one)]

    words = {"timeout", "patience", "wait", "lease", "backoff", "bucket", "grace", "limit", "idle"}
    seen = set[str]()
    for command in below(main):
        for option in command.params:
            name = str(option.name)
            if isinstance(option, SettingOption) and option.setting.kind is Kind.LENGTH:
                assert option.metavar == "LENGTH"
                seen.add(name)
            elif isinstance(option.type, Length):
                seen.add(name)
            else:
                assert "second" not in name, command
                assert "SECONDS" not in str(option.metavar), command
                assert not isinstance(option.type, click.FloatRange) or name == "speed"
    assert words <= {part for name in seen for part in name.split("_")}


def test_lengths_of_a_call_are_the_same_on_the_line_and_in_the_environment(shell: Shell) -> None:
    assert shell.fails("inbox", "--as", "bob", "--wait", "0.01s")[0] == 7
    assert shell.within(DOVETAIL_TIMEOUT="1m").says("agent", "list", "--patience", "0")
    done = shell.within(DOVETAIL_TIMEOUT="soon").run("agent", "list")
    assert (done.exit_code, "'soon' is not a length of time: write 30" in done.error) == (2, True)
    done = shell.run("inbox", "--as", "bob", "--wait", "1m")
    assert (done.exit_code, "must be at most 50s, is 60s" in done.error) == (2, True)
    code, line = shell.fails("task", "start", "t1", "--lease", "0.25")
    assert (code, "must be 0.5 s to 1 h, is 0.25 s" in line) == (5, True)
