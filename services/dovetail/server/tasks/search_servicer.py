"""The searches of TaskService on the wire: a part of `servicer.py`, with the same duties."""

from __future__ import annotations

from collections.abc import Iterable

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.convert import converted, read_paging
from dovetail.server.edge.paging import Paging
from dovetail.server.edge.searches import excerpt_message, read_search
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables.search_pages import Hit
from dovetail.server.store.tables.tasks import Task
from dovetail.server.tasks.proto import data_size, task_message
from dovetail.server.tasks.reading import read_filter
from dovetail.server.tasks.searches import TaskQuestion, TaskSearches
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc

Context = ServicerContext[object, object]


class SearchServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the rules of searches."""

    searches: TaskSearches

    async def SearchTasks(
        self, request: pb.SearchTasksRequest, context: Context
    ) -> pb.SearchTasksResponse:
        """Return a page of the tasks in which something is found."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            asked = _read_question(check, request, paging)
        hits, token = await self.searches.page(caller, asked, paging)
        return await converted(
            data_size(hit.item for hit in hits),
            lambda: pb.SearchTasksResponse(hits=_hit_messages(hits), next_page_token=token),
        )


def _read_question(check: Checks, request: pb.SearchTasksRequest, paging: Paging) -> TaskQuestion:
    return TaskQuestion(
        query=read_search(check, "query", request.query),
        filter=read_filter(check, request.filter),
        before=paging.after_number(check),
    )


def _hit_messages(hits: Iterable[Hit[Task]]) -> list[pb.TaskHit]:
    return [
        pb.TaskHit(
            task=task_message(hit.item),
            places=[
                pb.TaskPlace(
                    field=pb.TaskField.ValueType(place.field), excerpt=excerpt_message(place)
                )
                for place in hit.places
            ],
        )
        for hit in hits
    ]
