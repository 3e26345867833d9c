"""`dovetail message seen`, and what `message show` says of receipts."""

from __future__ import annotations

from cli.shell import Shell


def test_a_message_that_was_seen_is_shown_so_and_stays_in_the_inbox(shell: Shell) -> None:
    shell.says("send", "--as", "alice", "bob", "one")
    shell.says("send", "--as", "alice", "bob", "two")
    bob = shell.within(DOVETAIL_AGENT="bob")
    assert bob.says("message", "seen", "1") == "seen 1\n"
    assert bob.json("message", "seen", "1,2") == [{"seen_count": 1}]
    assert bob.says("message", "seen", "1", "2", "--brief") == "0 seen\n"
    assert "#1 (seen)" in bob.says("inbox")
    assert bob.json("inbox")[0]["receipt"]["state"] == "seen"
    (record,) = shell.json("message", "show", "m1")
    assert record["receipts"][0]["state"] == "seen"
    assert "see_time" in record["receipts"][0]
    assert "to bob #1: seen " in shell.says("message", "show", "m1")
    bob.says("acknowledge", "1")
    shown = shell.says("message", "show", "m1")
    assert "to bob #1: acknowledged " in shown
    assert ", seen " in shown


def test_sequences_must_be_named_and_reached(shell: Shell) -> None:
    shell.says("send", "--as", "alice", "bob", "one")
    assert shell.fails("message", "seen", "--as", "bob")[0] == 2
    code, error = shell.fails("message", "seen", "--as", "bob", "2")
    assert code == 4, error
    assert "1" in error
    code, error = shell.fails("message", "seen", "1")
    assert "--as" in error
