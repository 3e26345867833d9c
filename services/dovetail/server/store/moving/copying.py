"""Copying a store into an empty one, on whichever engines, and following it.

There is one step, the pass: rows of both stores are read in the order of their keys and compared,
and what differs is written. The first pass over an empty store copies all; a pass after a kill goes
on; passes beside running servers follow what they write; and a pass that finds nothing is the proof
that all rows are equal, column by column. Only that last one must keep writers away.

A pass reads one state of its source, so rows refer only to rows that are there. Rows that are gone
from the source are removed when all others are written, in the opposite order of tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dovetail.server.store.moving import reading, unfinished
from dovetail.server.store.moving.errors import (
    MoveError,
    MoveRefusedError,
    NotThereError,
    ServedError,
)
from dovetail.server.store.moving.places import Place, opened, prepare
from dovetail.server.store.moving.tables import MOVED, Key, Row
from dovetail.server.store.moving.unfinished import Unfinished
from dovetail.server.store.moving.writing import Differences

FINAL_PASSES_MAX = 6
"""A source that stands still needs two, or after a kill a few more (`Differences`)."""

LOOK_SECONDS = 0.5
PAUSE_SECONDS_MIN = 1.0

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it is, and how much there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What a pass has read, and what it wrote: rows that were missing, different or too many."""

    rows: Mapping[str, int]
    written: int
    left: int
    why_left: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """A copy that is equal to its source."""

    source: str
    target: str
    rows: Mapping[str, int]
    passes: int
    written: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyRequest:
    """What to copy. With `follows` servers may write to the source, until they are stopped.

    `told` is called after each pass beside running servers.
    """

    source_url: str
    target_url: str
    follows: bool
    progress: Progress
    told: Callable[[Pass], None]


def copy_store(asked: CopyRequest) -> Copied:
    """Copy a store, or go on with a copy. Raises MoveError and StoreOpenError."""
    with opened(asked.source_url) as source:
        source.check_schema()
        if not asked.follows:
            source.refuse_servers()
        _prepare(source, asked.target_url)
        with opened(asked.target_url) as target, target.alone():
            _mark(source, target)
            return _Copy(source, target, asked).run()


def _prepare(source: Place, target_url: str) -> None:
    """Make the target, unless it is the half of an earlier attempt."""
    try:
        with opened(target_url) as target:
            if target.address == source.address:
                raise MoveRefusedError(f"FROM and TO are both {source.address}")
            if unfinished.find(target):
                return
    except NotThereError:
        pass
    prepare(target_url)


def _mark(source: Place, target: Place) -> None:
    """Begin, or find what was begun."""
    target.check_schema()
    move = unfinished.find(target)
    if move is None:
        if not reading.is_empty(target):
            raise MoveRefusedError(f"{target.address} is not empty: name a new store")
        with target.writing():
            unfinished.begin(target, Unfinished(kind=unfinished.COPY, source=source.address))
    elif (move.kind, move.source) != (unfinished.COPY, source.address):
        raise MoveRefusedError(
            f"{target.address} holds a part of another store ({move.kind} of {move.source}):"
            " end that first, or name a new store"
        )


class _Copy:
    def __init__(self, source: Place, target: Place, asked: CopyRequest) -> None:
        self._source = source
        self._target = target
        self._asked = asked
        self._passes = 0
        self._written = 0

    def run(self) -> Copied:
        """Follow while servers write, then finish without them."""
        while True:
            if self._asked.follows:
                self._follow()
            try:
                with self._source.alone(), self._source.reading_alone():
                    return self._finish()
            except ServedError:
                if not self._asked.follows:
                    raise  # Else they have come back, and are followed again.

    def _follow(self) -> None:
        """Make passes beside the servers, as often as costs half of the time."""
        while self._source.is_served():
            began = time.monotonic()
            with self._source.reading():
                done = self._pass("following" if self._passes else "copying")
            self._asked.told(done)
            pause = max(PAUSE_SECONDS_MIN, time.monotonic() - began)
            until = time.monotonic() + pause
            while time.monotonic() < until and self._source.is_served():
                time.sleep(LOOK_SECONDS)

    def _finish(self) -> Copied:
        """Make passes until one finds nothing."""
        done = Pass(rows={}, written=0, left=0)
        for _ in range(FINAL_PASSES_MAX):
            done = self._pass("verifying" if self._passes else "copying")
            if not done.written and not done.left:
                with self._target.writing():
                    unfinished.end(self._target)
                return Copied(
                    source=self._source.address,
                    target=self._target.address,
                    rows=done.rows,
                    passes=self._passes,
                    written=self._written,
                )
        raise MoveError(
            f"{self._target.address} could not be made equal:"
            f" {done.written + done.left:,} rows differ still. {done.why_left}"
        )

    def _pass(self, what: str) -> Pass:
        """Compare all rows with one state of the source, and write what differs."""
        counts = reading.count(self._source)
        total, seen = sum(counts.values()), 0
        done = [Differences(self._target, table) for table in MOVED]
        surplus: list[Differences] = []
        for each in done:
            comparison = _Comparison(self._source, self._target, each)
            for rows in comparison.run():
                seen += rows
                self._asked.progress(what, min(seen, total), total)
            if comparison.surplus:
                surplus.append(each)
        for each in reversed(surplus):
            _remove_surplus(self._source, self._target, each)
        self._passes += 1
        self._written += sum(each.written for each in done)
        return Pass(
            rows=counts,
            written=sum(each.written for each in done),
            left=sum(each.left for each in done),
            why_left=next((each.why_left for each in done if each.left), ""),
        )


class _Comparison:
    """A table of the source beside that of the target, row by row."""

    def __init__(self, source: Place, target: Place, differences: Differences) -> None:
        self._source, self._target = source, target
        self._differences = differences
        self._table = differences.table
        self.surplus = 0
        """How many rows of the target the source has not."""

    def run(self) -> Iterator[int]:
        """Write what differs, page by page. Gives the number of rows of each page."""
        table = self._table
        theirs = reading.rows(self._target, table)
        self._next = next(theirs, None)
        for page in reading.pages(self._source, table, table.column_names):
            new: list[Row] = []
            changed: list[Row] = []
            for row in page:
                found = self._skip_to(table.key_of(row), theirs)
                if found is None:
                    new.append(row)
                elif found != row:
                    changed.append(row)
            if new or changed:
                with self._target.writing():
                    self._differences.insert(new)
                    self._differences.update(changed)
            yield len(page)
        while self._next is not None:
            self.surplus += 1
            self._next = next(theirs, None)

    def _skip_to(self, key: Key, theirs: Iterator[Row]) -> Row | None:
        """The row of the target with this key, if there is one. Rows before it are too many."""
        key_of = self._table.key_of
        while self._next is not None and (at := key_of(self._next)) <= key:
            found, self._next = self._next, next(theirs, None)
            if at == key:
                return found
            self.surplus += 1
        return None


def _remove_surplus(source: Place, target: Place, differences: Differences) -> None:
    """Remove the rows of a table that the source has not."""
    table = differences.table
    ours = reading.keys(source, table)
    known: Key | None = next(ours, None)
    for page in reading.pages(target, table, table.key):
        gone: list[Key] = []
        for key in page:
            while known is not None and known < key:
                known = next(ours, None)
            if known != key:
                gone.append(key)
        if gone:
            with target.writing():
                differences.delete(gone)
