"""Export and import: equal content, whole or by team, after a kill too; and what is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from archives.edited import bring, export, ignore, lines_of, rows_of, seal
from dovetail.server.archives import importing
from dovetail.server.main import (
    ImportRequest,
    MoveRefusedError,
    NotThereError,
    StoreOpenError,
    check_store,
    import_file,
    new_file,
    undo_import,
)
from dovetail.server.store.moving import places
from dovetail.server.store.moving.errors import ServedError
from dovetail.server.store.moving.reading import is_empty
from dovetail.server.store.store import Store
from support.databases import empty_database
from support.everything import TEAM_IDS, fill
from support.pair import running_pair
from support.teams import Team


@pytest.fixture(scope="module")
async def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a store with everything."""
    folder = tmp_path_factory.mktemp("full")
    await fill(f"sqlite:///{folder}/full.db", folder)
    export(f"sqlite:///{folder}/full.db", folder / "full")
    return folder / "full"


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """Where there is no store yet, on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/target.db"
    else:
        with empty_database(str(request.getfixturevalue("postgres"))) as url:
            yield url


def failed_checks(url: str) -> list[str]:
    return [each.text for each in check_store(url) if each.level == "fail"]


def die_after(bites: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an import end as by Ctrl-C, when it has committed so many small bites."""
    monkeypatch.setattr(importing, "BITE_ROWS", 40)
    monkeypatch.setattr(importing, "PROGRESS_LINES", 40)

    def step(what: str, done: int, total: int) -> None:
        nonlocal bites
        del done, total
        if what == "importing":
            bites -= 1
            if bites < 0:
                raise KeyboardInterrupt

    monkeypatch.setattr("archives.edited.ignore", step)


async def test_an_import_gives_back_what_was_exported_after_a_kill_too(
    full: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            bring(target, full)
        with places.opened(target) as place:
            assert not is_empty(place)
        with pytest.raises(StoreOpenError, match=r"holds only a part .* dovetail import"):
            Store(target)
        assert any("a part of what is moved here" in each for each in failed_checks(target))
        with pytest.raises(MoveRefusedError, match="is not whole"):
            export(target, tmp_path / "part")
        with pytest.raises(MoveRefusedError, match="holds a part of something else"):
            bring(target, full, TEAM_IDS[0])
    found = bring(target, full)
    assert found.resumed
    assert set(found.team_ids) == {"red", *TEAM_IDS}
    assert export(target, tmp_path / "again") == rows_of(full)
    assert failed_checks(target) == []
    with pytest.raises(MoveRefusedError, match="is not empty, and credentials of two stores"):
        bring(target, full)
    async with running_pair(target) as pair:
        bob = Team(pair, TEAM_IDS[1]).caller("bob")
        assert len(await bob.received()) == len(await bob.backlog()) + 1
        with pytest.raises(ServedError, match=r"use the store at .*: stop all of them first"):
            bring(target, full, "red")


def test_teams_come_without_credentials_into_a_store_that_has_others(
    full: Path, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = TEAM_IDS
    assert list(bring(target, full, first).team_ids) == [first]
    assert {*bring(target, full, second, "red").team_ids} == {second, "red"}
    whole = export(target, tmp_path / "whole")
    assert whole == [line for line in rows_of(full) if _is_of_a_team(line)]
    assert failed_checks(target) == []
    one = export(target, tmp_path / "one", second)
    assert one == [line for line in whole if f'"team_id":"{second}"' in line]
    other = f"sqlite:///{tmp_path}/other.db"
    assert bring(other, tmp_path / "whole").rows["teams"] == 3
    with pytest.raises(MoveRefusedError, match="has the team 'crew' already, and teams are not"):
        bring(target, full, "red", first)
    for url in (target, other):
        with pytest.raises(NotThereError, match="has no team 'nobody'; it has crew, red, Équipe"):
            export(url, tmp_path / "none", "nobody")
    with pytest.raises(NotThereError, match="there is no team 'nobody' in it; it has crew, red"):
        bring(other, full, "nobody")
    third = f"sqlite:///{tmp_path}/third.db"
    bring(third, full, "red")
    with monkeypatch.context() as patch:
        die_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            bring(third, full, first)
    assert undo_import(third) == str(full)
    assert export(third, tmp_path / "third") == [each for each in whole if '_id":"red"' in each]
    with pytest.raises(NotThereError, match="holds no import that has not ended"):
        undo_import(third)


def _is_of_a_team(line: str) -> bool:
    return not line.startswith('{"credentials"') and '"team_id":""' not in line


def test_a_column_that_an_older_archive_has_not_gets_its_default(
    full: Path, target: str, tmp_path: Path
) -> None:
    header, *lines = lines_of(full)
    header["header"]["columns"]["tasks"].remove("max_attempts")
    header["header"]["columns"]["deliveries"].remove("see_time")
    for line in lines:
        line.get("tasks", {}).pop("max_attempts", 0)
        line.get("deliveries", {}).pop("see_time", 0)
    bring(target, seal([header, *lines], tmp_path / "older"))
    export(target, tmp_path / "again")
    expected = [{**line} for line in lines[:-1]]
    for line in expected:
        if "tasks" in line:
            line["tasks"]["max_attempts"] = 5
    assert lines_of(tmp_path / "again")[1:-1] == expected


def test_a_file_is_new_private_and_there_only_when_it_is_whole(full: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(full.stat().st_mode) == 0o600
    file = tmp_path / "file"
    with pytest.raises(TypeError), new_file(file) as out:
        out.write(cast(Any, "text"))
    with new_file(file) as out:
        out.write(b"whole")
        with (
            pytest.raises(MoveRefusedError, match="being written by another process"),
            new_file(file),
        ):
            pass
    with pytest.raises(MoveRefusedError, match="is there already"), new_file(file):
        pass
    taken = tmp_path / "taken"
    with pytest.raises(MoveRefusedError, match="is there already"), new_file(taken) as out:
        taken.write_text("mine")
    assert (file.read_text(), taken.read_text()) == ("whole", "mine")
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]


def test_what_is_not_there_is_named(full: Path, tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(NotThereError, match="there is no store at"):
        export(nowhere, tmp_path / "x")
    with pytest.raises(NotThereError, match="there is no file"):
        bring(nowhere, tmp_path / "x")
    with pytest.raises(NotThereError, match="there is no store at"):
        undo_import(nowhere)
    (tmp_path / "other.db").touch()
    with pytest.raises(NotThereError, match="is no store of Dovetail"):
        export(f"sqlite:///{tmp_path}/other.db", tmp_path / "x")
    request = ImportRequest(url="postgresql://x:1/y", file=full, team_ids=(), progress=ignore)
    with pytest.raises(StoreOpenError, match="cannot be reached"):
        import_file(request)
