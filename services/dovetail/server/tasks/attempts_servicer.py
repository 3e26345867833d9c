"""ListTaskAttempts on the wire; `servicer.py` has the other calls of the service."""

from __future__ import annotations

from collections.abc import Iterable

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.convert import (
    converted,
    optional_struct,
    optional_timestamp,
    read_paging,
    timestamp,
)
from dovetail.server.edge.paging import Order
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables.attempts import Attempt, LateResult
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.tasks.history import AttemptQuery, History
from dovetail.server.tasks.usage_wire import usage_message
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc


class AttemptsServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the history of attempts."""

    _history: History

    async def ListTaskAttempts(
        self,
        request: pb.ListTaskAttemptsRequest,
        context: ServicerContext[pb.ListTaskAttemptsRequest, pb.ListTaskAttemptsResponse],
    ) -> pb.ListTaskAttemptsResponse:
        """Return a page of the attempts of a task."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            check.id("task_id", request.task_id)
            query = AttemptQuery(
                task_id=request.task_id,
                order=check.enum("order", request.order, Order.OLDEST_FIRST),
                after=paging.after_number(check),
            )
        page, token = await self._history.attempts(caller, query, paging)
        return await converted(
            _data_size(page),
            lambda: pb.ListTaskAttemptsResponse(
                attempts=map(attempt_message, page), next_page_token=token
            ),
        )


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
        made.result.CopyFrom(pb.TaskResult(summary=late.text, data=data))
    else:
        made.failure.CopyFrom(_failure(late.text, late.data_json, late.retryable))
    return made


def _failure(text: str, data_json: str | None, retryable: bool) -> pb.TaskFailure:
    return pb.TaskFailure(message=text, data=optional_struct(data_json), retryable=retryable)


def _data_size(page: Iterable[Attempt]) -> int:
    """How many characters of structured content attempts have."""
    return sum(
        len(attempt.failure_json or "") + len((attempt.late and attempt.late.data_json) or "")
        for attempt in page
    )
