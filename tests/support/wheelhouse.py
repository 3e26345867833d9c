"""A folder of wheels to install from without a network, made of what is installed here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

WRITTEN_BY_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json")


def make_wheelhouse(folder: Path, names: Iterable[str]) -> None:
    """Write wheels of these packages, and of all that they require, into a folder."""
    for found in _closure(names):
        _pack(found, folder)


def _closure(names: Iterable[str]) -> Iterator[Distribution]:
    waiting, seen = list(names), set[tuple[str, str]]()
    packed = set[str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        found = distribution(requirement.name)
        name = canonicalize_name(requirement.name)
        if name not in packed:
            packed.add(name)
            yield found
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for line in found.requires or ():
                marker = Requirement(line).marker
                if marker is None or marker.evaluate({"extra": extra}):
                    waiting.append(line)


def _pack(found: Distribution, folder: Path) -> None:
    """Write the wheel that a distribution was installed from."""
    files = [
        file
        for file in found.files or ()
        if ".." not in file.parts
        and "__pycache__" not in file.parts
        and file.name not in WRITTEN_BY_INSTALLERS
    ]
    (about,) = (file for file in files if file.match("*.dist-info/WHEEL"))
    name = f"{re.sub('[-_.]+', '_', found.name)}-{found.version}-{_tag(about.read_text())}.whl"
    with ZipFile(folder / name, "w") as archive:
        for file in files:
            archive.write(str(file.locate()), str(file))


def _tag(about: str) -> str:
    """The tag in the name of a wheel, of those that it lists one by one."""
    lines = re.findall(r"^Tag: (\S+)", about, re.MULTILINE)
    pythons, binaries, platforms = zip(*(line.split("-") for line in lines), strict=True)
    return "-".join(".".join(dict.fromkeys(part)) for part in (pythons, binaries, platforms))
