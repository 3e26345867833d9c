"""Bad fields of attachments, wherever a request has some, and of the calls that return them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1.types_pb2 import Attachment
from wire.requests import CHANGES, Row, completions, create, creations, send, sends

BAD_NAMES = (
    *("", "x" * 256, "é" * 128, ".", "..", "/", "../x", "a/b", "..\\x", "a\\b"),
    *("a\nb", "a\0b", " a", "a ", "e\u0301", "gpj.\u202eexe", "a\u200bb", "\u2028"),
)
BAD_MEDIA_TYPES = (
    *("text", "/", "text/", "/plain", "text/plain/x", "text/plain;", "text/plain; x", "té/x"),
    *("text/plain\nX: y", 'text/plain; x="\n"', " text/plain", "a/" + "b" * 254),
)
BAD_URLS = (
    *("x", "/x", "files/x", "//x/y", "https:x", "https://", "javascript:alert(1)", "1a://b"),
    *("https://x/a b", "https://ä/", "https://x\n", "https://" + "x" * 2_041),
)
WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    *(({"name": name, "data": b""}, ".name") for name in BAD_NAMES),
    *(({"media_type": kind, "data": b""}, ".media_type") for kind in BAD_MEDIA_TYPES),
    *(({"url": url}, ".url") for url in BAD_URLS),
    ({"url": ""}, ".url"),
    ({}, ""),
    ({"size": 4, "data": b"abc"}, ".size"),
    ({"size": -1, "url": "a://b"}, ".size"),
    ({"sha256": b"0" * 32, "data": b"abc"}, ".sha256"),
    ({"sha256": b"0" * 20, "url": "a://b"}, ".sha256"),
)

HOLDING: tuple[tuple[str, Callable[[list[Attachment]], Message], str], ...] = (
    ("SendMessage", lambda files: send(attachments=files), "attachments"),
    ("BatchSendMessages", lambda files: sends(attachments=files), "requests[1].attachments"),
    ("CreateTask", lambda files: create(input_attachments=files), "input_attachments"),
    (
        "BatchCreateTasks",
        lambda files: creations(input_attachments=files),
        "requests[1].input_attachments",
    ),
    (
        "CompleteTask",
        lambda files: CHANGES["CompleteTask"](result=t.TaskResult(attachments=files)),
        "result.attachments",
    ),
    (
        "BatchCompleteTasks",
        lambda files: completions(result=t.TaskResult(attachments=files)),
        "requests[1].result.attachments",
    ),
)


def files() -> Iterator[Row]:
    first = Attachment(name="first", data=b"")
    for method, make, field in HOLDING:
        for wrong, place in WRONG:
            fields: dict[str, Any] = {"name": "second", **wrong}
            bad = Attachment(**fields)
            yield method, make([first, bad]), f"{field}[1]{place}"
        yield method, make([first, first]), f"{field}[1].name"
        yield method, make([Attachment(name=str(n), data=b"") for n in range(21)]), field
        yield method, make([first, Attachment(name="large", data=b"x" * (1024 * 1024 + 1))]), field
    for name in BAD_NAMES:
        yield "GetAttachment", m.GetAttachmentRequest(message_id="m1", name=name), "name"
        yield "GetTaskAttachment", of_task(name=name), "name"
    wrong: Any = 99
    yield "GetTaskAttachment", of_task(place=wrong), "place"
    for number in (0, -1, -(2**63)):
        late = of_task(place=t.ATTACHMENT_PLACE_LATE_RESULT, start_event_number=number)
        yield "GetTaskAttachment", late, "start_event_number"
    yield "GetTaskAttachment", of_task(start_event_number=7), "start_event_number"


def of_task(**fields: Any) -> t.GetTaskAttachmentRequest:
    chosen: dict[str, Any] = {"task_id": "build", "name": "x", **fields}
    return t.GetTaskAttachmentRequest(**chosen)
