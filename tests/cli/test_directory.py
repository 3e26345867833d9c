"""`dovetail group`, `send --to-group`, `agent update` and `remove`; presence as it is shown."""

from __future__ import annotations

from cli.shell import Shell


def test_a_group_is_made_shown_listed_and_deleted(shell: Shell):
    words = ("group", "put", "crew", "bob", "alice", "--name", "The crew", "--label", "k=v")
    assert shell.says(*words, "--as", "alice") == (
        "crew  2 members  The crew\n    alice, bob\n    by alice, k=v\n"
    )
    assert shell.json("group", "show", "crew")[0]["agent_ids"] == ["alice", "bob"]
    shell.says("group", "put", "empty")
    rows = shell.says("group", "list").splitlines()
    assert [row.split("\t")[:4] for row in rows] == [
        ["group", "members", "name", "by"],
        ["crew", "2", "The crew", "alice"],
        ["empty", "0", "", "-"],
    ]
    assert [each["group_id"] for each in shell.json("group", "list", "--member", "bob")] == ["crew"]
    assert [each["group_id"] for each in shell.json("group", "list", "--label", "k=v")] == ["crew"]
    assert shell.says("group", "show", "crew", "--brief") == "crew 2 members: alice, bob\n"
    stale = shell.run("group", "put", "crew", "bob", "--etag", "v1")
    assert "Read it again: dovetail group show crew" in stale.error
    assert shell.says("group", "delete", "empty") == "deleted empty\n"
    assert shell.json("group", "delete", "crew") == [{"group_id": "crew"}]
    gone = shell.run("group", "delete", "crew")
    assert (gone.exit_code, "there is no group 'crew'" in gone.error) == (3, True)
    assert shell.says("group", "list") == "no groups\n"


def test_a_message_is_sent_to_a_group_and_says_so(shell: Shell):
    shell.says("group", "put", "crew", "alice", "bob")
    assert "to bob #1 (thread m1)" in shell.says("send", "--as", "alice", "--to-group", "crew", "x")
    assert "m1 · thread m1 · to group crew" in shell.says("inbox", "--as", "bob")
    both = shell.json("send", "--as", "alice", "alice", "--to-group", "crew", "y")[0]
    assert [each["recipient_id"] for each in both["receipts"]] == ["alice", "bob"]
    assert "group=crew" in shell.says("inbox", "--as", "bob", "--for-llm")
    nobody = shell.run("send", "--as", "alice", "x")
    assert (nobody.exit_code, "Missing argument 'TO...'" in nobody.error) == (2, True)
    near = shell.run("send", "--as", "alice", "--to-group", "crews", "x")
    assert near.exit_code == 3
    assert "Did you mean crew? All: dovetail group list" in near.error
    shell.says("group", "put", "none")
    empty = shell.run("send", "--as", "alice", "--to-group", "none", "x")
    assert "Name agents too, or add members: dovetail group put" in empty.error


def test_an_agent_is_updated(shell: Shell):
    shell.says("agent", "register", "carol", "--kind", "model", "--label", "a=1")
    changed = shell.json("agent", "update", "carol", "--name", "Carol", "--kind", "service")[0]
    assert (changed["display_name"], changed["kind"]) == ("Carol", "service")
    assert changed["labels"] == {"a": "1"}
    cleared = shell.json("agent", "update", "carol", "--no-labels", "--etag", changed["etag"])[0]
    assert "labels" not in cleared
    stale = shell.run("agent", "update", "carol", "--name", "x", "--etag", changed["etag"])
    assert "Read it again: dovetail agent show carol" in stale.error
    for wrong in (("--no-labels", "--label", "a=1"), (), ("--kind", "robot")):
        assert shell.run("agent", "update", "carol", *wrong).exit_code == 2


def test_an_agent_is_removed_and_its_senders_are_told(shell: Shell):
    shell.says("group", "put", "crew", "bob")
    shell.says("send", "--as", "alice", "bob", "hello")
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob", "--id", "t9")
    busy = shell.run("agent", "remove", "bob")
    assert busy.exit_code == 4
    assert "See its tasks: dovetail task list --assignee bob" in busy.error
    shell.says("task", "unassign", "t9", "--quiet")
    said = shell.says("agent", "remove", "bob")
    assert said == (
        "removed bob: unread messages that stay in its inbox: 2; told: 1 sender; it left 1 group\n"
    )
    assert "Message m1 will not be read by bob" in shell.says("inbox", "--as", "alice")
    assert shell.run("inbox", "--as", "bob").exit_code == 3
    assert "it was removed" in shell.run("send", "--as", "alice", "bob", "x").error
    assert [each["agent_id"] for each in shell.json("agent", "list")] == ["alice"]
    assert "removed 20" in shell.says("agent", "list", "--removed")
    assert "bob 2 unread removed" in shell.says("agent", "list", "--removed", "--brief")


def test_a_mistyped_name_that_only_reads_gets_no_inbox(shell: Shell):
    for words in (("inbox",), ("inbox", "--follow"), ("inbox", "--wait", "1"), ("watch",)):
        done = shell.run(*words, "--as", "alicce")
        assert done.exit_code == 3, words
        assert "Did you mean alice?" in done.error, words
    assert [each["agent_id"] for each in shell.json("agent", "list")] == ["alice", "bob"]
