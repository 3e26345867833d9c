"""The ends of an archive: its header and its footer.

The header says which columns the rows have: so a release that has more of them knows which get
their defaults. The footer counts the rows and has the SHA-256 of all bytes before it: a file that
was cut, or changed, is known before any of it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from dovetail.server.archives.lines import line_of, parse, short
from dovetail.server.store.moving.errors import FaultyFileError
from dovetail.server.store.wire import Json

FORMAT = 1
HEADER, FOOTER = "header", "footer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What an archive holds: of which teams, and whether the credentials of the store too."""

    release: str
    schema: Sequence[str]
    create_time: str
    has_credentials: bool
    team_ids: Sequence[str]
    columns: Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Footer:
    """How much an archive holds, by table, and the SHA-256 of all before it, in hexadecimal."""

    rows: Mapping[str, int]
    sha256: str


def header_line(header: Header) -> bytes:
    """The first line."""
    content: dict[str, Json] = {
        "format": FORMAT,
        "release": header.release,
        "create_time": header.create_time,
        "has_credentials": header.has_credentials,
        "team_ids": [*header.team_ids],
        "schema": [*header.schema],
        "columns": {name: [*columns] for name, columns in header.columns.items()},
    }
    return line_of(HEADER, content)


def footer_line(footer: Footer) -> bytes:
    """The last line."""
    rows: Json = {name: str(count) for name, count in footer.rows.items() if count}
    return line_of(FOOTER, {"rows": rows, "sha256": footer.sha256})


def read_header(line: bytes) -> Header:
    """The first line. Raises FaultyFileError."""
    name, content = parse(line, 1)
    if name != HEADER:
        raise FaultyFileError("line 1: must be the header of a file that dovetail export wrote")
    fields = _Fields(1, HEADER, content)
    number = fields.number("format")
    if number != FORMAT:
        raise FaultyFileError(
            f"line 1: header.format: must be {FORMAT}, is {number}: import it with the release that"
            " wrote it, or a newer one"
        )
    columns = fields.fields("columns")
    return Header(
        release=fields.text("release"),
        schema=fields.texts("schema"),
        create_time=fields.text("create_time"),
        has_credentials=fields.flag("has_credentials"),
        team_ids=fields.texts("team_ids"),
        columns={name: columns.texts(name) for name in columns.content},
    )


def read_footer(line: bytes, number: int) -> Footer:
    """The last line. Raises FaultyFileError."""
    if not line.endswith(b"\n") or not line.startswith(f'{{"{FOOTER}"'.encode()):
        raise FaultyFileError(f"line {number}: must be the footer: the file was cut off")
    fields = _Fields(number, FOOTER, parse(line, number)[1])
    rows = fields.fields("rows")
    return Footer(
        rows={name: rows.number(name) for name in rows.content}, sha256=fields.text("sha256")
    )


class _Fields:
    """The fields of an object in a line."""

    def __init__(self, line: int, name: str, content: Json) -> None:
        self._line, self._name = line, name
        if not isinstance(content, dict):
            raise FaultyFileError(f"line {line}: {name}: must be an object")
        self.content = content

    def text(self, name: str) -> str:
        value = self.content.get(name)
        return value if isinstance(value, str) else self._refuse(name, "a text")

    def number(self, name: str) -> int:
        value = self.content.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
        return value if isinstance(value, int) else self._refuse(name, "a number")

    def flag(self, name: str) -> bool:
        value = self.content.get(name)
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def texts(self, name: str) -> list[str]:
        value = self.content.get(name)
        found = value if isinstance(value, list) else self._refuse(name, "a list of texts")
        texts = [each for each in found if isinstance(each, str)]
        return texts if len(texts) == len(found) else self._refuse(name, "a list of texts")

    def fields(self, name: str) -> _Fields:
        return _Fields(self._line, f"{self._name}.{name}", self.content.get(name))

    def _refuse(self, name: str, right: str) -> NoReturn:
        given = short(self.content.get(name))
        raise FaultyFileError(
            f"line {self._line}: {self._name}.{name}: must be {right}, is {given}"
        )
