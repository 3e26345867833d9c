"""How values stand in lines: as the JSON mapping of protobuf has them, and read back exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.messaging.v1.messaging_pb2 import Message
from dovetail.server.archives import columns
from dovetail.server.archives.columns import (
    ASCII_JSON,
    JSON,
    KINDS,
    KINDS_IN,
    LABELS,
    PLAIN_NUMBERS,
    ColumnError,
    Kind,
    decode,
    kind_of,
    reader_of,
)
from dovetail.server.archives.lines import Reader, Writer, parse
from dovetail.server.archives.payloads import read_payload, write_payload
from dovetail.server.store.moving import reading
from dovetail.server.store.moving.places import opened
from dovetail.server.store.moving.tables import MOVED, Column
from store.opened import migrated
from support.everything import fill
from support.synthetic import foreign_keys, write_synthetic_rows

KIND = {
    (table.name, column.name): kind_of(table, column) for table in MOVED for column in table.columns
}
STRUCTURED = (JSON, ASCII_JSON, LABELS)


def test_every_number_of_32_bits_is_known_to_be_an_enum_a_flag_or_a_number() -> None:
    unknown = {
        f"{table.name}.{column.name}"
        for table in MOVED
        for column in table.columns
        if column.type == "integer"
        and column.name not in {*KINDS, *PLAIN_NUMBERS}
        and (table.name, column.name) not in KINDS_IN
    }
    assert not unknown, (
        "say in archives/columns.py what it holds: an enum of the contract or FLAG in KINDS, else"
        " its name in PLAIN_NUMBERS"
    )


def test_what_is_said_of_columns_is_said_of_columns_that_there_are() -> None:
    names = {name for _, name in KIND}
    assert {*KINDS, *PLAIN_NUMBERS} <= names
    assert {*KINDS_IN} <= {*KIND}


async def test_lines_of_a_store_with_everything_give_back_every_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    await fill(url, tmp_path)
    with opened(url) as place:
        for table in MOVED:
            rows = [*reading.rows(place, table)]
            assert rows, f"fill {table.name} in tests/support/everything.py"
            writer, reader = Writer(table), Reader(table, table.column_names)
            for row in rows:
                line = writer.line(row)
                name, content = parse(line, 1)
                assert (name, reader.row(content)) == (table.name, row)
            for at, column in enumerate(table.columns):
                if column.type == "text" and KIND[table.name, column.name] not in STRUCTURED:
                    texts = [row[at] for row in rows if row[at]]
                    assert not texts or not all(map(_is_json, texts)), (
                        f"{table.name}.{column.name} is JSON: say so in KINDS in"
                        " archives/columns.py"
                    )


def test_lines_give_back_every_column_whatever_it_holds(sqlite_url: str) -> None:
    with migrated(sqlite_url) as engine:
        fixed = foreign_keys(engine.database)
    with opened(sqlite_url) as place:
        write_synthetic_rows(place, fixed)
        for table in MOVED:
            writer, reader = Writer(table), Reader(table, table.column_names)
            for row in reading.rows(place, table):
                assert reader.row(parse(writer.line(row), 1)[1]) == row


def _is_json(text: str) -> bool:
    try:
        return isinstance(decode(text), (dict, list))
    except ValueError:
        return False


TIMES = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(TIMES, st.integers(-315_576_000_000 * 10**6, 315_576_000_000 * 10**6))
def test_times_and_lengths_are_those_of_protobuf(time: int, length: int) -> None:
    moment, duration = Timestamp(), Duration()
    moment.FromJsonString(str(columns.TIME.write(time)))
    assert moment.ToMicroseconds() == time
    assert columns.TIME.read(moment.ToJsonString()) == time
    duration.FromJsonString(str(columns.DURATION.write(length)))
    assert duration.ToMicroseconds() == length
    assert columns.DURATION.read(duration.ToJsonString()) == length


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.text())
def test_json_is_shown_as_json_only_where_it_is_written_the_same_again(
    content: Any, text: str
) -> None:
    for stored in (json.dumps([content], ensure_ascii=False), json.dumps([content]), text):
        for kind in STRUCTURED:
            assert kind.read(kind.write(stored)) == stored


SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(
    st.text(),
    st.recursive(SCALARS, lambda each: st.lists(each) | st.dictionaries(st.text(), each)),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), OBJECTS, st.dictionaries(st.text(), st.text()), st.binary(max_size=20))
def test_a_message_gives_the_same_bytes_or_carries_them(
    body: str, data: dict[str, Any], labels: dict[str, str], strange: bytes
) -> None:
    message = Message(message_id="m1", body=body, labels=labels, recipient_count=3)
    message.create_time.FromMicroseconds(1_795_660_952_000_001)
    if data:
        message.data.update(data)
    exact = message.SerializeToString(deterministic=True)
    text, is_exact = write_payload(exact)
    assert isinstance(text, dict)
    assert json_format.ParseDict(text, Message()) == message
    if is_exact:
        assert read_payload(text) == exact
    assert is_exact or "-0.0" in str(data)
    for stored in (exact[::-1], exact + strange, strange, b"\xa2\x06\x01x" + exact):
        found, gives_back = write_payload(stored)
        assert not gives_back or read_payload(found) == stored


def column(type: str, is_nullable: bool = False) -> Column:  # noqa: A002
    return Column(name="x", type=type, is_nullable=is_nullable)


WRONG: list[tuple[str, Kind, Any, str]] = [
    ("text", columns.TEXT, 7, "must be a text"),
    ("text", columns.TEXT, None, "must be there"),
    ("bigint", columns.LARGE_NUMBER, "7.5", 'must be a whole number, such as "7"'),
    ("bigint", columns.LARGE_NUMBER, 7.5, 'must be a whole number, such as "7"'),
    ("bigint", columns.LARGE_NUMBER, True, 'must be a whole number, such as "7"'),
    ("bigint", columns.LARGE_NUMBER, str(2**63), "must be a number of 64 bits"),
    ("integer", columns.NUMBER, 2**31, "must be a number of 32 bits"),
    ("bytea", columns.BYTES, "~", "must be bytes in base64"),
    ("bigint", columns.TIME, "yesterday", "must be a time such as 2026-11-27T09:30:00.000000Z"),
    ("bigint", columns.TIME, "2026-11-27T09:30:00", "must be a time such as"),
    ("bigint", columns.TIME, "2026-11-27T09:30:00.0000001Z", "must be a time such as"),
    ("bigint", columns.TIME, 7, "must be a text"),
    ("bigint", columns.DURATION, "10 s", "must be a length of time such as 10s or 0.250000s"),
    ("integer", columns.FLAG, "yes", 'must be a whole number, such as "7"'),
    (
        "integer",
        columns.TASK_STATE,
        "DONE",
        "must be one of TASK_STATE_UNSPECIFIED",
    ),
    ("text", columns.JSON, 7, "must be an object, a list, or a text"),
    ("text", columns.LABELS, {"a": 1}, "must be an object whose values are texts"),
    ("text", columns.LABELS, 7, "must be an object whose values are texts"),
    ("text", columns.VERB, 7, "must be a text"),
]


@pytest.mark.parametrize(("type", "kind", "value", "said"), WRONG)
def test_a_wrong_value_is_refused_by_what_would_be_right(
    type: str,  # noqa: A002
    kind: Kind,
    value: Any,
    said: str,
) -> None:
    with pytest.raises(ColumnError) as refused:
        reader_of(column(type), kind)(value)
    assert said in str(refused.value)


def test_values_in_other_words_are_read_too() -> None:
    for kind, value, read in (
        (columns.LARGE_NUMBER, 7, 7),
        (columns.NUMBER, "7", 7),
        (columns.TIME, "1970-01-01T01:00:01+01:00", 1_000_000),
        (columns.TIME, "1000001", 1_000_001),
        (columns.FLAG, True, 1),
        (columns.TASK_STATE, "TASK_STATE_FAILED", 5),
        (columns.TASK_STATE, 5, 5),
        (columns.VERB, "CLAIM", "CLAIM"),
    ):
        assert kind.read(value) == read
    assert reader_of(column("text", is_nullable=True), columns.TEXT)(None) is None


def test_a_payload_that_is_no_message_is_refused() -> None:
    wrong: list[tuple[Any, str]] = [
        (7, "must be a message"),
        ("~", "base64"),
        ({"subjekt": ""}, 'no field named "subjekt"'),
    ]
    for value, said in wrong:
        with pytest.raises(ColumnError, match=said):
            read_payload(value)
