"""Attachments: files that come with messages, and with inputs and results of tasks."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dovetail.client.records import Record
from dovetail.types.v1 import types_pb2 as pb

BYTES_MAX = 1024 * 1024
"""Of a file that is sent as bytes: a message, an input and a result have no room for more."""

NAME_BYTES_MAX = 255
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
"""How a file is opened that must not be there; a link of that name counts, wherever it leads."""

UNKNOWN_TYPE = "application/octet-stream"
COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


class Attachment(Record, of=pb.Attachment):
    """A file of a message or task: its bytes, or a URL where they are.

        Attachment(name="notes.txt", data=b"…")
        Attachment.of("report.pdf")
        Attachment.link("https://files.example/large.tar", "large.tar")

    Messages and tasks have it without its bytes: `data` is None until `Agent.attachment` or
    `Tasks.attachment` has returned it. A URL is what the sender says, and so are its size and hash:
    0 and empty where it says nothing.
    """

    name: str
    media_type: str
    size: int
    sha256: bytes
    data: bytes | None
    url: str | None
    proto: pb.Attachment

    def __init__(  # noqa: PLR0913 - the fields of the contract
        self,
        *,
        name: str,
        data: bytes | None = None,
        url: str | None = None,
        media_type: str = "",
        size: int = 0,
        sha256: bytes = b"",
        proto: pb.Attachment | None = None,
    ) -> None:
        """Make one to send. The media type is guessed from the name unless it is given."""
        fields: dict[str, Any] = {
            "name": name,
            "media_type": media_type or guess_type(name),
            "size": size or len(data or b""),
            "sha256": sha256,
            "data": data,
            "url": url,
        }
        vars(self).update(fields, proto=proto or pb.Attachment(**fields))

    @classmethod
    def of(
        cls, path: str | os.PathLike[str], *, name: str = "", media_type: str = ""
    ) -> Attachment:
        """The bytes of a file, which are read now: 1 MiB at most. Raises OSError and ValueError."""
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise ValueError(
                f"{os.fspath(path)} has more than 1 MiB, which is the most of a message, an input"
                " or a result: put it elsewhere, and send Attachment.link(url, path)"
            )
        return cls(name=name or Path(path).name, data=data, media_type=media_type)

    @classmethod
    def link(
        cls,
        url: str,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str = "",
        media_type: str = "",
    ) -> Attachment:
        """A reference to what is at a URL. With `path`, a copy of it here, its size and SHA-256.

        Its name is that of the file, or the last part of the URL. Raises OSError.
        """
        size, sha256 = (0, b"") if path is None else _measured(path)
        name = name or (_name_in(url) if path is None else Path(path).name)
        return cls(name=name, url=url, media_type=media_type, size=size, sha256=sha256)

    def save(self, folder: str | os.PathLike[str] = ".", *, overwrite: bool = False) -> Path:
        """Write the bytes into a folder, under their name, and return where they are.

        Nothing is ever written elsewhere. Raises FileExistsError if there is such a file, unless
        `overwrite`; ValueError if there are no bytes here, or the name is that of no file.
        """
        if self.data is None:
            where = f"they are at {self.url}" if self.url else "read them first"
            raise ValueError(f"attachment {self.name!r} has no bytes here: {where}")
        check_name(self.name)
        return _written(self.data, Path(folder), self.name, overwrite=overwrite)

    def __repr__(self) -> str:
        """Its fields, but for the bytes."""
        url = f", url={self.url!r}" if self.url else ""
        return (
            f"Attachment(name={self.name!r}, media_type={self.media_type!r}, size={self.size}{url})"
        )


AttachmentLike = Attachment | str | os.PathLike[str]
"""What an argument takes for an attachment: one that was made, or the path of a file."""


def guess_type(name: str) -> str:
    """The media type of a file by its name."""
    import mimetypes  # Reads the tables of the machine, and for this alone.

    kind, encoding = mimetypes.guess_type(name)
    return COMPRESSED.get(encoding, UNKNOWN_TYPE) if encoding else kind or UNKNOWN_TYPE


def check_name(name: str) -> None:
    """Raise ValueError for what is not the name of a file. Servers refuse such names, too."""
    is_path = Path(name).name != name or "/" in name or "\\" in name or name in (".", "..")
    if is_path or not name.isprintable() or not 1 <= len(name.encode()) <= NAME_BYTES_MAX:
        raise ValueError(f"{name!r} is not the name of a file: nothing is written")


def messages(attachments: Iterable[AttachmentLike]) -> list[pb.Attachment]:
    """Attachments as the contract has them; the files of paths are read now."""
    return [_message(each) for each in attachments]


async def loaded(attachments: Iterable[AttachmentLike]) -> list[Attachment]:
    """Attachments with the files of paths read, in a thread: a disk may take its time."""
    found = [*attachments]
    if all(isinstance(each, Attachment) for each in found):
        return [each for each in found if isinstance(each, Attachment)]
    return await asyncio.to_thread(lambda: [*map(_made, found)])


async def with_loaded(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields of a draft, with the attachments of this name loaded."""
    return {**fields, name: await loaded(fields[name])} if name in fields else {**fields}


def _made(attachment: AttachmentLike) -> Attachment:
    return attachment if isinstance(attachment, Attachment) else Attachment.of(attachment)


def _message(attachment: AttachmentLike) -> pb.Attachment:
    made = _made(attachment)
    message = pb.Attachment(
        name=made.name, media_type=made.media_type, size=made.size, sha256=made.sha256
    )
    if made.data is not None:
        message.data = made.data
    if made.url is not None:
        message.url = made.url
    return message


def _measured(path: str | os.PathLike[str]) -> tuple[int, bytes]:
    """The size and the SHA-256 of a file of any size."""
    import hashlib

    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return file.tell(), digest


def _name_in(url: str) -> str:
    """A name for what is at a URL: the last part of its path, or its host."""
    from urllib.parse import unquote, urlsplit  # Slow to load, and for this alone.

    parts = urlsplit(url)
    name = unquote(parts.path.rstrip("/").rpartition("/")[2])
    name = "".join("_" if each in "/\\" or not each.isprintable() else each for each in name)
    name = name.encode()[:NAME_BYTES_MAX].decode(errors="ignore").strip()
    return name if name not in ("", ".", "..") else parts.hostname or "link"


def _written(data: bytes, folder: Path, name: str, *, overwrite: bool) -> Path:
    """Write a whole file, or none: under a name of its own, which is then given the right one."""
    target = folder / name
    draft = folder / f".dovetail-{uuid.uuid4().hex}.part"
    try:
        with open(os.open(draft, NEW_FILE, 0o666), "wb") as file:
            file.write(data)
        if overwrite:
            os.replace(draft, target)  # A link at the target is replaced, not followed.
        else:
            _give_new_name(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _give_new_name(draft: Path, target: Path) -> None:
    """Give a file a name that none has. Raises FileExistsError."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # File systems without hard links: the name is taken first, then filled.
        os.close(os.open(target, NEW_FILE, 0o666))
        os.replace(draft, target)
