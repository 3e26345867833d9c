"""Sending on condition that a task has not changed since its sender read it."""

from __future__ import annotations

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.refusals import faults, refusal
from support.teams import Team


async def test_a_message_about_a_task_that_has_changed_is_not_sent(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    task = await alice.made()
    request = pb.SendMessageRequest(
        recipient_ids=["bob"], task_id=task.task_id, task_etag=task.etag, request_id="once"
    )
    sent = await alice.call(request)
    changed = await alice.did("update", task.task_id)
    # A repeat of what was sent in time is no new message.
    assert (await alice.call(request)).message_id == sent.message_id
    request.request_id = "twice"
    code, reason, metadata = await refusal(alice.call(request))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert metadata == {"task_id": task.task_id, "etag": changed.etag}
    assert (await bob.look()).last_sequence == 1
    await alice.send("bob", task_id=task.task_id, task_etag=changed.etag)
    assert (await bob.look()).last_sequence == 2


async def test_a_batch_is_sent_only_if_none_of_its_tasks_has_changed(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    tasks = [await alice.made() for _ in range(3)]

    def batch() -> pb.BatchSendMessagesRequest:
        requests = [
            pb.SendMessageRequest(recipient_ids=["bob"], task_id=each.task_id, task_etag=each.etag)
            for each in (*tasks, tasks[0])
        ]
        return pb.BatchSendMessagesRequest(requests=requests)

    await alice.call(batch())
    changed = await alice.did("update", tasks[1].task_id)
    code, reason, metadata = await refusal(alice.call(batch()))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert metadata == {"task_id": changed.task_id, "etag": changed.etag}
    assert (await bob.look()).last_sequence == 4
    tasks[1] = changed
    await alice.call(batch())
    assert (await bob.look()).last_sequence == 8


async def test_an_etag_needs_its_task_which_must_exist(team: Team) -> None:
    (alice,) = await team.known("alice")
    assert await faults(alice.send("alice", task_etag="v1")) == {"task_etag"}
    unknown = alice.send("alice", task_id="none", task_etag="v1")
    assert (await refusal(unknown))[1] == "TASK_NOT_FOUND"
    task = await alice.made()
    await alice.do("delete", task.task_id)
    deleted = alice.send("alice", task_id=task.task_id, task_etag=task.etag)
    assert (await refusal(deleted))[1] == "TASK_NOT_FOUND"
