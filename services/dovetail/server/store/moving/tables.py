"""The tables that are moved, in the order in which their rows can be written.

A row comes after those that it refers to. Every model of the schema is in one of the two lists
below, which `tests/store/test_moved_tables.py` checks: a new table must be thought about, because
what is carried by mistake (the position of an index whose entries were not) is as wrong as what is
forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from peewee import BlobField, Field, TextField

from dovetail.server.store.queries import Model
from dovetail.server.store.schema import (
    AgentGroupRow,
    AgentRow,
    AssigneeFiguresRow,
    CleaningPositionRow,
    CredentialRow,
    DeliveryRow,
    DurationFiguresRow,
    DutyRow,
    GroupMemberRow,
    HandoutRow,
    MessageAttachmentRow,
    MessageDeadlineRow,
    MessageRow,
    PresenceRow,
    RemovedAssigneeFiguresRow,
    RemovedDurationFiguresRow,
    RemovedUsageFiguresRow,
    SearchProgressRow,
    ServerProcessRow,
    TaskAttachmentRow,
    TaskAttemptRow,
    TaskDependencyRow,
    TaskEventRow,
    TaskFollowUpRow,
    TaskLinkRow,
    TaskRow,
    TeamRow,
    ThreadHourRow,
    UsageFiguresRow,
)
from dovetail.server.store.statements import column_type, quoted

MODELS: tuple[type[Model], ...] = (
    TeamRow,
    CredentialRow,
    AgentRow,
    AgentGroupRow,
    GroupMemberRow,
    MessageRow,
    MessageAttachmentRow,
    DeliveryRow,
    MessageDeadlineRow,
    HandoutRow,
    ThreadHourRow,
    TaskRow,
    TaskDependencyRow,
    TaskLinkRow,
    TaskEventRow,
    TaskFollowUpRow,
    TaskAttemptRow,
    TaskAttachmentRow,
    # Sums over tasks are carried, not counted anew: they may hold tasks that are there no more.
    AssigneeFiguresRow,
    DurationFiguresRow,
    UsageFiguresRow,
    RemovedAssigneeFiguresRow,
    RemovedDurationFiguresRow,
    RemovedUsageFiguresRow,
)

LEFT_OUT: Mapping[type[Model], str] = {
    PresenceRow: "what agents have open on the servers of the other store",
    ServerProcessRow: "those servers",
    SearchProgressRow: "how far an index goes that is not moved: servers fill a new one",
    CleaningPositionRow: "cleaners look from the beginning again",
    DutyRow: "which server cleans the other store",
}
"""Models of the schema that are not moved, and why: what servers make anew by themselves."""

TEAM_ID = "team_id"
NO_TEAM = ""
"""The id of the row in `teams` that belongs to the whole store, as credentials do."""

Row = tuple[Any, ...]
"""A row: the values of all columns of its table, in their order."""

Key = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column: its type as PostgreSQL names it, and whether it may be NULL."""

    name: str
    type: str
    is_nullable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MovedTable:
    """A table that is moved. The values of its key compare on all sides as they do here."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sized: tuple[str, ...]
    """The columns that decide how large a row is."""
    key_of: Callable[[Row], Key]

    @property
    def is_of_teams(self) -> bool:
        """Whether each row belongs to a team. Those of other tables belong to the whole store."""
        return self.key[0] == TEAM_ID

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        return tuple(column.name for column in self.columns)


def _moved(model: type[Model]) -> MovedTable:
    meta: Any = getattr(model, "_meta")  # noqa: B009
    fields: list[Field] = meta.sorted_fields
    names = [str(field.column_name) for field in fields]
    primary = meta.primary_key
    key = tuple(map(str, getattr(primary, "field_names", (primary.name,))))
    at = [names.index(each) for each in key]
    single = itemgetter(at[0])
    return MovedTable(
        name=str(meta.table_name),
        columns=tuple(
            Column(name=name, type=column_type(field), is_nullable=bool(field.null))
            for name, field in zip(names, fields, strict=True)
        ),
        key=key,
        sized=tuple(
            quoted(field)
            for name, field in zip(names, fields, strict=True)
            # Ids are short, and keys are ids and numbers.
            if isinstance(field, (TextField, BlobField))
            and name not in key
            and not name.endswith("_id")
        ),
        key_of=itemgetter(*at) if len(at) > 1 else lambda row: (single(row),),
    )


MOVED = tuple(map(_moved, MODELS))
BY_NAME = {table.name: table for table in MOVED}
TEAMS = BY_NAME["teams"]
