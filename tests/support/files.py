"""Attachments as tests send them, and what must be said of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from dovetail.types.v1.types_pb2 import Attachment

BYTES = bytes(range(256)) * 400
"""100 KiB that are no text."""

DIGEST = hashlib.sha256(b"elsewhere").digest()


def some() -> list[Attachment]:
    """Bytes of two kinds, none at all, and two references of which more or less is said."""
    return [
        Attachment(name="b.png", media_type="image/png", data=BYTES),
        Attachment(name="a table.csv", media_type='text/csv; header="a b"', data="ä,1\n".encode()),
        Attachment(name="empty", data=b""),
        Attachment(
            name="big.tar", size=3 * 2**40, sha256=DIGEST, url="https://files.example/big?x=1#y"
        ),
        Attachment(name="somewhere", url="s3://bucket/%20"),
    ]


def told(sent: Iterable[Attachment]) -> list[Attachment]:
    """The same as messages and tasks show them: without bytes, with what the server knows."""
    return [_told(each) for each in sent]


def whole(sent: Attachment) -> Attachment:
    """The same as it is returned by itself."""
    found = _told(sent)
    if sent.WhichOneof("content") == "data":
        found.data = sent.data
    return found


def _told(sent: Attachment) -> Attachment:
    found = Attachment()
    found.CopyFrom(sent)
    found.media_type = sent.media_type or "application/octet-stream"
    if sent.WhichOneof("content") == "data":
        found.ClearField("data")
        found.size, found.sha256 = len(sent.data), hashlib.sha256(sent.data).digest()
    return found
