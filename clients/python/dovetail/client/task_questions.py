"""Questions about tasks, and their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from dovetail.client.drafts import AskOptions, Repeatable, asking, repeatable
from dovetail.client.records import record
from dovetail.client.task_attachments import TaskAttachments
from dovetail.client.task_records import Task
from dovetail.client.values import struct
from dovetail.tasks.v1 import tasks_pb2 as pb


class TaskQuestions(TaskAttachments):
    """Questions about the tasks of a team."""

    async def ask(
        self,
        task_id: str,
        text: str,
        *,
        agent_id: str = "",
        data: Mapping[str, Any] | None = None,
        lease_token: str = "",
        **offer: Unpack[AskOptions],
    ) -> Task:
        """Ask an agent, by default the creator, for input to the work (RequestTaskInput).

        hour = timedelta(hours=1)
        tasks.ask("t1", "Deploy?", options=["yes", "no"], answer_within=hour, default_answer="no")
        """
        request = pb.RequestTaskInputRequest(
            task_id=task_id,
            agent_id=agent_id,
            text=text,
            data=struct(data),
            lease_token=lease_token,
            **asking(offer),
        )
        return record(Task, (await self._call(self._stub.RequestTaskInput, request)).task)

    async def answer(
        self,
        task_id: str,
        text: str = "",
        *,
        option: str = "",
        data: Mapping[str, Any] | None = None,
        acknowledge: Iterable[int] = (),
        **options: Unpack[Repeatable],
    ) -> Task:
        """Answer the open question of a task, so that the work goes on (ProvideTaskInput).

        `option` names one of the question's options; a text alone may say something else. With the
        `etag` that the question's notice has (`task_etag`) it answers no later question.
        """
        request = pb.ProvideTaskInputRequest(
            task_id=task_id,
            text=text,
            option=option,
            data=struct(data),
            acknowledge_sequences=acknowledge,
            **repeatable(options),
        )
        return record(Task, (await self._call(self._stub.ProvideTaskInput, request)).task)
