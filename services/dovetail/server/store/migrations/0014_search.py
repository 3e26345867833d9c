"""The index of words over messages and tasks. Servers fill it for what there is already."""

from __future__ import annotations

from typing import Any

PROGRESS = """
    CREATE TABLE search_progress (
        team_id {id} NOT NULL REFERENCES teams (team_id),
        kind INTEGER NOT NULL,
        space BIGINT NOT NULL,
        through_number BIGINT NOT NULL,
        PRIMARY KEY (team_id, kind)
    ){options}"""

# The words come as they are to be indexed, with ASCII in lower case: the tokenizer only separates
# them. Neither positions nor sizes of documents are asked for.
SQLITE = (
    """
    CREATE VIRTUAL TABLE search_documents USING fts5 (
        words, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
    )""",
    """
    CREATE TABLE search_vocabulary (
        space INTEGER NOT NULL,
        word TEXT NOT NULL,
        PRIMARY KEY (space, word)
    ) WITHOUT ROWID""",
)
# Every search reads the pending list, so it is kept short; without one, indexing takes three times
# as long.
POSTGRES = (
    """
    CREATE TABLE search_documents (
        team_id {id} NOT NULL,
        kind INTEGER NOT NULL,
        number BIGINT NOT NULL,
        words TSVECTOR NOT NULL,
        PRIMARY KEY (team_id, kind, number)
    )""",
    """
    CREATE INDEX search_documents_words ON search_documents USING gin (words)
    WITH (gin_pending_list_limit = 256)""",
)

# Ids compare by their bytes on both engines, so that pages have one order.
TYPES = {
    "SqliteDatabase": {"id": "TEXT", "options": " WITHOUT ROWID"},
    "PostgresqlDatabase": {"id": 'TEXT COLLATE "C"', "options": ""},
}


def up(_: Any, db: Any) -> None:
    """Add the tables. Plain SQL of each engine, frozen as it was released."""
    kind = next(kind.__name__ for kind in type(db).__mro__ if kind.__name__ in TYPES)
    index = SQLITE if kind == "SqliteDatabase" else POSTGRES
    for statement in (PROGRESS, *index):
        db.execute_sql(statement.format(**TYPES[kind]))
