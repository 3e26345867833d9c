"""What was written where, so that it can be undone: one file of this user for each setup.

It has the former content of each file, so it is private to the user, as those may be.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.cli.setup.parts import BlockPart, JsonPart, Part
from dovetail.settings.places import data_home
from dovetail.settings.replacing import replace_file

NAME_CHARACTERS = 16
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file as it was before, and as it was written. None: it did not exist."""

    path: Path
    before: bytes | None
    digest: str
    part: Part
    folders: Sequence[Path] = ()
    """The folders that were made for it, the innermost first."""


class Record:
    """The record of one host in one place."""

    def __init__(self, host: str, place: Path) -> None:
        """Find where it is kept. Raises ValueError if this user has no home."""
        home = data_home()
        if home is None:
            raise ValueError("no home folder is known to keep what is there now: set HOME")
        name = hashlib.sha256(str(place).encode()).hexdigest()[:NAME_CHARACTERS]
        self._path = home / "dovetail" / "setup" / f"{host}-{name}.json"

    def load(self) -> dict[Path, Written]:
        """What was written, by file. Raises OSError; ValueError if the record is damaged."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        try:
            found = [_read(each) for each in json.loads(text)["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"the record {self._path} is damaged: {error}") from error
        return {each.path: each for each in found}

    def save(self, written: Sequence[Written]) -> None:
        """Keep what is about to be written. Raises OSError."""
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            folder.chmod(PRIVATE_FOLDER)
        files = [_facts(each) for each in written]
        text = json.dumps({"files": files}, ensure_ascii=False, indent=1)
        replace_file(self._path, text.encode(errors="surrogateescape"), PRIVATE_FILE)

    def drop(self) -> None:
        """Forget it: all was undone."""
        self._path.unlink(missing_ok=True)


def digest(content: bytes) -> str:
    """By what a file is known to be as it was written."""
    return hashlib.sha256(content).hexdigest()


def _facts(written: Written) -> dict[str, Any]:
    before = written.before
    return {
        "path": str(written.path),
        "before": None if before is None else base64.b64encode(before).decode(),
        "digest": written.digest,
        "part": _part_facts(written.part),
        "folders": list(map(str, written.folders)),
    }


def _read(facts: Mapping[str, Any]) -> Written:
    before = facts["before"]
    return Written(
        path=Path(facts["path"]),
        before=None if before is None else base64.b64decode(before),
        digest=facts["digest"],
        part=_read_part(facts["part"]),
        folders=[Path(each) for each in facts["folders"]],
    )


def _part_facts(part: Part) -> dict[str, Any]:
    if isinstance(part, BlockPart):
        return {
            "begin": part.begin,
            "end": part.end,
            "lines": list(part.lines),
            "is_toml": part.is_toml,
            "gap": part.gap,
        }
    return {
        "members": [[list(path), value] for path, value in part.members.items()],
        "elements": [[list(path), value] for path, value in part.elements.items()],
        "defaults": dict(part.defaults),
        "there": sorted(map(list, part.there)),
    }


def _read_part(facts: Mapping[str, Any]) -> Part:
    if "begin" in facts:
        return BlockPart(**facts)
    return JsonPart(
        members={tuple(path): value for path, value in facts["members"]},
        elements={tuple(path): value for path, value in facts["elements"]},
        defaults=facts["defaults"],
        there=frozenset(map(tuple, facts["there"])),
    )
