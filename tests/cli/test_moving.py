"""`dovetail export`, `import` and `store copy`: what they print, write and refuse."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

from cli.shell import PROGRAM, Shell
from dovetail.server.store.moving import unfinished
from dovetail.server.store.moving.places import opened, prepare
from dovetail.server.store.moving.unfinished import Unfinished


def test_a_store_is_written_as_lines_read_again_and_copied(shell: Shell, tmp_path: Path) -> None:
    first = str(tmp_path / "first.db")
    prepare(f"sqlite:///{first}")
    with opened(f"sqlite:///{first}") as place, place.writing():
        columns = "team_id, last_message, last_task, last_event, last_time"
        for team_id in ("crew", "é"):
            place.run(f"INSERT INTO teams ({columns}) VALUES (?, 0, 0, 0, 0)", (team_id,))
    file, second = tmp_path / "lines", str(tmp_path / "second.db")
    said = shell.says("export", str(file), "--store", first)
    assert said == f"{file} written: 2 teams, 0 agents, 0 messages, 0 tasks, 2 rows\n"
    (facts,) = shell.json("export", str(tmp_path / "é"), "--store", first, "--team", "é")
    assert (facts["teams"], facts["rows"], len(facts["sha256"])) == (1, 1, 64)
    lines = shell.says("export", "-", "--store", first, "--team", "é").splitlines()
    assert json.loads(lines[1])["teams"]["team_id"] == "é"
    assert json.loads(lines[-1])["footer"]["rows"] == {"teams": "1"}
    said = shell.says("import", str(file), "--store", second, "--team", "é")
    assert said.startswith(f"{file} imported: start the servers: 1 teams, 0 agents,")
    (facts,) = shell.json("store", "copy", second, str(tmp_path / "third.db"))
    assert (facts["target"], facts["rows"]) == (f"sqlite:///{tmp_path}/third.db", 1)
    assert (facts["passes"], facts["written"]) == (2, 1)
    refused = (
        (4, "is there already: name a new file", "export", str(file), "--store", first),
        (3, "has no team 'x'; it has crew, é", "export", "-", "--store", first, "--team", "x"),
        (5, "line 1: must be an object in JSON", "import", first, "--store", second),
        (2, "Missing argument 'FILE'", "import", "--store", second),
        (2, "--undo takes no FILE", "import", str(file), "--undo", "--store", second),
        (2, "there is no folder", "import", str(file), "--store", str(tmp_path / "x" / "y")),
        (1, "No such file or directory", "export", str(tmp_path / "x" / "y"), "--store", first),
        (1, "no store of the kind 'mysql'", "store", "copy", first, "mysql://x/y"),
    )
    for code, text, *words in refused:
        found, line = shell.fails(*map(str, words))
        assert (found, text in line) == (code, True), line
    done = shell.run("store", "copy", first, "postgresql://me:secret@127.0.0.1:1/x")
    assert (done.exit_code, "secret" in done.error) == (1, False)
    assert "the password in TO can be read by other users" in done.error


def test_an_unfinished_import_is_undone_and_shown_by_doctor(shell: Shell, tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    prepare(f"sqlite:///{store}")
    for kind in (unfinished.COPY, unfinished.IMPORT):
        with opened(f"sqlite:///{store}") as place, place.writing():
            unfinished.begin(place, Unfinished(kind=kind, source="the source", team_ids=["x"]))
        done = shell.run("doctor", "--store", store)
        assert f"a part of what is moved here ({kind} of the source)" in done.out
        code, line = shell.fails("serve", "messaging", "--store", store, "--listen", "127.0.0.1:0")
        assert (code, "holds only a part of what is moved there. Go on with" in line) == (1, True)
        if kind == unfinished.COPY:
            code, line = shell.fails("import", "--undo", "--store", store)
            assert (code, "by dovetail store copy: remove it" in line) == (4, True)
            with opened(f"sqlite:///{store}") as place, place.writing():
                unfinished.end(place)
    said = shell.says("import", "--undo", "--store", store)
    assert said == "the unfinished import of the source is removed\n"
    prepare(f"sqlite:///{store}")


def test_a_bar_shows_how_far_it_is_where_somebody_looks_on(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    prepare(f"sqlite:///{store}")
    screen, terminal = pty.openpty()
    words = [*PROGRAM, "export", str(tmp_path / "lines"), "--store", store]
    done = subprocess.run(words, stderr=terminal, stdout=subprocess.PIPE, check=True)
    os.close(terminal)
    shown = os.read(screen, 100_000).decode()
    os.close(screen)
    assert "exporting" in shown
    assert b"written" in done.stdout
