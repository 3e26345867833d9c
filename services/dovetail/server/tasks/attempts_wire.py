"""Attempts as messages: a part of `proto.py`, with the same duties."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.server.edge.convert import optional_struct, optional_timestamp, timestamp
from dovetail.server.store.tables.attempts import Attempt, LateResult
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.tasks.attachments_wire import stored_files
from dovetail.server.tasks.usage_wire import usage_message
from dovetail.tasks.v1 import tasks_pb2 as pb


def attempt_message(attempt: Attempt) -> pb.TaskAttempt:
    """An attempt."""
    made = pb.TaskAttempt(
        start_event_number=attempt.start_event,
        task_id=attempt.task_id,
        attempt=attempt.attempt,
        holder_id=attempt.holder_id,
        start_time=timestamp(attempt.start_time),
        end_time=optional_timestamp(attempt.end_time),
        end=pb.AttemptEnd.ValueType(attempt.ending or 0),
        end_event_number=attempt.end_event,
        reason=attempt.reason,
        late_result=_late_result(attempt.late),
        usage=usage_message(attempt.usage_json),
    )
    if attempt.failure_text:
        made.failure.CopyFrom(
            _failure(attempt.failure_text, attempt.failure_json, attempt.retryable)
        )
    if attempt.progress_percent is not None:
        progress = pb.TaskProgress(percent=attempt.progress_percent, note=attempt.progress_note)
        made.progress.CopyFrom(progress)
    return made


def _late_result(late: LateResult | None) -> pb.LateResult | None:
    if late is None:
        return None
    made = pb.LateResult(create_time=timestamp(late.time))
    if late.verb is TaskVerb.COMPLETE:
        data = optional_struct(late.data_json)
        files = stored_files(late.attachments_json)
        made.result.CopyFrom(pb.TaskResult(summary=late.text, data=data, attachments=files))
    else:
        made.failure.CopyFrom(_failure(late.text, late.data_json, late.retryable))
    return made


def _failure(text: str, data_json: str | None, retryable: bool) -> pb.TaskFailure:
    return pb.TaskFailure(message=text, data=optional_struct(data_json), retryable=retryable)


def attempts_size(page: Iterable[Attempt]) -> int:
    """How many characters of structured content attempts have."""
    return sum(
        len(text or "")
        for attempt in page
        for text in (
            attempt.failure_json,
            attempt.late and attempt.late.data_json,
            attempt.late and attempt.late.attachments_json,
        )
    )
