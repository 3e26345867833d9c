"""`dovetail agent`, `send`, `inbox`, `acknowledge`, `message`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections import Counter

from cli.shell import PROGRAM, Shell, read_json
from support.children import SECONDS, child


def bodies(lines: list[dict]) -> list[str]:
    return [line["message"]["body"] for line in lines]


def test_an_agent_registers_and_is_listed_and_shown(shell: Shell):
    words = ("agent", "register", "carol", "--name", "Carol C.", "--label", "role=writer")
    assert "Carol C." in shell.says(*words)
    assert [line["agent_id"] for line in shell.json("agent", "list")] == ["alice", "bob", "carol"]
    assert [line["agent_id"] for line in shell.json("agent", "list", "--label", "role=writer")] == [
        "carol"
    ]
    assert shell.json("agent", "show", "carol")[0]["labels"] == {"role": "writer"}
    assert "role=writer" in shell.says("agent", "show", "--as", "carol")


def test_an_agent_with_an_id_beyond_ascii_talks(shell: Shell):
    shell.says("send", "--as", "Zoë (→ 北京)", "bob", "hi")
    assert "Zoë (→ 北京) → bob" in shell.says("inbox", "--as", "bob")


def test_a_message_that_is_sent_is_in_the_inbox_with_all_that_was_said(shell: Shell):
    printed = shell.says(
        *("send", "--as", "alice", "alice", "bob", "two\nlines", "--subject", "About it"),
        *("--importance", "high", "--label", "a=b", "--thread", "talk", "--data", '{"n": 1.5}'),
    )
    assert "to alice #1, bob #1 (thread talk)" in printed
    printed = shell.says("inbox", "--as", "bob")
    for part in ("#1", "alice → alice, bob", "About it", "    two\n    lines", "high", "a=b"):
        assert part in printed
    message = shell.json("inbox", "--as", "bob")[0]["message"]
    assert message["data"] == {"n": 1.5}
    assert message["importance"] == "high"
    assert message["labels"] == {"a": "b"}


def test_a_text_is_read_from_standard_input(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "-", typed="from a pipe\n")
    assert bodies(shell.json("inbox", "--as", "bob")) == ["from a pipe\n"]


def test_a_long_line_is_not_broken_in_a_pipe(shell: Shell):
    text = "word " * 5_000 + "end"
    shell.says("send", "--as", "alice", "bob", text)
    assert text in shell.says("inbox", "--as", "bob", "--max-chars", "0")


def test_a_reply_stands_in_the_thread_of_what_it_answers(shell: Shell):
    sent = shell.json("send", "--as", "alice", "bob", "question")[0]
    reply = shell.json("send", "--as", "bob", "alice", "x", "--reply-to", sent["message_id"])[0]
    assert reply["thread_id"] == sent["thread_id"]


def test_what_led_to_a_message_may_be_named(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "look into this")
    shell.says("send", "--as", "bob", "alice", "done", "--cause", "1")
    assert shell.json("inbox", "--as", "alice")[0]["message"]["hop_count"] == 1
    assert "sequence 9" in shell.fails("send", "--as", "bob", "alice", "x", "--cause", "9")[1]


def test_a_repeated_request_id_sends_once(shell: Shell):
    words = ("send", "--as", "alice", "bob", "once", "--request-id", "r1")
    assert shell.json(*words) == shell.json(*words)
    assert bodies(shell.json("inbox", "--as", "bob")) == ["once"]


def test_an_inbox_shows_what_is_not_acknowledged(shell: Shell):
    for text in ("one", "two", "three"):
        shell.says("send", "--as", "alice", "bob", text)
    assert "acknowledged 1, 2 are left" in shell.says("acknowledge", "--as", "bob", "2")
    assert bodies(shell.json("inbox", "--as", "bob")) == ["one", "three"]
    assert bodies(shell.json("inbox", "--as", "bob", "--all")) == ["one", "two", "three"]
    assert bodies(shell.json("inbox", "--as", "bob", "--all", "--after", "1", "--limit", "1")) == [
        "two"
    ]
    assert bodies(shell.json("inbox", "bob")) == ["one", "three"]
    answer = shell.json("acknowledge", "--as", "bob", "--through", "3")
    assert answer == [{"acknowledged_count": 2}]
    assert "nothing unacknowledged" in shell.says("inbox", "--as", "bob")
    assert shell.json("inbox", "--as", "bob") == []


def test_an_inbox_acknowledges_exactly_what_it_printed(shell: Shell):
    for text in ("one", "two", "three"):
        shell.says("send", "--as", "alice", "bob", text)
    assert bodies(shell.json("inbox", "--as", "bob", "--ack", "--limit", "2")) == ["one", "two"]
    assert bodies(shell.json("inbox", "--as", "bob", "--ack")) == ["three"]
    assert shell.json("inbox", "--as", "bob") == []


def test_an_inbox_is_followed_and_acknowledged_until_it_is_interrupted(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "before")
    command = [*PROGRAM, "inbox", "--as", "bob", "--follow", "--ack", "--json"]
    with child(command, stdout=subprocess.PIPE, env=shell.environment) as following:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        shell.says("send", "--as", "alice", "bob", "after")
        second = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        assert following.stdout.read() == ""
        assert following.wait(SECONDS) == 130
    assert bodies([first, second]) == ["before", "after"]
    assert first["receipt"]["sequence"] == 1


def test_an_inbox_is_followed_through_a_limit(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "one")
    assert "one" in shell.says("inbox", "--as", "bob", "--follow", "--limit", "1")


def test_what_others_wrote_cannot_act_on_the_terminal(shell: Shell):
    evil = "\x1b[2J [bold]not markup[/bold] \u202e :smile:"
    shell.says("send", "--as", "alice", "bob", evil, "--subject", "\x1b]0;title\x07")
    printed = shell.says("inbox", "--as", "bob")
    assert r"\u001b[2J [bold]not markup[/bold] \u202e :smile:" in printed
    assert r"\u001b]0;title\u0007" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    printed = shell.says("inbox", "--as", "bob", "--json")
    assert r"\u001b[2J [bold]not markup[/bold] \u202e :smile:" in printed
    assert bodies(read_json(printed)) == [evil]


def test_a_terminal_gets_colours_unless_it_wants_none(shell: Shell):
    def on_terminal(**environment: str) -> bytes:
        ours, theirs = pty.openpty()
        subprocess.run(
            [*PROGRAM, "agent", "list"],
            stdout=theirs,
            env=shell.environment | {"TERM": "xterm"} | environment,
            check=True,
            timeout=60,
        )
        os.close(theirs)
        printed = os.read(ours, 10_000)
        os.close(ours)
        return printed

    assert b"\x1b[36m" in on_terminal()
    assert b"\x1b[36m" not in on_terminal(NO_COLOR="1")


def test_a_terminal_without_the_letters_gets_their_numbers(shell: Shell):
    done = subprocess.run(
        [*PROGRAM, "agent", "register", "Zoë"],
        capture_output=True,
        env=shell.environment | {"PYTHONIOENCODING": "ascii"},
        check=True,
        timeout=60,
    )
    assert rb"Zo\xeb" in done.stdout


def test_a_message_is_shown_with_what_became_of_it(shell: Shell):
    sent = shell.json("send", "--as", "alice", "bob", "alice", "x", "--thread", "t")[0]
    shell.says("acknowledge", "--as", "bob", "1")
    printed = shell.says("message", "show", sent["message_id"])
    assert "to bob #1: acknowledged 2" in printed
    assert "to alice #1: unacknowledged" in printed
    receipts = shell.json("message", "show", sent["message_id"])[0]["receipts"]
    assert [receipt["recipient_id"] for receipt in receipts] == ["bob", "alice"]


def test_the_receipts_of_many_recipients_are_listed_by_an_option(shell: Shell):
    agents = [f"agent-{number:02}" for number in range(12)]
    for agent in agents:
        shell.says("agent", "register", agent)
    message_id = shell.json("send", "--as", "alice", *agents, "x", "--thread", "t")[0]["message_id"]
    shell.says("acknowledge", "--as", "agent-11", "1")
    command = ("message", "show", "--receipts", message_id)

    printed = shell.says("message", "show", message_id)
    assert printed.count(" #1: ") == 10
    assert f"and 2 more: dovetail {' '.join(command)}\n" in printed
    for listing in (("thread", "t"), ("message", "list")):
        assert f"and 2 more: dovetail {' '.join(command)}\n" in shell.says(*listing)

    (record,) = shell.json("message", "show", message_id)
    assert record["message"]["recipient_count"] == 12
    assert [each["recipient_id"] for each in record["receipts"]] == agents[:10]

    head, *rows = shell.says(*command).splitlines()
    assert head == "recipient\tsequence\tstate"
    assert [row.split()[:3] for row in rows[:11]] == [
        [agent, "1", "unacknowledged"] for agent in agents[:11]
    ]
    assert [row.split()[:3] for row in rows[11:]] == [["agent-11", "1", "acknowledged"]]
    receipts = shell.json(*command)
    assert [(each["recipient_id"], each["sequence"]) for each in receipts] == [
        (agent, 1) for agent in agents
    ]
    states = {"unacknowledged": 11, "acknowledged": 1}
    assert Counter(each["state"] for each in receipts) == states
    assert shell.fails("message", "show", "--receipts", "m99")[0] == 3


def test_messages_are_listed_by_what_they_are(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "one", "--thread", "t")
    shell.says("send", "--as", "bob", "alice", "two", "--label", "a=b")

    def found(*words: str) -> list[str]:
        return bodies(shell.json("message", "list", *words))

    assert found() == ["one", "two"]
    newest = shell.run("message", "list", "--newest", "--limit", "1", "--json")
    assert bodies(read_json(newest.out)) == ["two"]
    assert "--page-token" in newest.error
    assert found("--to", "alice") == ["two"]
    assert found("--from", "alice") == ["one"]
    assert found("--thread", "t") == ["one"]
    assert found("--label", "a=b") == ["two"]
    assert "no messages" in shell.says("message", "list", "--thread", "none")
    assert "alice → bob" in shell.says("message", "list")


def test_failures_say_what_is_wrong_and_what_to_do(shell: Shell):
    code, line = shell.fails("send", "--as", "alice", "bobb", "x")
    assert code == 3
    assert 'agent "bobb" is not known here' in line
    assert "[AGENT_NOT_FOUND]. Did you mean bob? All: dovetail agent list" in line
    code, line = shell.fails("agent", "show", "nobody")
    assert (code, "[AGENT_NOT_FOUND]. See all agents: dovetail agent list" in line) == (3, True)
    assert shell.fails("inbox", "nobody")[0] == 3
    assert shell.fails("message", "show", "m99")[0] == 3
    code, line = shell.fails("send", "bob", "x")
    assert (code, "--as AGENT" in line) == (5, True)
    code, line = shell.fails("send", "--as", "alice", "bob", "x", "--subject", "s" * 513)
    assert (code, "--subject: must have 0 to 512 characters" in line) == (5, True)
    code, line = shell.fails("acknowledge", "--as", "bob", "--through", "7")
    assert (code, "[CURSOR_IN_FUTURE]" in line) == (4, True)


def test_a_wrong_command_line_is_explained(shell: Shell):
    for words in (
        ("inbox",),
        ("acknowledge", "--as", "bob"),
        ("send", "--as", "alice", "bob"),
        ("send", "--as", "alice", "bob", "x", "--label", "nothing"),
        ("send", "--as", "alice", "bob", "x", "--data", "[1]"),
        ("send", "--as", "alice", "bob", "x", "--data", "{"),
    ):
        done = shell.run(*words)
        assert (done.exit_code, done.out) == (2, "")
        assert done.error.startswith("dovetail: ")
