"""Attachments of messages: carried without their bytes, and returned by their names."""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import PurePosixPath
from typing import Any

import grpc
from hypothesis import given
from hypothesis import strategies as st

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.edge.attachments import media_type_fault, name_fault, url_fault
from dovetail.types.v1.types_pb2 import Attachment
from support.callers import Caller
from support.files import BYTES, some, told, whole
from support.refusals import bad_fields, failure, refusal
from support.teams import Team

MIB = 1024 * 1024


async def attachment(caller: Caller, message_id: str, name: str) -> Attachment:
    request = pb.GetAttachmentRequest(message_id=message_id, name=name)
    return (await caller.call(request)).attachment


async def test_every_way_to_read_a_message_shows_attachments_without_their_bytes(
    team: Team,
) -> None:
    alice, bob = await team.known("alice", "bob")
    shown = told(some())
    async with bob.inbox() as inbox:
        await inbox.backlog()
        sent = await alice.send("bob", body="look", attachments=some())
        live = await inbox.next()
    backlog = await bob.backlog()
    received = await bob.call(pb.ReceiveMessagesRequest())
    listed = await alice.list_messages()
    found = await bob.call(pb.GetMessageRequest(message_id=sent.message_id))
    messages = [
        live.deliveries[0].message,
        backlog[0].message,
        received.deliveries[0].message,
        listed.records[0].message,
        found.record.message,
    ]
    assert [list(each.attachments) for each in messages] == [shown] * 5
    for response in (live, received, listed, found, sent):
        assert response.ByteSize() < 1_000
    for caller in (alice, bob, team.caller()):
        for each in some():
            assert await attachment(caller, sent.message_id, each.name) == whole(each)


async def test_an_error_for_a_wrong_name_tells_the_right_ones(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    names = ["one", "two", "three", "four"]
    files = [Attachment(name=each, data=each.encode()) for each in names]
    sent = await alice.send("bob", attachments=files)
    missing = await failure(attachment(bob, sent.message_id, "five"))
    assert "'four', 'one', 'three', 1 more" in str(missing.details())
    status, reason, metadata = await refusal(attachment(bob, sent.message_id, "five"))
    assert (status, reason) == (grpc.StatusCode.NOT_FOUND, "ATTACHMENT_NOT_FOUND")
    assert metadata == {"name": "five", "names": '["four", "one", "three"]'}
    assert (await refusal(attachment(bob, "m9", "one")))[1] == "MESSAGE_NOT_FOUND"
    bare = await alice.send("bob")
    assert "it has none" in str((await failure(attachment(bob, bare.message_id, "x"))).details())
    other = Caller(team.pair, "eve", f"{team.team_id} other")
    await other.register()
    assert (await refusal(attachment(other, sent.message_id, "one")))[1] == "MESSAGE_NOT_FOUND"


async def test_every_fault_of_every_attachment_is_named_at_once(team: Team) -> None:
    (alice,) = await team.known("alice")
    nothing = Attachment(name="x", media_type="no")
    twice = [Attachment(name="x", url="a://b"), nothing, Attachment(name="x", data=b"")]
    error = await failure(alice.send("alice", subject="x" * 513, attachments=twice))
    assert [*bad_fields(error)] == [
        "subject",
        "attachments[1].media_type",
        "attachments[1]",
        "attachments[1].name",
        "attachments[2].name",
    ]
    many = [Attachment(name=str(number), data=b"") for number in range(21)]
    batch = pb.BatchSendMessagesRequest(
        requests=[
            pb.SendMessageRequest(recipient_ids=["alice"], attachments=some()),
            pb.SendMessageRequest(recipient_ids=["alice"], attachments=many[:3] * 2),
        ]
    )
    assert [*bad_fields(await failure(alice.call(batch)))] == [
        f"requests[1].attachments[{at}].name" for at in (3, 4, 5)
    ]
    error = await failure(alice.send("alice", attachments=many))
    assert [*bad_fields(error)] == ["attachments"]
    assert not (await alice.list_messages()).records


async def test_a_message_with_its_attachments_stays_within_one_mebibyte(team: Team) -> None:
    (alice,) = await team.known("alice")
    request = pb.SendMessageRequest(recipient_ids=["alice"], body="x" * 1_000)
    request.attachments.add(name="x", data=b"x" * (MIB - 2_000))
    request.attachments.add(name="y", data=b"y" * 200)
    request.attachments[1].data += b"y" * (MIB - request.ByteSize())
    assert request.ByteSize() == MIB
    sent = await alice.call(request)
    assert (await attachment(alice, sent.message_id, "x")).data == request.attachments[0].data
    request.body += "x"
    error = await failure(alice.call(request))
    assert "1,048,576 bytes in all, is 1,048,577" in bad_fields(error)["attachments"]
    # A page of such messages holds them all: their bytes are not in it.
    page = await alice.list_messages()
    assert page.ByteSize() < 3_000


async def test_a_repeat_sends_attachments_once_and_other_bytes_are_another_request(
    team: Team,
) -> None:
    (alice,) = await team.known("alice")
    fields: dict[str, Any] = {"request_id": "r", "attachments": some()}
    first = await alice.send("alice", **fields)
    assert await alice.send("alice", **fields) == first
    fields["attachments"][0].data = BYTES[:-1]
    assert (await refusal(alice.send("alice", **fields)))[1] == "REQUEST_ID_REUSED"
    batch = pb.BatchSendMessagesRequest(request_id="b")
    for number in range(3):
        one = batch.requests.add(recipient_ids=["alice"])
        one.attachments.add(name="n", data=str(number).encode())
    await alice.call(batch)
    sent = await alice.call(batch)
    found = [await attachment(alice, each.message_id, "n") for each in sent.messages]
    assert [each.data for each in found] == [b"0", b"1", b"2"]
    assert len((await alice.list_messages()).records) == 4


async def test_what_a_sender_says_of_its_bytes_is_checked(team: Team) -> None:
    (alice,) = await team.known("alice")
    said = Attachment(name="x", data=b"abc", size=3, sha256=hashlib.sha256(b"abc").digest())
    sent = await alice.send("alice", attachments=[said])
    found = await alice.read(sent.message_id)
    assert list(found.message.attachments) == told([said])


@given(st.text(max_size=300))
def test_a_name_that_is_taken_is_that_of_a_file_in_any_folder(name: str) -> None:
    if name_fault(name) is None:
        assert PurePosixPath("/a/b", name).parent == PurePosixPath("/a/b")
        assert posixpath.normpath(f"/a/b/{name}") == f"/a/b/{name}"
        assert name.isprintable()
        assert len(name.encode()) <= 255
    for hostile in ("/", "\\", "\n", "\0", "\u202e", "\u200b"):
        assert name_fault(f"a{hostile}{name}") is not None


@given(st.text(max_size=40), st.text(max_size=40))
def test_urls_and_media_types_that_are_taken_are_one_line_of_ascii(one: str, two: str) -> None:
    for text in (f"{one}://{two}", f"https://{one}{two}", two):
        if url_fault(text) is None:
            assert text.isascii()
            assert text.isprintable()
            assert " " not in text
            assert "://" in text
    for text in (f"{one}/{two}", f"text/plain; {one}={two}", f'text/plain; x="{one}"'):
        if media_type_fault(text) is None:
            assert text.isascii()
            assert text.isprintable()
