"""Which tables are moved: all, in an order in which they can be written."""

from __future__ import annotations

from dovetail.server.store.moving.tables import LEFT_OUT, MODELS, MOVED
from dovetail.server.store.schema import TABLES
from store.opened import migrated


def test_every_model_is_moved_or_left_out_for_a_reason() -> None:
    listed = [*MODELS, *LEFT_OUT]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(TABLES), (
        "add a new model to MODELS in store/moving/tables.py, where its rows come after those that"
        " they refer to; or to LEFT_OUT with the reason, where servers make its rows anew"
    )
    assert all(LEFT_OUT.values())


def test_rows_come_after_those_that_they_refer_to(sqlite_url: str) -> None:
    seen = set[str]()
    with migrated(sqlite_url) as engine:
        for table in MOVED:
            referred = {each.dest_table for each in engine.database.get_foreign_keys(table.name)}
            assert referred <= seen, f"{table.name} before {referred - seen}"
            seen.add(table.name)


def test_keys_are_in_the_order_of_their_index(sqlite_url: str) -> None:
    with migrated(sqlite_url) as engine:
        for table in MOVED:
            query = f"SELECT name FROM pragma_table_info('{table.name}') WHERE pk > 0 ORDER BY pk"
            key = [name for (name,) in engine.database.execute_sql(query).fetchall()]
            assert key == [*table.key], table.name
