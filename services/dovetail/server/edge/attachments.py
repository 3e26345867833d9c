"""Attachments of requests and responses, as values of the store. For the servicers only.

Names and URLs are written by agents and read by people, models and shells: a name can be no path,
and neither can hold what is not seen. `docs/threat-model.md` says against what that protects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from dovetail.server.edge.validation import MESSAGE_BYTES, Checks, line_fault, shown
from dovetail.server.store.tables.attachments import Attachment
from dovetail.types.v1 import types_pb2 as pb

ATTACHMENTS_MAX = 20
NAME_BYTES_MAX = 255
"""What file systems take, so that every attachment can be saved under its name."""

MEDIA_TYPE_CHARACTERS_MAX = 255
URL_CHARACTERS_MAX = 2_048
SHA256_BYTES = 32
DEFAULT_MEDIA_TYPE = "application/octet-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"[ !#-\[\]-~]*"'
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?: *; *{_TOKEN}=(?:{_TOKEN}|{_QUOTED}))*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+")

HASHED_BYTES = 32
"""Bytes that are hashed in the time in which one byte of structured content is converted."""


def read_attachments(
    check: Checks, field: str, attachments: Sequence[pb.Attachment]
) -> tuple[Attachment, ...]:
    """The attachments of a request, with sizes and hashes."""
    if not check.at_most(field, attachments, ATTACHMENTS_MAX):
        return ()
    read = tuple(_read(check, f"{field}[{at}]", each) for at, each in enumerate(attachments))
    first: dict[str, int] = {}
    for at, each in enumerate(read):
        if first.setdefault(each.name, at) != at:
            taken = f"{field}[{first[each.name]}]"
            check.refuse(f"{field}[{at}].name", f"{shown(each.name)} is that of {taken}, too")
    return read


def check_bytes(check: Checks, field: str, attachments: Iterable[Attachment]) -> None:
    """Record it if attachments of a task are too large together."""
    size = sum(len(each.data or b"") for each in attachments)
    if size > MESSAGE_BYTES:
        check.refuse(
            field,
            f"must have at most {MESSAGE_BYTES:,} bytes in all, have {size:,}: put what is larger"
            " elsewhere, and send its url",
        )


def check_name(check: Checks, field: str, name: str) -> None:
    """Record what is wrong with the name of an attachment."""
    fault = name_fault(name)
    if fault:
        check.refuse(field, fault)


def name_fault(name: str) -> str | None:
    """What is wrong with a name, or None."""
    size = len(name.encode())
    if not 1 <= size <= NAME_BYTES_MAX:
        return f"must have 1 to {NAME_BYTES_MAX} bytes, has {size:,}"
    if "/" in name or "\\" in name or name in (".", ".."):
        return f"{shown(name)} must be the name of a file, not a path: without `/` and `\\`"
    return line_fault(name)


def media_type_fault(media_type: str) -> str | None:
    """What is wrong with a media type, or None."""
    if len(media_type) > MEDIA_TYPE_CHARACTERS_MAX:
        return f"must have at most {MEDIA_TYPE_CHARACTERS_MAX} characters, has {len(media_type):,}"
    if not _MEDIA_TYPE.fullmatch(media_type):
        return f'{shown(media_type)} must have the form type/subtype, such as "text/plain"'
    return None


def url_fault(url: str) -> str | None:
    """What is wrong with a URL, or None."""
    if len(url) > URL_CHARACTERS_MAX:
        return f"must have at most {URL_CHARACTERS_MAX:,} characters, has {len(url):,}"
    if not _URL.fullmatch(url):
        return (
            f"{shown(url)} must be an absolute URL with a scheme and ://, in printable ASCII"
            " characters without spaces"
        )
    return None


def attachment_message(attachment: Attachment) -> pb.Attachment:
    """An attachment, with its bytes where they were read."""
    message = pb.Attachment(
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256,
    )
    if attachment.data is not None:
        message.data = attachment.data
    elif attachment.url:
        message.url = attachment.url
    return message


def weight(attachments: Iterable[pb.Attachment]) -> int:
    """How much it takes to read attachments, for `converted`: most of it is hashing."""
    return sum(each.ByteSize() for each in attachments) // HASHED_BYTES


def _read(check: Checks, field: str, attachment: pb.Attachment) -> Attachment:
    check_name(check, f"{field}.name", attachment.name)
    media_type = attachment.media_type or DEFAULT_MEDIA_TYPE
    if fault := media_type_fault(media_type):
        check.refuse(f"{field}.media_type", fault)
    content = attachment.WhichOneof("content")
    if content == "data":
        return _with_bytes(check, field, attachment, media_type)
    if content is None:
        check.refuse(field, "must have data or a url")
    elif fault := url_fault(attachment.url):
        check.refuse(f"{field}.url", fault)
    if attachment.size < 0:
        check.refuse(f"{field}.size", f"must not be negative, is {attachment.size:,}")
    if len(attachment.sha256) not in (0, SHA256_BYTES):
        check.refuse(
            f"{field}.sha256", f"must be {SHA256_BYTES} bytes, has {len(attachment.sha256):,}"
        )
    return Attachment(
        name=attachment.name,
        media_type=media_type,
        size=attachment.size,
        sha256=attachment.sha256,
        url=attachment.url,
    )


def _with_bytes(
    check: Checks, field: str, attachment: pb.Attachment, media_type: str
) -> Attachment:
    """An attachment that comes with its bytes; what its sender says of them must be right."""
    data = attachment.data
    sha256 = hashlib.sha256(data).digest()
    if attachment.size not in (0, len(data)):
        told = f"must be unset or the size of data, which is {len(data):,}"
        check.refuse(f"{field}.size", f"{told}, is {attachment.size:,}")
    if attachment.sha256 not in (b"", sha256):
        check.refuse(f"{field}.sha256", f"must be unset or that of data, which is {sha256.hex()}")
    return Attachment(
        name=attachment.name, media_type=media_type, size=len(data), sha256=sha256, data=data
    )
