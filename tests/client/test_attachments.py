"""Attachments in Python: sent from files, read by name, saved into the folder that is named."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dovetail.client import (
    Agent,
    Attachment,
    InvalidArgumentError,
    NotFoundError,
    completion,
    draft,
    draft_message,
)
from dovetail.client import attachments as ours


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF\0\xff")
    return path


async def test_files_are_sent_by_their_paths_and_read_by_their_names(
    alice: Agent, bob: Agent, report: Path
):
    link = Attachment.link("https://files.example/a%20b/large.tar?x=1")
    named = Attachment(name="notes.txt", data=b"two\n")
    sent = await alice.send("bob", "look", attachments=[report, link])
    assert sent.message_id == "m1"
    await alice.send_many([draft_message("bob", attachments=[named]), draft_message("bob")])
    one, two, three = await bob.receive()
    assert [each.name for each in one.attachments] == ["report.pdf", "large.tar"]
    pdf, tar = one.attachments
    assert (pdf.media_type, pdf.size, pdf.data, pdf.url) == ("application/pdf", 6, None, None)
    assert pdf.sha256 == hashlib.sha256(b"%PDF\0\xff").digest()
    assert (tar.media_type, tar.size, tar.sha256) == ("application/x-tar", 0, b"")
    assert tar.url == link.url
    assert (await one.attachment("report.pdf")).data == b"%PDF\0\xff"
    assert (await bob.attachment("m1", "large.tar")).url == link.url
    assert (await two.attachment("notes.txt")).data == b"two\n"
    assert three.attachments == ()
    await one.reply("thanks", attachments=[report])
    assert [each.name for each in (await alice.receive())[0].attachments] == ["report.pdf"]
    with pytest.raises(NotFoundError, match=r"no attachment 'x'; it has 'large.tar', 'rep"):
        await one.attachment("x")
    wrong = Attachment(name="../x", data=b"", size=7)
    with pytest.raises(InvalidArgumentError, match=r"attachments\[0\]\.name"):
        await alice.send("bob", attachments=[wrong])
    with pytest.raises(FileNotFoundError):
        await alice.send("bob", attachments=[report.parent / "missing"])


async def test_inputs_and_results_have_files_too(alice: Agent, bob: Agent, report: Path):
    made = await alice.tasks.create("Read", input_attachments=[report])
    assert [each.name for each in made.input_attachments] == ["report.pdf"]
    async with bob.claim() as held:
        read = await held.attachment("report.pdf")
        held.result("read", attachments=[Attachment(name="words.txt", data=read.data)])
    done = await alice.tasks.get(made.task_id)
    assert done.result is not None
    assert [each.name for each in done.result.attachments] == ["words.txt"]
    assert (await alice.tasks.attachment(made.task_id, "report.pdf")).data == b"%PDF\0\xff"
    words = await alice.tasks.attachment(made.task_id, "words.txt", place="result")
    assert words.data == b"%PDF\0\xff"
    await alice.tasks.create_many([draft("Write", input_attachments=[str(report)])])
    async with bob.claim() as held:
        assert held.task.input_attachments[0].size == 6
        await held.complete(attachments=[report])
    result = held.task.result
    assert result is not None
    assert result.attachments[0].sha256 == done.input_attachments[0].sha256
    (third,) = await alice.tasks.create_many([draft("Draw")])
    await bob.tasks.start(third.task_id)
    await bob.tasks.complete(third.task_id, attachments=[report])
    assert completion("t9", attachments=[report]).result.attachments[0].data == b"%PDF\0\xff"


def test_a_file_that_is_too_large_is_not_read_whole_and_a_link_measures_any(tmp_path: Path):
    large = tmp_path / "large.csv.gz"
    with open(large, "wb") as file:
        file.truncate(ours.BYTES_MAX + 1)
    with pytest.raises(ValueError, match=r"large.csv.gz has more than 1 MiB.*Attachment.link"):
        Attachment.of(large)
    link = Attachment.link("s3://bucket/key", large)
    assert (link.name, link.media_type, link.size) == (
        "large.csv.gz",
        "application/gzip",
        2**20 + 1,
    )
    assert link.sha256 == hashlib.sha256(bytes(ours.BYTES_MAX + 1)).digest()
    os.truncate(large, ours.BYTES_MAX)
    assert Attachment.of(large, name="other", media_type="text/csv").size == ours.BYTES_MAX
    for url, name in (
        ("https://host.example/", "host.example"),
        ("https://host/a/..", "host"),
        ("https://host/a%2Fb%0A", "a_b_"),
        ("x://", "link"),
        ("https://host/" + "x" * 300, "x" * 255),
    ):
        assert Attachment.link(url).name == name
    assert repr(Attachment(name="x", data=b"secret")) == (
        "Attachment(name='x', media_type='application/octet-stream', size=6)"
    )
    same = Attachment(name="x", data=b"secret").replace(name="y")
    assert (same.name, same.data) == ("y", b"secret")


def test_it_is_saved_whole_and_only_where_it_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("keep")
    old_mask = os.umask(0o027)
    try:
        saved = Attachment(name="a b.txt", data=b"new").save(folder)
    finally:
        os.umask(old_mask)
    assert (saved, saved.read_bytes()) == (folder / "a b.txt", b"new")
    assert saved.stat().st_mode & 0o777 == 0o640
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("a b.txt", "link", "dangling"):
        with pytest.raises(FileExistsError):
            Attachment(name=name, data=b"other").save(folder)

    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    with monkeypatch.context() as without_links:
        without_links.setattr(os, "link", refuse)
        assert Attachment(name="c", data=b"c").save(folder).read_bytes() == b"c"
        with pytest.raises(FileExistsError):
            Attachment(name="dangling", data=b"other").save(folder)
    assert (
        Attachment(name="link", data=b"over").save(folder, overwrite=True).read_bytes() == b"over"
    )
    assert outside.read_text() == "keep"
    for name in ("", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "a\nb", "a\0b", "x" * 256):
        with pytest.raises(ValueError, match="is not the name of a file"):
            Attachment(name=name, data=b"").save(folder)
    with pytest.raises(ValueError, match="has no bytes here: they are at a://b"):
        Attachment(name="x", url="a://b").save(folder)
    with pytest.raises(FileNotFoundError):
        Attachment(name="x", data=b"").save(folder / "missing")
    with pytest.raises(IsADirectoryError):
        Attachment(name="in", data=b"").save(tmp_path, overwrite=True)
    assert sorted(each.name for each in folder.iterdir()) == ["a b.txt", "c", "dangling", "link"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "outside"]
