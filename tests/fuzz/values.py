"""Values for fields: sound ones by the fields' names, and odd ones that a careless client sends."""

from __future__ import annotations

import random
import time
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.types.v1.types_pb2 import Attachment

WORDS = ("plan", "a b", "Ω", "日本語", "🚀🚀", "é", "x" * 40, "%_'\";--", "{}", "c:\\", "0", "-")
LABELS = ("area", "stage", "k", "Ω", "a.b/c")
AGENTS = tuple(f"agent-{number}" for number in range(6))
FILES = ("a.txt", "b.png", "日本語 (1).csv", "Makefile", ".hidden", "x" * 255)
LENGTHS = (63, 64, 65, 127, 128, 129, 256, 257, 512, 513, 4_096, 4_097, 65_536, 65_537, 300_000)
ODD_TEXTS = (
    *(
        "",
        " ",
        " a",
        "a ",
        "a\0b",
        "a\tb",
        "\x1e\x1f",
        "\u202e\u200b",
        "e\u0301",
        "\ufeff",
        "\u2028",
    ),
    *("\U0010ffff", "ﷺ" * 128, "/", "..", "*", "null", "NaN", "' OR 1=1 --", "$1", "\\u0000"),
)
WHOLE = {
    Field.TYPE_INT32: (-(2**31), 2**31 - 1),
    Field.TYPE_INT64: (-(2**63), 2**63 - 1),
}
ODD_WHOLE = (
    -1,
    0,
    1,
    100,
    101,
    1_000,
    1_001,
    10_001,
    2**31 - 1,
    -(2**31),
    2**53,
    2**63 - 1,
    -(2**63),
)
ODD_DOUBLES = (float("nan"), float("inf"), -float("inf"), -0.0, 1e308, 5e-324, 2.0**53, -(2.0**60))
ODD_SECONDS = (
    -1,
    0,
    1,
    51,
    3_600,
    3_601,
    86_401,
    366 * 86_401,
    3_650 * 86_401,
    2**63 - 1,
    -(2**63),
)
ODD_NANOS = (-1, 1, 999, 1_000, 999_999_999, 1_000_000_000, 2**31 - 1)
DURATIONS = {
    "max_wait": (0.0, 0.01, 0.1, 0.3),
    "lease_duration": (0.5, 1.0, 10.0, 60.0),
    "grace": (0.0, 1.0, 60.0),
    "lifetime": (1.0, 5.0, 3_600.0),
    "ack_deadline": (0.01, 1.0, 3_600.0),
    "answer_within": (1.0, 2.0, 3_600.0),
    "bucket_duration": (1.0, 60.0, 3_600.0),
    "initial_backoff": (0.001, 0.1, 1.0),
    **dict.fromkeys(
        ("message_age", "unacknowledged_age", "notice_age", "task_age", "event_age", "attempt_age"),
        (0.0, 3_600.0, 86_400.0),
    ),
}
MASKS = ("title", "description", "labels", "priority", "due_time", "schedule_time", "input")
MORE_MASKS = (
    *("depends_on", "max_attempts", "initial_backoff", "parent_task_id", "links", "thread_id"),
    *("max_tokens", "max_cost", "display_name", "kind"),
    *("retention", "retention.message_age", "retention.event_count", "loop_limits"),
)
DEEP = (28, 29, 30, 31)
"""Levels of structured data: each is up to three messages, and protobuf allows 100 in all."""


def text(rng: random.Random, odd: bool) -> str:
    """Words, or what no words should be."""
    if not odd:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 4)))
    if rng.random() < 0.5:
        return rng.choice(ODD_TEXTS)
    return rng.choice(("x", "é", "🚀")) * (rng.choice(LENGTHS) // rng.choice((1, 1, 2, 4)))


def whole(rng: random.Random, field: Any, odd: bool) -> int:
    """A whole number that fits the wire's type."""
    if not odd:
        return rng.choice((1, 1, 2, 5, 20))
    least, most = WHOLE.get(field.type, (0, 2**31 - 1))
    return max(least, min(most, rng.choice(ODD_WHOLE)))


def number(rng: random.Random, odd: bool) -> float:
    """A floating point number."""
    if odd:
        return rng.choice(ODD_DOUBLES)
    return rng.choice((0.0, 1.0, -1.5, 3.25e10, float(2**53 - 1), rng.random()))


def enum(rng: random.Random, field: Any, odd: bool) -> int:
    """A number of an enum; zero means nothing, and is odd in a list."""
    if odd:
        return rng.choice((0, -1, 99, 2**31 - 1, -(2**31)))
    known: list[int] = [value.number for value in field.enum_type.values]
    return rng.choice(known[1:] if field.is_repeated else known)


def content(rng: random.Random, odd: bool) -> bytes:
    """Bytes of any kind; odd ones are those of a hash that is wrong, or very many."""
    return rng.randbytes(rng.choice((31, 32, 33, 2_000_000) if odd else (0, 1, 20, 5_000)))


def attachment(rng: random.Random) -> Attachment:
    """A sound attachment: bytes, or a reference of which more or less is said."""
    found = Attachment(name=rng.choice(FILES), media_type=rng.choice(("", "text/plain")))
    if rng.random() < 0.7:
        found.data = content(rng, odd=False)
        return found
    found.url = f"https://files.example/{rng.randrange(10**6)}"
    if rng.random() < 0.5:
        found.size, found.sha256 = rng.randrange(2**60), rng.randbytes(32)
    return found


def timestamp(rng: random.Random, name: str, odd: bool) -> Timestamp:
    """A time: bounds of filters include now."""
    if odd:
        return Timestamp(seconds=rng.choice(ODD_SECONDS), nanos=rng.choice(ODD_NANOS))
    offset = -3_600 if name.endswith("_from") else 3_600 if name.endswith("_until") else 0
    return Timestamp(seconds=int(time.time()) + (offset or rng.randint(-5, 5)))


def duration(rng: random.Random, name: str, odd: bool) -> Duration:
    """A length of time that suits a field."""
    if odd:
        return Duration(seconds=rng.choice(ODD_SECONDS), nanos=rng.choice((0, *ODD_NANOS)))
    seconds = rng.choice(DURATIONS.get(name, (1.0,)))
    return Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1_000) * 1_000_000)


def mask(rng: random.Random, odd: bool) -> list[str]:
    """Paths of a field mask."""
    if odd:
        return rng.choices(
            (*MASKS, *MORE_MASKS, *ODD_TEXTS), k=rng.choice((0, 1, 3, 100, 101, 5_000))
        )
    return rng.sample((*MASKS, *MORE_MASKS), k=rng.randint(1, 3))


def structure(rng: random.Random, odd: bool) -> Struct:
    """Structured data: sound data is small; odd data is deep, wide, or holds what no JSON does."""
    found = Struct()
    if not odd:
        for _ in range(rng.randint(0, 4)):
            found.fields[text(rng, odd=False)].CopyFrom(_value(rng, 3, odd=False))
        return found
    shape = rng.random()
    if shape < 0.3:
        _nest(rng, found.fields["deep"])
    elif shape < 0.5:
        count = rng.choice((9_998, 9_999, 10_000, 10_001, 30_000))
        found.fields["wide"].list_value.CopyFrom(ListValue(values=[Value(null_value=0)] * count))  # type: ignore[arg-type]
    else:
        for _ in range(rng.randint(0, 5)):
            found.fields[text(rng, odd=True)].CopyFrom(_value(rng, 4, odd=True))
    return found


def _nest(rng: random.Random, value: Value) -> None:
    for _ in range(rng.choice(DEEP)):
        value = (
            value.list_value.values.add() if rng.random() < 0.5 else value.struct_value.fields["k"]
        )
    value.bool_value = True


def _value(rng: random.Random, levels: int, odd: bool) -> Value:
    kind = rng.randint(0, 6 if levels else 4)
    if kind == 0:
        return Value() if odd and rng.random() < 0.5 else Value(null_value=0)  # type: ignore[arg-type]
    if kind == 1:
        return Value(number_value=number(rng, odd and rng.random() < 0.3))
    if kind == 2:
        return Value(bool_value=rng.random() < 0.5)
    if kind in (3, 4):
        return Value(string_value=text(rng, odd and rng.random() < 0.3))
    inner = [_value(rng, levels - 1, odd) for _ in range(rng.randint(0, 3))]
    if kind == 5:
        return Value(list_value=ListValue(values=inner))
    return Value(
        struct_value=Struct(fields={f"k{index}": each for index, each in enumerate(inner)})
    )
