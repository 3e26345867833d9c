"""What a command attaches: files, which are read before the event loop runs, and references."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli import late

if TYPE_CHECKING:
    from dovetail.client import Attachment

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(;.*)?", re.ASCII)
_URL = re.compile(r"(?:(?P<file>.+)@)?(?P<url>[A-Za-z][A-Za-z0-9+.-]*://.+)", re.DOTALL)


class _Attached(click.ParamType["Attachment | None"]):
    """FILE, FILE:MEDIA_TYPE, URL, or FILE@URL: a reference, with the size and hash of the file."""

    name = "FILE"

    def convert(self, value: Any, param: Any, ctx: Any) -> Attachment | None:
        if ctx is not None and ctx.resilient_parsing:
            return None
        word = str(value)
        found = _URL.fullmatch(word)
        path, media_type = (found["file"] or "", "") if found else _split(word)
        try:
            return self._read(os.path.expanduser(path), found["url"] if found else "", media_type)
        except OSError as error:
            self.fail(f"{path!r} cannot be read: {error.strerror}", param, ctx)
        except ValueError:
            self.fail(
                f"{path!r} has more than 1 MiB: put it where others can get it, and name that"
                " place: FILE@URL",
                param,
                ctx,
            )

    def _read(self, path: str, url: str, media_type: str) -> Attachment:
        if url:
            return late.client.Attachment.link(url, path or None)
        return late.client.Attachment.of(path, media_type=media_type)


class _Url(_Attached):
    name = "URL"

    def convert(self, value: Any, param: Any, ctx: Any) -> Attachment | None:
        if not _URL.fullmatch(str(value)):
            self.fail(f"{value!r} is not a URL: write it whole, as https://HOST/PATH", param, ctx)
        return super().convert(value, param, ctx)


def attach_option(parameter: str = "attachments") -> Callable[[Any], Any]:
    """The option that attaches files and references, for a parameter of this name."""
    return click.option(
        "--attach", parameter, type=_Attached(), multiple=True, help="A file, or a URL."
    )


link_option = click.option(
    "--link", "links", type=_Url(), multiple=True, help="Attach a reference."
)


def _split(word: str) -> tuple[str, str]:
    """The path and the media type in a word; a file whose own name ends so has none."""
    path, _, media_type = word.rpartition(":")
    if path and _MEDIA_TYPE.fullmatch(media_type) and not os.path.exists(word):
        return path, media_type
    return word, ""
