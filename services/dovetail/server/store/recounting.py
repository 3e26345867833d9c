"""The kept figures of a team beside the same counted anew: for `dovetail doctor`.

They are counted from the tasks that are kept, and what those that were removed have added is added
to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dovetail.server.store.queries import Delete
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.statements import Key
from dovetail.server.store.tables.shares import REMOVED
from dovetail.server.store.tables.tasks import TASKS
from dovetail.server.store.tallies import Tally, add_to
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param, params

Sums = Mapping[Key, Sequence[int]]
_TALLIES = [tally for tally, _ in TASKS.tallies]


def is_right(snapshot: Snapshot) -> bool:
    """Whether the kept figures of a team agree with its tasks."""
    counted = _count(snapshot)
    return all(_kept(snapshot, tally) == _without_zeros(counted[tally]) for tally in _TALLIES)


def rebuild(transaction: Transaction) -> None:
    """Replace the kept figures of a team by those of its tasks, also those that were just put."""
    # Reading the tasks writes those that were put, and deleting the sums writes what these add to
    # them (`group.py`): so nothing is left that would be added to the new ones.
    for tally, sums in _count(transaction).items():
        transaction.write(Statement(Delete(tally.model).where(tally.team == param("team_id"))))
        add = Statement(tally.model.insert(params(*tally.columns)))
        names = [field.name for field in tally.columns[1:]]
        for key, amounts in _without_zeros(sums).items():
            transaction.write(add, **dict(zip(names, (*key, *amounts), strict=True)))


def _count(snapshot: Snapshot) -> dict[Tally, dict[Key, list[int]]]:
    """All that the tasks of a team add, read in parts. Memory grows with assignees, not tasks."""
    found: dict[Tally, dict[Key, list[int]]] = {tally: {} for tally in _TALLIES}
    for removed, tally in REMOVED.items():
        for key, amounts in _kept(snapshot, removed).items():
            add_to(found[tally], key, amounts)
    fields = [field for tally in _TALLIES for field in tally.fields]
    query = TaskRow.select(TaskRow.number, *fields).where(TaskRow.team_id == snapshot.team_id)
    for rows in snapshot.select_in_parts(query, TaskRow.number):
        for _, *values in rows:
            at = 0
            for tally, sums in found.items():
                for key, amounts in tally.shares(*values[at : at + len(tally.fields)]):
                    add_to(sums, key, amounts)
                at += len(tally.fields)
    return found


def _kept(snapshot: Snapshot, tally: Tally) -> Sums:
    query = tally.model.select(*tally.columns[1:]).where(tally.team == snapshot.team_id)
    rows, size = snapshot.select(query), tally.key_size - 1
    return _without_zeros({tuple(row[:size]): [*row[size:]] for row in rows})


def _without_zeros(sums: Sums) -> Sums:
    """Sums of nothing: they are as good as rows that are not there."""
    return {key: amounts for key, amounts in sums.items() if any(amounts)}
