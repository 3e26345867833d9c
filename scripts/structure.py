"""Proves what no other linter does: one namespace package, short files, no casts in the store."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAMESPACE_ROOTS = ("services", "generated/python", "clients/python")
WRITTEN_BY_HAND = ("services", "clients/python", "scripts", "tests")
MOST_LINES = 400
STORE = "services/dovetail/server/store"
UNCHECKED = re.compile(r"\bcast\(|# (type|pyright): ")


def main() -> None:
    faults = [*hidden_roots(), *hidden_modules(), *long_files(), *unchecked_lines()]
    if faults:
        sys.exit("\n".join(faults))


def hidden_roots() -> list[str]:
    strays = [Path(root, "dovetail", "__init__.py") for root in NAMESPACE_ROOTS]
    return [f"{path} hides the other roots" for path in strays if (ROOT / path).exists()]


def hidden_modules() -> list[str]:
    """The roots become one folder in the wheel: of two files at one place it has only one."""
    first: dict[Path, str] = {}
    faults: list[str] = []
    for root in NAMESPACE_ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            place = path.relative_to(ROOT / root)
            if place in first:
                faults.append(
                    f"{root}/{place} and {first[place]}/{place} are one file in the wheel"
                )
            first.setdefault(place, root)
    return faults


def long_files() -> list[str]:
    files = sorted(path for folder in WRITTEN_BY_HAND for path in (ROOT / folder).rglob("*.py"))
    lengths = {path.relative_to(ROOT): len(path.read_bytes().splitlines()) for path in files}
    return [
        f"{path} has {length} lines; {MOST_LINES} is the most"
        for path, length in lengths.items()
        if length > MOST_LINES
    ]


def unchecked_lines() -> list[str]:
    """`store/database.py` and `queries.py` declare what Peewee does not: a cast hides mistakes."""
    return [
        f"{path.relative_to(ROOT)}:{number} hides a type: declare it in database.py or queries.py"
        for path in sorted((ROOT / STORE).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNCHECKED.search(line)
    ]


if __name__ == "__main__":
    main()
