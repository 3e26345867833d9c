"""`dovetail team show`, `retention`, `limits`, `loops`, `compact`: what they print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

from cli.shell import Shell
from store.opened import migrated
from support.processes import ServerProcess


def test_what_a_team_keeps_is_shown_and_set(shell: Shell) -> None:
    shell.says("send", "--as", "alice", "bob", "hello")
    shell.says("task", "create", "--as", "alice", "a task")
    shown = shell.says("team", "show", shell.team)
    for part in (
        "messages          1, ",
        "unacknowledged    1",
        "tasks             1, 1 of them open",
        "for 30 d 0 h (the servers' default)",
        "ended tasks       for ever",
        "inbox messages    none",
    ):
        assert part in shown, shown
    said = shell.says(
        *("team", "retention", shell.team, "--messages", "30d", "--messages-count", "10k"),
        *("--notices", "forever", "--attempts-count", "20"),
    )
    assert "messages          for 30 d 0 h, at most the newest 10,000 once acknowledged" in said
    assert "notices           for ever\n" in said
    assert "attempts          the newest 20 of each task" in said
    rest = shell.says("team", "retention", shell.team, "--messages", "default")
    assert "messages          the newest 10,000" in rest
    (team,) = shell.json("team", "limits", shell.team, "--inbox-messages", "5", "--bytes", "1G")
    assert team["limits"] == {"inbox_messages": 5, "bytes": 1_000_000_000}
    assert team["retention"]["message_count"] == 10_000
    assert team["figures"]["messages"] == 1
    limited = shell.says("team", "limits", shell.team, "--inbox-messages", "1")
    assert "inbox messages    1\n" in limited
    code, line = shell.fails("send", "--as", "alice", "bob", "again")
    assert code == 1
    assert "the inbox of 'bob' is full: 1 of 1 messages are used" in line
    (team,) = shell.json("team", "loops", shell.team, "--hops", "none", "--away", "15m")
    assert team["loop_limits"] == {"hops_max": 0, "away_max": "900s"}
    said = shell.says("team", "loops", shell.team, "--hops", "64", "--away", "default")
    assert "hops              64\n" in said
    assert "away              as the servers are configured\n" in said
    assert "inbox messages    none" in shell.says(
        "team", "limits", shell.team, "--inbox-messages", "none", "--bytes", "none"
    )


def test_rules_that_cannot_be_are_refused_before_a_call(shell: Shell) -> None:
    for words, says in (
        (("retention", "x"), "name what to set, such as --messages 30d"),
        (("limits", "x"), "name what to set, such as --inbox-messages 1000"),
        (("loops", "x"), "name what to set, such as --hops 64"),
        (("retention", "x", "--messages", "soon"), "is not a length of time"),
        (("limits", "x", "--bytes", "-1"), "is not a number from 1"),
    ):
        code, line = shell.fails("team", *words)
        assert (code, says in line) == (2, True), line
    code, line = shell.fails("team", "retention", shell.team, "--messages", "1m")
    assert (code, "must be 0 (for ever), or 1 h to 36,500 days" in line) == (5, True), line


def test_a_store_is_compacted_while_no_server_uses_it(
    shell: Shell, servers: tuple[ServerProcess, ServerProcess], tmp_path: Path
) -> None:
    with migrated(f"sqlite:///{tmp_path}/dovetail.db"):
        pass
    here = shell.within(DOVETAIL_DATA_DIR=str(tmp_path))
    assert " bytes before, " in here.says("compact")
    (facts,) = here.json("compact")
    assert facts["bytes"] == facts["bytes_before"] == (tmp_path / "dovetail.db").stat().st_size
    for store, says in (
        (str(tmp_path / "none.db"), "there is no store at"),
        ("postgresql://x/y", "VACUUM FULL"),
        (servers[0].store_url, "stop them first"),
    ):
        done = here.run("compact", "--store", store, "--json")
        assert done.exit_code == 1
        assert says in json.loads(done.error)["error"]["message"]
