"""Tallies: rows of a table that are sums over the rows of another, kept in the same commits.

What a row adds is a function of the row alone. A group works out the sums from the difference of
rows that it writes anyway, so no verb can forget them, and writes each sum that changed once: a
commit of many completions of one assignee adds to few rows.

They would break where a statement that writes by itself (`Transaction.write`) changed one of the
fields that a tally is made of: the group never sees those rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from peewee import Field

from dovetail.server.store.queries import Model
from dovetail.server.store.statements import Change, Key, Row, RowStatement, names, quoted, records

Share = tuple[Key, Sequence[int]]
"""What a row adds: the key of a sum, without the team, and an amount for each of its columns."""


class Tally:
    """Sums over the rows of a table, as rows of another: the team, more of the key, the sums."""

    def __init__(
        self,
        model: type[Model],
        fields: Sequence[Field],
        shares: Callable[..., Iterable[Share]],
    ) -> None:
        """`shares` gets the values of `fields` of a row, and returns what the row adds."""
        meta = getattr(model, "_meta")  # noqa: B009
        self.model = model
        self.table = str(meta.table_name)
        self.team: Field = getattr(model, "team_id")  # noqa: B009
        self.fields = tuple(fields)
        self.shares = shares
        self.columns: tuple[Field, ...] = tuple(meta.sorted_fields)
        self.key_size = len(meta.primary_key.field_names)
        self.add = _add(self.table, self.columns, self.key_size)

    def is_named_in(self, sql: str) -> bool:
        """Whether a statement names the table of the sums."""
        return f'"{self.table}"' in sql


BoundTally = tuple[Tally, Callable[[Row], Row]]
"""A tally of a table, and what gets its fields of a row."""


class Tallies:
    """What a group has to add to the sums, for all its teams."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._sums: defaultdict[Tally, dict[Key, list[int]]] = defaultdict(dict)

    @property
    def pending(self) -> Iterable[Tally]:
        """The tallies of which something is to be written."""
        return self._sums.keys()

    def note(
        self, tallies: Iterable[BoundTally], team_id: str, stored: Row | None, row: Row
    ) -> None:
        """Take off what a row added as it was stored, and add what it adds now."""
        for tally, part in tallies:
            before, after = part(stored) if stored else None, part(row)
            if before != after:
                sums = self._sums[tally]
                gone = [*tally.shares(*before)] if before else []
                for share in tally.shares(*after):
                    if share in gone:  # The larger part of what a task adds stays as it is.
                        gone.remove(share)
                    else:
                        add_to(sums, (team_id, *share[0]), share[1])
                for key, amounts in gone:
                    add_to(sums, (team_id, *key), [-amount for amount in amounts])

    def take(self) -> list[Change]:
        """The changes that write them, once."""
        changes: list[Change] = []
        for tally, sums in self._sums.items():
            rows = [(*key, *amounts) for key, amounts in sums.items() if any(amounts)]
            if rows:
                changes.append((tally.add, rows))
        self._sums.clear()
        return changes


def add_to(sums: dict[Key, list[int]], key: Key, amounts: Sequence[int]) -> None:
    """Add amounts to the sums of a key."""
    known = sums.get(key)
    if known is None:
        sums[key] = [*amounts]
        return
    for at, amount in enumerate(amounts):
        if amount:
            known[at] += amount


def _add(table: str, fields: Sequence[Field], key_size: int) -> RowStatement:
    """The statement that adds to a sum, or makes it."""
    columns = ", ".join(map(quoted, fields))
    key = ", ".join(map(quoted, fields[:key_size]))
    sums = ", ".join(
        f'{quoted(each)} = "{table}".{quoted(each)} + excluded.{quoted(each)}'
        for each in fields[key_size:]
    )
    into, then = f'INSERT INTO "{table}" ({columns})', f"ON CONFLICT ({key}) DO UPDATE SET {sums}"
    one = f"{into} VALUES ({', '.join('?' * len(fields))}) {then}"
    many = f"{into} SELECT {columns} FROM {records(fields)} {then}"
    return RowStatement(one, many, names(fields), fields)
