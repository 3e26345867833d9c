"""Changes of files: planned as a whole, shown, then made one after another."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dovetail.cli.output.text import escape_controls
from dovetail.cli.pages.files import mode_for
from dovetail.cli.setup.hosts import Target
from dovetail.cli.setup.parts import PartError
from dovetail.cli.setup.records import Record, Written, digest
from dovetail.settings.replacing import replace_file

FILE_BYTES_MAX = 16 * 1024 * 1024


class RefusedError(Exception):
    """A file cannot be changed without harm: which, why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A file as it is, and as it will be. None: it does not exist."""

    path: Path
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All changes of one command, and what is on record once they are made."""

    files: Sequence[Change]
    record: Sequence[Written]

    @property
    def needed(self) -> list[Change]:
        """Those that change anything."""
        return [each for each in self.files if each.before != each.after]

    def diff(self) -> Iterator[str]:
        """The lines of a diff, for people."""
        for each in self.needed:
            yield from _diff(each)


def planned(targets: Sequence[Target], known: dict[Path, Written]) -> Changes:
    """What is to be written, in place of what was written before. Raises RefusedError."""
    stale = {path: each for path, each in known.items() if path not in {t.path for t in targets}}
    files = list(undone(stale).files)
    record: list[Written] = []
    for target in targets:
        change, written = _planned(target, known.get(target.path))
        files.append(change)
        record += [written] if written else []
    return Changes(files=files, record=record)


def undone(known: dict[Path, Written]) -> Changes:
    """What is to be written so that all is as before. Raises RefusedError."""
    files: list[Change] = []
    for path, written in known.items():
        now = _content(path)
        files.append(Change(path=path, before=now, after=_without(written, now)))
    return Changes(files=files, record=())


def make(changes: Changes, record: Record) -> None:
    """Write the record and then the files. Raises RefusedError, or OSError with the file's name.

    The record comes first: after a crash in between, a file that was not written yet is as before.
    """
    for each in changes.needed:
        if _content(each.path) != each.before:
            raise RefusedError(f"{each.path} was changed just now: nothing was written")
    former = record.load()
    if changes.record:
        record.save(changes.record)
    for each in changes.needed:
        if each.after is None:
            each.path.unlink()
            for folder in former[each.path].folders if each.path in former else ():
                with suppress(OSError):
                    folder.rmdir()
        else:
            each.path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(each.path.resolve(), each.after, mode_for(each.path))
    if not changes.record:
        record.drop()


def _planned(target: Target, former: Written | None) -> tuple[Change, Written | None]:
    """The change of one file, and its record; none where it has the part by itself."""
    now = _content(target.path)
    base = _without(former, now) if former else now
    text = _text(target.path, base)
    try:
        after = target.part.add(text)
        part = target.part.on(text)
    except PartError as error:
        raise RefusedError(
            f"{target.path} is not changed: {error}. Paste by hand what --print shows"
        ) from error
    change = Change(path=target.path, before=now, after=after.encode())
    if after == text and base is not None:
        return change, None
    folders = former.folders if former else _missing(target.path.parent)
    return change, Written(
        path=target.path,
        before=base,
        digest=digest(after.encode()),
        part=part,
        folders=folders,
    )


def _without(written: Written, now: bytes | None) -> bytes | None:
    """A file as it was, or if it was changed since, without what was added."""
    if now is None or now == written.before:
        return now
    if digest(now) == written.digest:
        return written.before
    try:
        text = written.part.remove(_text(written.path, now))
        if written.before is None and written.part.is_nothing_left(text):
            return None
    except PartError as error:
        raise RefusedError(f"{written.path} cannot be undone: {error}") from error
    return text.encode()


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(content) > FILE_BYTES_MAX:
        raise RefusedError(f"{path} is larger than {FILE_BYTES_MAX:,} bytes")
    return content


def _text(path: Path, content: bytes | None) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        raise RefusedError(f"{path} is not UTF-8: change it by hand") from None


def _missing(folder: Path) -> list[Path]:
    """The folders that will be made for a file, the innermost first."""
    return [each for each in (folder, *folder.parents) if not each.exists()]


def _diff(change: Change) -> Iterator[str]:
    before, after = (
        (content or b"").decode(errors="replace").splitlines()
        for content in (change.before, change.after)
    )
    name = str(change.path)
    names = (
        ("/dev/null" if change.before is None else name),
        ("/dev/null" if change.after is None else name),
    )
    for line in difflib.unified_diff(before, after, *names, lineterm=""):
        yield escape_controls(line)
