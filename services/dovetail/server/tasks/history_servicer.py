"""The history of TaskService on the wire: a part of `servicer.py`, with the same duties."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.convert import converted, read_paging
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables.events import TaskEvent
from dovetail.server.tasks import reading
from dovetail.server.tasks.attempts_wire import attempt_message, attempts_size
from dovetail.server.tasks.history import History
from dovetail.server.tasks.proto import event_message, watch_message
from dovetail.server.tasks.watching import Watches, WatchResponse
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc

Context = ServicerContext[object, object]


class HistoryServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the rules of history."""

    def __init__(self, history: History, watches: Watches) -> None:
        """Serve these rules."""
        self._history = history
        self._watches = watches

    async def ListTaskEvents(
        self, request: pb.ListTaskEventsRequest, context: Context
    ) -> pb.ListTaskEventsResponse:
        """Return a page of the history."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            query = reading.read_event_query(check, request, paging)
        page, token = await self._history.page(caller, query, paging)
        return await converted(
            _weight(page),
            lambda: pb.ListTaskEventsResponse(
                events=map(event_message, page), next_page_token=token
            ),
        )

    async def ListTaskAttempts(
        self, request: pb.ListTaskAttemptsRequest, context: Context
    ) -> pb.ListTaskAttemptsResponse:
        """Return a page of the attempts of a task."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            query = reading.read_attempt_query(check, request, paging)
        page, token = await self._history.attempts(caller, query, paging)
        return await converted(
            attempts_size(page),
            lambda: pb.ListTaskAttemptsResponse(
                attempts=map(attempt_message, page), next_page_token=token
            ),
        )

    async def WatchTasks(
        self, request: pb.WatchTasksRequest, context: Context
    ) -> AsyncIterator[pb.WatchTasksResponse]:
        """Stream the history."""
        with Checks() as check:
            watch = reading.read_watch(check, request)
        stream = await self._watches.open(current_caller.get(), watch)
        async with aclosing(stream):
            while True:  # no name holds what a slow reader has yet to take
                yield await _converted_response(await anext(stream))


async def _converted_response(response: WatchResponse) -> pb.WatchTasksResponse:
    return await converted(_weight(response.events), lambda: watch_message(response))


def _weight(events: Sequence[TaskEvent]) -> int:
    """How many characters of structured content events have."""
    return sum(len(event.changes_json or "") for event in events)
