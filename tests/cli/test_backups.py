"""`dovetail backup` and `restore`: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path

from cli.shell import Shell
from store.opened import migrated


def test_a_store_is_copied_and_made_again(shell: Shell, tmp_path: Path) -> None:
    with migrated(f"sqlite:///{tmp_path}/dovetail.db"):
        pass
    here = shell.within(DOVETAIL_DATA_DIR=str(tmp_path))
    copy = tmp_path / "copy.db"
    said = here.says("backup", str(copy))
    assert said.startswith(f"{copy} written, and checked: 0 teams, 0 agents, 0 messages, 0 tasks,")
    code, line = here.fails("backup", str(copy))
    assert (code, "is there already: name a new file" in line) == (1, True)
    code, line = here.fails("restore", str(copy))
    assert (code, "move what is there away first" in line) == (1, True)
    (facts,) = here.json("restore", str(copy), "--store", str(tmp_path / "new.db"))
    assert facts == {"file": str(copy), "bytes": copy.stat().st_size}
    code, line = here.fails("backup", str(tmp_path / "none" / "x"))
    assert (code, "No such file or directory" in line) == (1, True)
    code, line = here.fails("backup", str(tmp_path / "x"), "--store", "postgresql://x/y")
    assert (code, "pg_dump" in line) == (1, True)
    done = here.run("restore", str(tmp_path / "x"), "--store", str(tmp_path / "y"), "--json")
    assert "there is no backup at" in json.loads(done.error)["error"]["message"]
