"""Renders what searches find: what it is, and the places where it was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dovetail.cli.output.messages import head
from dovetail.cli.output.render import said, state
from dovetail.cli.output.signs import signs
from dovetail.cli.output.styled import Text, lines
from dovetail.cli.output.text import escape_controls, local
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2 as types

FOUND = "bold yellow"
"""The style of what was found."""


def message_hit(item: talk.MessageHit) -> Text:
    """A message, and where in it something was found."""
    message = item.record.message
    title = Text.assemble((f"{message.message_id}  ", "bold"), head(message, ""))
    return lines(title, *_places(talk.MessageField, item.places))


def task_hit(item: work.TaskHit) -> Text:
    """A task, and where in it something was found."""
    task = item.task
    title = Text.assemble(
        (f"{escape_controls(task.task_id)}  ", "bold"),
        state(task.state),
        "  ",
        (escape_controls(task.assignee_id) or "-", "cyan"),
        (f"  {local(task.create_time)}", "dim"),
    )
    shown = [title]
    if not any(place.field == work.TASK_FIELD_TITLE for place in item.places):
        shown.append(Text(f"    {_flat(task.title)}"))
    return lines(*shown, *_places(work.TaskField, item.places))


def _places(enum: Any, places: Iterable[talk.MessagePlace | work.TaskPlace]) -> Iterator[Text]:
    for place in places:
        name = (f"    {said(enum, place.field)}: ", "dim")
        yield Text.assemble(name, _excerpt(place.excerpt))


def _excerpt(excerpt: types.Excerpt) -> Text:
    """A part of a text on one line, with what was found in another style."""
    text, at = excerpt.text, 0
    shown = Text(signs("…") if excerpt.start else "")
    for found in excerpt.matches:
        shown.append(_flat(text[at : found.start])).append(
            _flat(text[found.start : found.end]), FOUND
        )
        at = found.end
    is_cut = excerpt.start + len(text) < excerpt.characters
    return shown.append(_flat(text[at:])).append(signs("…") if is_cut else "")


def _flat(text: str) -> str:
    """A piece of a text, whose spaces stay: what is beside it goes on."""
    return escape_controls("".join(" " if each.isspace() else each for each in text))
