"""Attempts: each time that a task was started, who held it, and how that ended.

An attempt is written when it ends. While it lasts the task's row tells all of it, so that to start
a task costs no row more. It is known by the number of the event that began it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from peewee import Value

from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.queries import descending, fn
from dovetail.server.store.schema import TaskAttemptRow as AttemptRow
from dovetail.server.store.sets import Codec, Row, Table
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

SEARCHED_MAX = 100
"""Among so many of a task's last attempts the one of a token is looked for. Chosen: the holder that
comes after a hundred others is not waited for."""


class AttemptEnd(IntEnum):
    """How an attempt ended."""

    COMPLETED = 1
    FAILED = 2
    LEASE_LOST = 3
    RELEASED = 4
    TAKEN_AWAY = 5
    CANCELLED = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class LateResult:
    """What a holder brought after its attempt had ended: `verb` is COMPLETE or FAIL.

    Its attachments are a text of `tables/attachments.py`.
    """

    verb: TaskVerb
    time: int
    text: str
    data_json: str | None
    retryable: bool
    attachments_json: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One time that a task was started.

    Without an `ending` it lasts. `token_hash` is that of its lease's token, or empty.
    """

    task_id: str
    start_event: int
    attempt: int
    holder_id: str
    start_time: int
    end_event: int = 0
    end_time: int | None = None
    ending: AttemptEnd | None = None
    reason: str = ""
    failure_text: str = ""
    failure_json: str | None = None
    retryable: bool = False
    progress_percent: int | None = None
    progress_note: str = ""
    token_hash: str = ""
    late: LateResult | None = None
    usage_json: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of the attempts of a task, in which order, after which start event.

    `present` is the attempt that lasts, of which there is no row.
    """

    task_id: str
    present: Attempt | None
    newest_first: bool
    after: int | None
    most: int
    most_bytes: int


_COLUMNS = (
    AttemptRow.task_id,
    AttemptRow.start_event,
    AttemptRow.attempt,
    AttemptRow.holder_id,
    AttemptRow.start_time,
    AttemptRow.end_event,
    AttemptRow.end_time,
    AttemptRow.ending,
    AttemptRow.reason,
    AttemptRow.failure_text,
    AttemptRow.failure_data,
    AttemptRow.retryable,
    AttemptRow.progress_percent,
    AttemptRow.progress_note,
    AttemptRow.token_hash,
    AttemptRow.late_verb,
    AttemptRow.late_time,
    AttemptRow.late_text,
    AttemptRow.late_data,
    AttemptRow.late_retryable,
    AttemptRow.usage,
    AttemptRow.late_attachments,
)
_ENVELOPE_BYTES = 128
_TEXTS = (
    AttemptRow.task_id,
    AttemptRow.holder_id,
    AttemptRow.reason,
    AttemptRow.failure_text,
    AttemptRow.failure_data,
    AttemptRow.progress_note,
    AttemptRow.late_text,
    AttemptRow.late_data,
    AttemptRow.usage,
    AttemptRow.late_attachments,
)
_SIZE = sum((fn.COALESCE(fn.OCTET_LENGTH(text), 0) for text in _TEXTS), Value(_ENVELOPE_BYTES))
_LAST = Statement(
    AttemptRow.select(AttemptRow.start_event, AttemptRow.token_hash)
    .where(AttemptRow.team_id == param("team_id"), AttemptRow.task_id == param("task_id"))
    .order_by(descending(AttemptRow.start_event))
    .limit(SEARCHED_MAX)
)


def append(transaction: Transaction, attempt: Attempt) -> None:
    """Write an attempt that has ended."""
    transaction.add(_TABLE, attempt)


def save(transaction: Transaction, attempt: Attempt) -> None:
    """Write an attempt whose late result came."""
    transaction.put(_TABLE, attempt)


def find(snapshot: Snapshot, task_id: str, start_event: int) -> Attempt | None:
    """The attempt that an event began, if it has ended; or None."""
    return snapshot.find(_TABLE.by_key, task_id, start_event)


def find_held(snapshot: Snapshot, task_id: str, token_hash: str) -> Attempt | None:
    """The attempt, among the last of a task, whose holder had this token."""
    for start_event, other_hash in snapshot.rows(_LAST, task_id=task_id):
        if other_hash == token_hash:
            return snapshot.find(_TABLE.by_key, task_id, start_event)
    return None


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Attempt]:
    """A page of at most `most` attempts and about `most_bytes`, but at least one."""
    mine = (AttemptRow.team_id == snapshot.team_id) & (AttemptRow.task_id == asked.task_id)
    number = AttemptRow.start_event
    stretch = Stretch(newest_first=asked.newest_first, after=asked.after)
    order = stretch.order(number)
    query = AttemptRow.select(number, _SIZE).where(mine, *stretch.of(number))
    sizes = snapshot.select(query.order_by(order).limit(asked.most + 1))
    sizes = _with_present(sizes, asked)
    numbers = take_bytes(((each, size) for each, size in sizes[: asked.most]), asked.most_bytes)
    chosen = AttemptRow.select(*_COLUMNS).where(mine, number.in_(numbers))
    found = {row[1]: _from_row(row) for row in snapshot.select(chosen)}
    if asked.present:
        found[asked.present.start_event] = asked.present
    return Page(
        [found[each] for each in numbers], numbers[-1] if len(numbers) < len(sizes) else None
    )


def _with_present(sizes: list[Row], asked: ListRequest) -> list[Row]:
    """The numbers and sizes with the attempt that lasts, the newest of all, if it is asked for."""
    if asked.present is None:
        return sizes
    present = [(asked.present.start_event, _ENVELOPE_BYTES + 4 * len(asked.present.progress_note))]
    if asked.newest_first:
        is_later = asked.after is None or asked.after > asked.present.start_event
        return present + sizes if is_later else sizes
    is_later = asked.after is None or asked.after < asked.present.start_event
    return sizes + present if is_later else sizes


def _from_row(row: Row) -> Attempt:
    *head, ending, reason, failure_text, failure_json, retryable, percent, note, token = row[:15]
    task_id, start_event, attempt, holder_id, start_time, end_event, end_time = head
    return Attempt(
        task_id=task_id,
        start_event=start_event,
        attempt=attempt,
        holder_id=holder_id,
        start_time=start_time,
        end_event=end_event,
        end_time=end_time,
        ending=AttemptEnd(ending),
        reason=reason,
        failure_text=failure_text,
        failure_json=failure_json,
        retryable=bool(retryable),
        progress_percent=percent,
        progress_note=note,
        token_hash=token,
        late=_late((*row[15:20], row[21])),
        usage_json=row[20],
    )


def _late(row: Row) -> LateResult | None:
    verb, time, text, data_json, retryable, attachments_json = row
    if not verb:
        return None
    return LateResult(
        verb=TaskVerb(verb),
        time=time,
        text=text,
        data_json=data_json,
        retryable=bool(retryable),
        attachments_json=attachments_json,
    )


def _row(attempt: Attempt) -> Row:
    late = attempt.late
    return (
        attempt.task_id,
        attempt.start_event,
        attempt.attempt,
        attempt.holder_id,
        attempt.start_time,
        attempt.end_event,
        attempt.end_time,
        attempt.ending and int(attempt.ending),
        attempt.reason,
        attempt.failure_text,
        attempt.failure_json,
        int(attempt.retryable),
        attempt.progress_percent,
        attempt.progress_note,
        attempt.token_hash,
        int(late.verb) if late else 0,
        late.time if late else None,
        late.text if late else "",
        late.data_json if late else None,
        int(late.retryable) if late else 0,
        attempt.usage_json,
        late.attachments_json if late else "",
    )


_TABLE: Table[Attempt] = Table(
    _COLUMNS,
    2,
    Codec(
        decode=_from_row,
        encode=_row,
        key_of=lambda attempt: (attempt.task_id, attempt.start_event),
    ),
    is_large=True,
)
