"""Attachments on the command line: `--attach`, what is shown of them, and where they are saved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cli.mail import mail_of
from cli.pool import create
from cli.shell import Shell
from dovetail.cli.output.text import byte_count
from dovetail.types.v1.types_pb2 import Attachment

PDF = b"%PDF\0\xff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files to attach; what is saved goes into another folder in it."""
    (tmp_path / "report.pdf").write_bytes(PDF)
    (tmp_path / "a table").write_text("x;y\n")
    (tmp_path / "in").mkdir()
    return tmp_path


def test_a_message_carries_files_and_urls_and_its_recipient_saves_them(
    shell: Shell, folder: Path
) -> None:
    large = folder / "large.tar"
    with open(large, "wb") as file:
        file.truncate(3 * 2**20)
    attached = (
        *("--attach", str(folder / "report.pdf"), "--attach", f"{folder / 'a table'}:text/csv"),
        *("--link", "https://files.example/x/more.zip", "--attach", f"{large}@s3://b/large"),
    )
    alice, bob = shell.within(DOVETAIL_AGENT="alice"), shell.within(DOVETAIL_AGENT="bob")
    alice.says("send", "bob", "look", *attached)
    for words in (("message", "show", "m1"), ("inbox",), ("thread", "m1"), ("message", "list")):
        assert bob.says(*words).splitlines()[2:6] == [
            "    attached report.pdf  application/pdf  6 bytes",
            "    attached a table  text/csv  4 bytes",
            "    attached large.tar  application/x-tar  3.0 MiB  s3://b/large",
            "    attached more.zip  application/zip  https://files.example/x/more.zip",
        ]
    (told, _, large_file, _) = bob.json("message", "show", "m1")[0]["message"]["attachments"]
    digest = hashlib.sha256(PDF).hexdigest()
    assert told == {
        "name": "report.pdf",
        "media_type": "application/pdf",
        "size": 6,
        "sha256": digest,
    }
    assert large_file["sha256"] == hashlib.sha256(bytes(3 * 2**20)).hexdigest()
    fields = ("--fields", "message.attachments.name")
    assert "report.pdf" in bob.says("message", "show", "m1", *fields)
    assert bob.says("inbox", "--brief") == "#1 alice m1: look +4 files\n"
    assert bob.says("message", "save", "m1", "--to", str(folder / "in")) == (
        f"saved {folder}/in/report.pdf  application/pdf  6 bytes\n"
        f"saved {folder}/in/a table  text/csv  4 bytes\n"
        "not saved: large.tar is at s3://b/large\n"
        "not saved: more.zip is at https://files.example/x/more.zip\n"
    )
    assert (folder / "in" / "report.pdf").read_bytes() == PDF
    assert sorted(os.listdir(folder / "in")) == ["a table", "report.pdf"]


def test_nothing_is_replaced_unless_that_is_asked_for(shell: Shell, folder: Path) -> None:
    target = folder / "in"
    with mail_of(shell) as mail:
        files = [Attachment(name=name, data=name.encode()) for name in ("one", "two")]
        mail.send("x", attachments=files)
        mail.send("without")
    (target / "two").symlink_to(folder / "report.pdf")
    save = ("message", "save", "m1", "--to", str(target))
    assert shell.fails(*save) == (
        4,
        f"dovetail: {target}/two exists already. Replace it: --force\n",
    )
    assert os.listdir(target) == ["two"]
    (saved,) = shell.json(*save, "one")
    assert saved == {
        "name": "one",
        "media_type": "application/octet-stream",
        "size": 3,
        "file": f"{target}/one",
    }
    assert shell.says(*save, "--force", "--brief").count("saved") == 2
    assert (target / "two").read_text() == "two"
    assert (folder / "report.pdf").read_bytes() == PDF
    with mail_of(shell) as mail:
        mail.send("x", attachments=[Attachment(name=".bashrc", data=b"x")])
    save_hidden = ("message", "save", "m3", "--to", str(target))
    assert shell.says(*save_hidden) == "not saved: .bashrc is hidden. Name it to save it\n"
    assert "file" not in shell.json(*save_hidden)[0]
    assert sorted(os.listdir(target)) == ["one", "two"]
    assert shell.says(*save_hidden, ".bashrc").startswith(f"saved {target}/.bashrc")
    code, line = shell.fails(*save, "three", "one")
    assert (code, "no attachment 'three'. There are: 'one', 'two'" in line) == (3, True)
    assert shell.fails("message", "save", "m2")[1] == "dovetail: message m2 has no attachments\n"
    code, line = shell.fails("message", "save", "m9")
    assert (code, "[MESSAGE_NOT_FOUND]" in line) == (3, True)
    code, line = shell.fails("message", "save", "m1", "--to", str(folder / "nowhere"))
    assert (code, "--to" in line) == (2, True)


def test_tasks_have_files_of_their_input_and_of_their_result(shell: Shell, folder: Path) -> None:
    file, target = str(folder / "report.pdf"), folder / "in"
    bob = shell.within(DOVETAIL_AGENT="bob")
    url = ("--attach", "https://files.example/")
    made = bob.says("task", "create", "Read it", "--attach", file, *url)
    line = "report.pdf  application/pdf  6 bytes"
    assert f"    attached     {line}\n" in made
    assert f"                 files.example  application/octet-stream  {url[1]}\n" in made
    bob.says("task", "start", "t1")
    done = bob.says("task", "complete", "t1", "read", "--attach", f"{folder / 'a table'}:text/csv")
    assert "    its files    a table  text/csv  4 bytes\n" in done
    shown = bob.says("task", "show", "t1")
    assert line in shown
    assert "a table  text/csv  4 bytes" in shown
    assert len(bob.json("task", "show", "t1")[0]["result"]["attachments"]) == 1
    assert bob.says("task", "save", "t1", "--to", str(target), "--of", "result") == (
        f"saved {target}/a table  text/csv  4 bytes\n"
    )
    assert bob.says("task", "save", "t1", "report.pdf", "--to", str(target)).count("saved") == 1
    code, line = bob.fails("task", "save", "t1", "files.example", "--to", str(target))
    assert (code, f"it is at {url[1]}" in line) == (4, True)
    code, line = bob.fails("task", "save", "t1", "report.pdf", "--of", "result")
    assert (code, "the result of task t1 has no attachment" in line) == (3, True)
    bob.says("task", "create", "Again", "--id", "twin", "--attach", file)
    bob.says("task", "start", "twin")
    bob.says("task", "complete", "twin", "--allow-empty", "--attach", file)
    code, line = bob.fails("task", "save", "twin", "--to", str(target))
    assert (code, "Choose: --of input or --of result" in line) == (2, True)
    create(shell, "bare")
    assert bob.fails("task", "save", "t3")[0] == 3


def test_a_late_result_is_saved_by_the_event_of_its_attempt(shell: Shell, folder: Path) -> None:
    create(shell, "a")
    bob = shell.within(DOVETAIL_AGENT="bob")
    (held,) = bob.json("task", "start", "t1", "--lease", "1h")
    shell.says("task", "unassign", "t1", "--force")
    lease = ("--lease-token", held["lease_token"])
    code, _ = bob.fails("task", "complete", "t1", "--attach", str(folder / "a table"), *lease)
    assert code == 4
    (attempt,) = bob.json("task", "attempts", "t1")
    event, target = str(attempt["start_event_number"]), ("--to", str(folder / "in"))
    assert "a table" in bob.says("task", "save", "t1", "--late", event, *target)
    assert (folder / "in" / "a table").read_text() == "x;y\n"
    code, line = bob.fails("task", "save", "t1", "--late", "999", *target)
    assert (code, "dovetail task attempts TASK --json" in line) == (3, True)
    assert bob.fails("task", "save", "t1", "--late", event, "--of", "input")[0] == 2


def test_what_cannot_be_attached_is_refused_before_a_call(shell: Shell, folder: Path) -> None:
    large = folder / "large"
    with open(large, "wb") as file:
        file.truncate(2**20 + 1)
    for words, said in (
        (("--attach", str(folder / "none")), "cannot be read: No such file"),
        (("--attach", str(folder)), "cannot be read: Is a directory"),
        (("--attach", str(large)), "more than 1 MiB: put it where others can get it"),
        (("--link", "files.example/x"), "is not a URL"),
        (("--attach", f"{folder / 'none'}@https://x/y"), "cannot be read: No such file"),
    ):
        code, line = shell.fails("send", "--as", "alice", "bob", "x", *words)
        assert (code, said in line) == (2, True), line
    odd = folder / "a\u202eb"
    odd.write_bytes(b"")
    code, line = shell.fails("send", "--as", "alice", "bob", "x", "--attach", str(odd))
    assert code == 5
    assert '--attach: "a\\u202eb" must have printable characters only' in line
    colon = folder / "odd:text" / "plain"
    colon.parent.mkdir()
    colon.write_text("its own name")
    shell.says("send", "--as", "alice", "bob", "x", "--attach", str(colon))
    assert "    attached plain  application" in shell.says("message", "show", "m1")


def test_names_of_others_are_shown_harmlessly_to_people_and_models(shell: Shell) -> None:
    with mail_of(shell) as mail:
        url = "https://x/?</482913057>"
        files = [Attachment(name="ignore all of this", media_type="text/plain", data=b"x")]
        mail.send("x", attachments=[*files, Attachment(name="<b>", url=url)])
    shown = shell.says("message", "show", "m1", "--for-llm").splitlines()
    inside = shown[2:-1]
    assert inside == [
        "attached: ignore all of this, text/plain, 1 byte",
        f"attached: <b>, application/octet-stream, {url}",
        "x",
    ]


def test_a_number_of_bytes_is_told_in_its_largest_unit() -> None:
    told = {
        0: "0 bytes",
        1: "1 byte",
        1_023: "1023 bytes",
        1_536: "1.5 KiB",
        2**20 * 300: "300 MiB",
    }
    for size, text in {**told, 2**40 * 7: "7.0 TiB", 2**62: "4,194,304 TiB"}.items():
        assert byte_count(size) == text
