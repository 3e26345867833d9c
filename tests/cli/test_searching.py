"""`dovetail search` and `dovetail task search`."""

from __future__ import annotations

from cli.shell import Shell
from dovetail.cli.output import hits
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.types.v1 import types_pb2 as types


def test_messages_are_found_newest_first_with_the_place_of_the_hit(shell: Shell) -> None:
    shell.says("send", "--as", "alice", "bob", "the red ship\nsails", "--subject", "One")
    shell.says("send", "--as", "bob", "alice", "no vessel", "--subject", "Red ships")
    said = shell.says("search", "--as", "bob", "red", "ship*")
    first, second = said.index("m2  bob → alice"), said.index("m1  alice → bob")
    assert first < second
    assert "    subject: Red ships\n" in said
    assert "    body: the red ship sails" in said
    assert shell.says("search", "--as", "bob", '"ship sails"').count("alice → bob") == 1
    (hit,) = shell.json("search", "--as", "bob", "ship*", "--from", "alice", "--to", "bob")
    assert hit["record"]["message"]["body"] == "the red ship\nsails"
    assert hit["places"] == [
        {
            "field": "body",
            "excerpt": {
                "text": "the red ship\nsails",
                "characters": 18,
                "matches": [{"start": 8, "end": 12}],
            },
        }
    ]
    assert shell.says("search", "nothing", "such") == "no messages\n"
    done = shell.run("search", "red", "--limit", "1")
    assert (done.out.count(" → "), "--page-token" in done.error) == (1, True)
    brief = shell.says("search", "ship*", "--brief")
    assert brief == "bob m2: ships\nalice m1: ship sails\n"


def test_tasks_are_found_with_their_titles(shell: Shell) -> None:
    shell.says("task", "create", "Sail the ship", "--description", "past the red cape")
    shell.says("task", "create", "Paint it red", "--assignee", "bob")
    said = shell.says("task", "search", "red")
    assert said.index("t2  pending  bob") < said.index("t1  pending  -")
    assert "    title: Paint it red\n" in said
    assert "    Sail the ship\n    description: past the red cape\n" in said
    (hit,) = shell.json("task", "search", "red", "--unassigned", "--fields", "task.task_id")
    assert hit == {"task": {"task_id": "t1"}}
    assert shell.says("task", "search", "blue") == "no tasks\n"
    assert shell.says("task", "search", "cape", "--brief") == "t1 pending 'Sail the ship': cape\n"


def test_what_cannot_be_searched_is_said_with_the_argument(shell: Shell) -> None:
    code, line = shell.fails("search", "+++")
    assert (code, 'QUERY: "+++" must have a letter or a digit' in line) == (5, True), line
    for words in (("search", "a", "--from", "bobb"), ("task", "search", "a", "--creator", "bobb")):
        code, line = shell.fails(*words)
        assert (code, "Did you mean bob?" in line) == (3, True), line


def test_what_was_found_has_a_style_and_what_others_wrote_controls_nothing() -> None:
    excerpt = types.Excerpt(text="a\x1b[2J red\tship\nx", start=7, characters=99)
    excerpt.matches.extend(
        [types.TextRange(start=6, end=9), types.TextRange(start=10, end=14)],
    )
    place = talk.MessagePlace(field=talk.MESSAGE_FIELD_BODY, excerpt=excerpt)
    message = talk.Message(message_id="m1", sender_id="ann", recipient_ids=["bob"])
    hit = talk.MessageHit(record=talk.MessageRecord(message=message), places=[place])
    shown = hits.message_hit(hit)
    assert shown.plain.endswith("body: …a\\u001b[2J red ship x…")
    assert [text for text, style in shown.parts if style == hits.FOUND] == ["red", "ship"]
