"""Searching messages: which are found, in which order, by whom, and where in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import grpc
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1.types_pb2 import Excerpt, TimeRange
from support.callers import Caller
from support.refusals import bad_fields, failure, faults
from support.teams import Team

HOSTILE = [
    'AND OR NOT NEAR("a" b, 3)',
    "subject:x words:y {a b}: ^c -d +e",
    "'; DROP TABLE messages; --",
    "\\ it\\'s '' \"\" \"",
    'a" OR "b',
    "a & b | !c <-> d:*",
    "%s %d ? ?1 :name $1 {query}",
    "nul \0 nul",
    "tab\there\nand\r\nthere",
    "\U0001f680 \u200d \u202e rocket",
    "*** * a* *b c*d",
    "\u6771\u4eac\u90fd \u0e01\u0e02 caf\u00e9 \ufb01n \ufe70 \u00bd",
]


def search(caller: Caller, query: str, **fields: object) -> Awaitable[pb.SearchMessagesResponse]:
    return caller.call(pb.SearchMessagesRequest(query=query, **fields))  # type: ignore[arg-type]


async def found(caller: Caller, query: str, **fields: object) -> list[str]:
    """The subjects of all hits, page by page."""
    subjects: list[str] = []
    token = ""
    while True:
        page = await search(caller, query, page_token=token, **fields)
        subjects += [hit.record.message.subject for hit in page.hits]
        token = page.next_page_token
        if not token:
            return subjects


def marked(excerpt: Excerpt) -> list[str]:
    """What an excerpt says was found."""
    return [excerpt.text[each.start : each.end] for each in excerpt.matches]


async def test_all_terms_must_occur_in_any_field_and_the_newest_hit_comes_first(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    data = Struct()
    data.update({"steps": [{"note": "the Harbour wall"}, 3], "harbour_key": True})
    await alice.send("bob", subject="one", body="the red ship")
    await alice.send("bob", subject="two harbour", body="A RED ship, and \u2014 a blue one")
    await alice.send("bob", subject="three", body="no ship", data=data)
    for query, subjects in {
        "ship": ["three", "two harbour", "one"],
        "red ship": ["two harbour", "one"],
        "HARBOUR": ["three", "two harbour"],
        "harbour red": ["two harbour"],
        "ship absent": [],
        "key": [],
        '"red ship" blue': ["two harbour"],
        '"ship red"': [],
        "harb*": ["three", "two harbour"],
        "arbour*": [],
        "har*our": [],
    }.items():
        assert await found(bob, query) == subjects, query
    answer = await search(bob, "harbour ship")
    three, two = answer.hits
    assert three.record == (await bob.list_messages()).records[2]
    assert [place.field for place in two.places] == [
        pb.MESSAGE_FIELD_SUBJECT,
        pb.MESSAGE_FIELD_BODY,
    ]
    assert [marked(place.excerpt) for place in three.places] == [["ship"], ["Harbour"]]
    assert three.places[1].field == pb.MESSAGE_FIELD_DATA
    assert three.places[1].excerpt.text == "the Harbour wall"


async def test_what_a_send_has_returned_is_found_by_the_next_search(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for number in range(5):
        await alice.send("bob", subject=str(number), body=f"word{number} always")
        assert await found(bob, f"word{number}") == [str(number)]
    # Very many at once, and searches that wait for the same bites.
    batch = [
        pb.SendMessageRequest(recipient_ids=["bob"], subject=str(n), body=f"again number{n % 7}")
        for n in range(450)
    ]
    await alice.call(pb.BatchSendMessagesRequest(requests=batch))
    several = await asyncio.gather(*(found(bob, "number3", page_size=40) for _ in range(4)))
    assert several == [[str(n) for n in reversed(range(450)) if n % 7 == 3]] * 4
    assert len(await found(bob, "a*", page_size=1_000)) == 455


async def test_filters_choose_among_the_hits(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    task = await alice.made(title="a task")
    first = await alice.send("bob", subject="1", body="word", labels={"k": "v", "l": "w"})
    await eve.send("bob", "alice", subject="2", body="word", task_id=task.task_id)
    await alice.send("eve", subject="3", body="word", thread_id="th", importance=pb.IMPORTANCE_HIGH)
    await bob.send("eve", subject="4", body="other", labels={"k": "v"})
    last = await bob.send("eve", subject="5", body="word", importance=pb.IMPORTANCE_LOW)
    many = [f"nobody {n}" for n in range(200)]
    since, before = Timestamp(), Timestamp()
    since.FromMicroseconds(first.create_time.ToMicroseconds() + 1)
    before.CopyFrom(last.create_time)
    for subjects, filter in [
        ("5321", pb.MessageFilter()),
        ("31", pb.MessageFilter(sender_ids=["alice", "nobody"])),
        ("531", pb.MessageFilter(sender_ids=["alice", "bob", *many])),
        ("3", pb.MessageFilter(thread_id="th")),
        ("2", pb.MessageFilter(task_id=task.task_id)),
        ("", pb.MessageFilter(kinds=[pb.MESSAGE_KIND_NOTICE])),
        ("3", pb.MessageFilter(minimum_importance=pb.IMPORTANCE_HIGH)),
        ("321", pb.MessageFilter(minimum_importance=pb.IMPORTANCE_NORMAL)),
        ("1", pb.MessageFilter(labels={"k": "v"})),
        ("", pb.MessageFilter(labels={"k": "v", "l": "x"})),
        ("532", pb.MessageFilter(create_time=TimeRange(start_time=since))),
        ("321", pb.MessageFilter(create_time=TimeRange(end_time=before))),
        ("32", pb.MessageFilter(create_time=TimeRange(start_time=since, end_time=before))),
        ("1", pb.MessageFilter(sender_ids=["alice"], labels={"l": "w"})),
    ]:
        assert await found(eve, "word", filter=filter) == list(subjects), filter
    assert await found(eve, "word", recipient_id="bob") == ["2", "1"]
    assert await found(eve, "word", recipient_id="alice") == ["2"]
    error = await failure(search(eve, "word", recipient_id="nobody"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_pages_join_and_are_bound_to_their_search(team: Team) -> None:
    bob = await team.bob_with(7, body="x " * 100_000 + "word")
    expected = [str(number) for number in range(7, 0, -1)]
    assert await found(bob, "word", page_size=3) == expected
    first = await search(bob, "word")
    assert [hit.record.message.subject for hit in first.hits] == ["7", "6", "5", "4", "3"]
    assert first.ByteSize() <= 1024 * 1024
    two = await search(bob, "word", page_size=2)
    await bob.send("bob", subject="late", body="word")
    rest = await search(bob, "word", page_size=5, page_token=two.next_page_token)
    assert [hit.record.message.subject for hit in rest.hits] == ["5", "4", "3", "2", "1"]
    for call in (
        search(bob, "words", page_token=two.next_page_token),
        search(bob, "word", page_token=two.next_page_token, recipient_id="bob"),
        search(bob, "word", page_token="?"),
        search(await alien(team), "word", page_token=two.next_page_token),
    ):
        assert await faults(call) == {"page_token"}


async def alien(team: Team) -> Caller:
    """An agent of another team."""
    (bob,) = await Team.new(team.pair).known("bob")
    return bob


async def test_other_teams_are_neither_found_nor_known(team: Team) -> None:
    other = Team.new(team.pair)
    await team.bob_with(3, body="shared word")
    stranger = await other.bob_with(2, body="shared other")
    assert await found(stranger, "shared") == ["2", "1"]
    assert await found(stranger, "word") == []
    assert await found(Team.new(team.pair).caller(), "shared") == []


async def test_whatever_is_in_a_query_is_text(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", subject="other", body="nothing of that kind")
    for number, query in enumerate(HOSTILE):
        text = query.replace("\0", " ")
        await alice.send("bob", subject=str(number), body=f"before {text} after")
        newest, *rest = await found(bob, query)
        assert (newest, "other" in rest) == (str(number), False), query


async def test_texts_of_all_scripts_are_found_without_case_and_accents(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    texts = {
        "1": "Zoe\u0308 met Zo\u00eb at the CAF\u00c9",
        "2": "\u6771\u4eac\u90fd\u5e81\u3078\u884c\u304f",
        "3": "\u4f7f\u7528Python\u7f16\u7a0b",
        "4": "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a",
        "5": "Stra\u00dfe \ufb01nden \u216b",
        "6": "x" * 70 + " y " + "x" * 80,
    }
    for subject, text in texts.items():
        await alice.send("bob", subject=subject, body=text)
    for query, subjects in {
        "zoe cafe": ["1"],
        "\u00c9CAF*": [],
        "\u4eac\u90fd": ["2"],
        "\u6771\u90fd": [],
        "\u884c": ["2"],
        '"\u6771 \u4eac"': ["2"],
        "python": ["3"],
        "\u7528Python\u7f16": ["3"],
        "\u0e2a\u0e14\u0e35": ["4"],
        "STRASSE finden xii": ["5"],
        "x" * 70: ["6"],
        "x" * 75 + "*": ["6"],
        "x" * 81 + "*": [],
        "x" * 71: [],
    }.items():
        assert await found(bob, query) == subjects, query


async def test_a_query_that_cannot_be_searched_is_refused_by_name(team: Team) -> None:
    for query, said in {
        "": "1 to 256 characters, has 0",
        "word " * 10_000: "1 to 256 characters, has 50,000",
        '\U0001f680 *** ""': "a letter or a digit",
        " ".join(f"w{n}" for n in range(17)): "at most 16 terms, has 17",
    }.items():
        error = await failure(search(team.caller("ann"), query, recipient_id=" x"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        wrong = bad_fields(error)
        assert set(wrong) == {"query", "recipient_id"}
        assert said in wrong["query"]


async def test_an_excerpt_shows_where_most_of_the_terms_stand(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    body = "alpha " + "filler " * 200 + "\U0001f680 then Alpha, beta and alpha. " + "filler " * 200
    await alice.send("bob", body=body)
    (hit,) = (await search(bob, "alpha bet*")).hits
    (place,) = hit.places
    excerpt = place.excerpt
    assert marked(excerpt) == ["Alpha", "beta", "alpha"]
    assert len(excerpt.text) <= 240
    assert excerpt.characters == len(body)
    assert body[excerpt.start : excerpt.start + len(excerpt.text)] == excerpt.text
    assert not excerpt.text.startswith("iller")
    await alice.send("bob", body=f"{'z' * 300} and {'long ' * 80}end")
    (hit,) = (await search(bob, f'{"z" * 30}* "{"long " * 40}long"')).hits
    assert marked(hit.places[0].excerpt) == ["z" * 240]
