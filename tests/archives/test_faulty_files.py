"""Archives that are wrong: each says in which line, and nothing of it stays in the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archives.edited import Line, bring, export, lines_of, seal
from dovetail.server.archives import importing, lines
from dovetail.server.main import FaultyFileError
from dovetail.server.store.moving import places
from dovetail.server.store.moving.reading import is_empty
from support.pair import running_pair
from support.teams import Team


@pytest.fixture(scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one team with two messages and a task."""
    folder = tmp_path_factory.mktemp("small")
    url = f"sqlite:///{folder}/small.db"
    async with running_pair(url) as pair:
        ann, _ = await Team(pair, "crew").known("ann", "bob")
        await ann.send("bob", body="one")
        await ann.send("bob", body="two")
        await ann.made(task_id="x", depends_on=[])
    export(url, folder / "small")
    return folder / "small"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that stays empty."""
    return f"sqlite:///{tmp_path_factory.mktemp('target')}/target.db"


def row(found: list[Line], table: str, number: int = 0) -> dict[str, Any]:
    """A row of a table."""
    return [line[table] for line in found if table in line][number]


def line_number(found: list[Line], table: str, number: int = 0) -> int:
    return found.index({table: row(found, table, number)}) + 1


def moved_up(found: list[Line]) -> None:
    """Deliveries before the messages that they refer to."""
    found.insert(2, found.pop(line_number(found, "deliveries") - 1))


WRONG: dict[str, tuple[Callable[[list[Line]], object], str]] = {
    "no header": (lambda f: f.pop(0), r"line 1: must be the header of a file that dovetail export"),
    "format": (lambda f: f[0]["header"].update(format=2), r"header\.format: must be 1, is 2"),
    "schema": (
        lambda f: f[0]["header"]["schema"].append("0999_later"),
        r"header\.schema: is of a newer release \(it has 0999_later\)",
    ),
    "header field": (
        lambda f: f[0]["header"].update(team_ids="crew"),
        r'header\.team_ids: must be a list of texts, is "crew"',
    ),
    "header flag": (
        lambda f: f[0]["header"].pop("has_credentials"),
        r"header\.has_credentials: must be true or false, is null",
    ),
    "unknown column": (
        lambda f: f[0]["header"]["columns"]["tasks"].append("colour"),
        r"header\.columns\.tasks: must name columns of the table, and its key; has colour",
    ),
    "no key": (
        lambda f: f[0]["header"]["columns"]["tasks"].remove("task_id"),
        r"header\.columns\.tasks: must name columns .* has no task_id",
    ),
    "unknown table in header": (
        lambda f: f[0]["header"]["columns"].update(cars=[]),
        r"header\.columns: must name tables, has 'cars'",
    ),
    "unknown table": (
        lambda f: f.insert(3, {"cars": {}}),
        r"line 4: must be a row of teams, .*'cars'",
    ),
    "row": (lambda f: f.insert(3, {"tasks": 7}), r"line 4: tasks: must be an object"),
    "field": (
        lambda f: row(f, "tasks").update(colour="red"),
        r"line \d+: tasks\.colour: is no column of the header",
    ),
    "time": (
        lambda f: row(f, "messages").update(create_time="soon"),
        r'messages\.create_time: must be a time such as .*, is "soon"',
    ),
    "missing": (lambda f: row(f, "agents").pop("labels"), r"line 3: agents\.labels: must be there"),
    "payload": (
        lambda f: row(f, "messages", 1)["payload"].update(importance="GREAT"),
        r"messages\.payload: must be a dovetail\.messaging\.v1\.Message: .*importance",
    ),
    "strange team": (
        lambda f: row(f, "tasks").update(team_id="other"),
        r"tasks\.team_id: must be a team of the header, is 'other'",
    ),
    "twice": (
        lambda f: f.insert(4, f[3]),
        r"line 5: agents: the row is not taken: UNIQUE constraint failed",
    ),
    "order": (moved_up, r"line 3: deliveries: the row is not taken: FOREIGN KEY constraint failed"),
    "no reference": (
        lambda f: row(f, "deliveries", 1).update(message_number="9"),
        r"deliveries: the row is not taken: FOREIGN KEY constraint failed",
    ),
    "counters": (
        lambda f: row(f, "agents", 1).update(last_sequence="7"),
        r"its rows do not agree with each other: inbox counters do not agree .*bob",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_line_that_is_wrong_is_named_and_nothing_stays(
    small: Path, url: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BITE_ROWS", 3)
    change, said = WRONG[name]
    found = lines_of(small)
    change(found)
    file = seal(found, tmp_path / "wrong")
    with pytest.raises(FaultyFileError, match=said) as refused:
        bring(url, file)
    assert str(refused.value).startswith(f"{file}: ")
    if Path(url.removeprefix("sqlite:///")).exists():
        with places.opened(url) as place:
            assert is_empty(place)
            assert "unfinished_move" not in place.tables()


CUT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "half a line": (lambda whole: whole[:-9], "must be the footer: the file was cut off"),
    "no footer": (
        lambda whole: b"".join(whole.splitlines(keepends=True)[:-1]),
        "must be the footer: the file was cut off",
    ),
    "empty": (lambda whole: b"", r"line 1: must be an object in JSON"),
    "changed": (lambda whole: whole.replace(b'"one"', b'"won"'), r"footer\.sha256: .* was changed"),
    "no text": (lambda whole: b"\xff" + whole, r"line 1: must be an object in JSON"),
    "not finite": (
        lambda whole: b'{"x": NaN}\n' + whole,
        r"line 1: must be an object in JSON: NaN",
    ),
    "two names": (lambda whole: b'{"x":1,"y":2}\n' + whole, "must be an object with one name"),
    "counts": (
        lambda whole: whole.replace(b'"tasks":"1"', b'"tasks":"2"'),
        r"footer\.rows: must be \d+ in all",
    ),
    "number": (
        lambda whole: whole.replace(b'"tasks":"1"', b'"tasks":"x"'),
        r'footer\.rows\.tasks: must be a number, is "x"',
    ),
    "footer": (
        lambda whole: whole.replace(b'"footer":{"rows":{', b'"footer":{"rows":7,"r":{'),
        r"footer\.rows: must be an object",
    ),
    "long": (lambda whole: b" " * 5_000 + whole, r"line 1: must have less than 4,096 bytes"),
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_was_cut_or_changed_is_known_before_anything_is_written(
    small: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "long":
        monkeypatch.setattr(importing, "LINE_BYTES_MAX", 4_096)
    change, said = CUT[name]
    file = tmp_path / "cut"
    file.write_bytes(change(small.read_bytes()))
    with pytest.raises(FaultyFileError, match=said):
        bring(f"sqlite:///{tmp_path}/none.db", file)
    assert not (tmp_path / "none.db").exists()


def test_a_pipe_is_refused_since_it_is_read_twice(tmp_path: Path) -> None:
    with pytest.raises(FaultyFileError, match="must be a file, which is read twice"):
        bring(f"sqlite:///{tmp_path}/none.db", tmp_path)


def test_json_of_other_programs_is_taken(small: Path, tmp_path: Path) -> None:
    found = lines_of(small)
    row(found, "messages")["payload"] = "CgJtMQ=="
    file = seal(found, tmp_path / "other")
    assert b'": ' in file.read_bytes()
    bring(f"sqlite:///{tmp_path}/x.db", file)
    again = export(f"sqlite:///{tmp_path}/x.db", tmp_path / "again")
    assert json.loads(again[line_number(found, "messages") - 2])["messages"]["payload"] == {
        "message_id": "m1"
    }
    assert lines.LINE_BYTES_MAX > 6 * 2**20
