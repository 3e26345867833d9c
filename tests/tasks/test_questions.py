"""Questions: whom they reach, who may answer, and what the report makes of the wait."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.server.store.tables.events import TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.guarded import guarded_pair
from support.refusals import faults, refusal
from support.tables import IN_PROGRESS, INPUT_REQUIRED, PENDING
from support.teams import Team


def data(**values: float) -> Struct:
    made = Struct()
    made.update(values)
    return made


async def begun(team: Team, **fields: str) -> str:
    """A task of ann's that joe made and ann works on."""
    joe, ann, _ = await team.known("joe", "ann", "bob")
    task_id = (await joe.made(assignee_id="ann", **fields)).task_id
    await ann.do("start", task_id)
    return task_id


async def test_a_question_goes_to_the_creator_and_its_answer_to_the_assignee(team: Team) -> None:
    task_id = await begun(team, thread_id="talk")
    joe, ann = team.caller("joe"), team.caller("ann")
    response = await ann.do("request-input", task_id, text="Which?", data=data(a=1))
    task = response.task
    assert (task.state, task.question.agent_id) == (INPUT_REQUIRED, "joe")
    assert (task.question.text, task.question.data) == ("Which?", data(a=1))
    assert task.question.ask_time == task.update_time
    assert not task.HasField("answer")
    (asked,) = (each.message for each in await joe.received())
    assert [(n.recipient_id, n.message_id) for n in response.notices] == [("joe", asked.message_id)]
    assert (asked.sender_id, asked.thread_id, asked.task_id) == ("ann", "talk", task_id)
    assert (asked.body, asked.data) == ("Which?", data(a=1))
    assert asked.notice.verb == types_pb2.TASK_VERB_REQUEST_INPUT
    response = await joe.do("provide-input", task_id, text="This.", data=data(b=2))
    task = response.task
    assert (task.state, task.answer) == (IN_PROGRESS, pb.TaskAnswer(text="This.", data=data(b=2)))
    answered = (await ann.received())[-1].message
    assert [n.message_id for n in response.notices] == [answered.message_id]
    assert (answered.sender_id, answered.thread_id, answered.body) == ("joe", "talk", "This.")
    assert answered.data == data(b=2)
    assert answered.notice.verb == types_pb2.TASK_VERB_PROVIDE_INPUT
    assert await team.verbs(task_id) == ["create", "start", "request-input", "provide-input"]


async def test_a_question_may_go_to_another_agent_and_be_asked_again(team: Team) -> None:
    task_id = await begun(team)
    ann, bob = team.caller("ann"), team.caller("bob")
    for text in ("one?", "two?"):
        task = await ann.did("request-input", task_id, agent_id="bob", text=text)
        assert (task.question.agent_id, task.question.text) == ("bob", text)
        assert not task.HasField("answer")
        task = await bob.did("provide-input", task_id, text="", data=data(n=1))
        assert task.answer == pb.TaskAnswer(data=data(n=1))
    assert [each.message.body for each in await bob.received()] == ["one?", "two?"]
    assert await team.caller("joe").received() == []


async def test_a_question_to_nobody_or_to_oneself_is_refused(team: Team) -> None:
    task_id = await begun(team)
    ann = team.caller("ann")
    own = (await ann.made()).task_id
    nobodys = (await team.caller().made()).task_id
    for each in (own, nobodys):
        await ann.do("start", each)
        assert await faults(ann.do("request-input", each)) == {"agent_id"}
    assert await faults(ann.do("request-input", task_id, agent_id="ann")) == {"agent_id"}
    code, reason, _ = await refusal(ann.do("request-input", task_id, agent_id="nobody"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
    assert await team.verbs(task_id) == ["create", "start"]


async def test_an_empty_question_or_answer_is_refused(team: Team) -> None:
    task_id = await begun(team)
    joe, ann = team.caller("joe"), team.caller("ann")
    assert await faults(ann.do("request-input", task_id, text="")) == {"text"}
    await ann.do("request-input", task_id)
    assert await faults(joe.do("provide-input", task_id, text="")) == {"text"}
    for text in ("x" * 65_537, "\0"):
        assert await faults(joe.do("provide-input", task_id, text=text)) == {"text"}
    assert (await joe.get(task_id)).state == INPUT_REQUIRED


async def test_a_question_that_is_given_up_is_open_no_more(team: Team) -> None:
    task_id = await begun(team)
    joe, ann = team.caller("joe"), team.caller("ann")
    await ann.do("request-input", task_id)
    task = await ann.did("release", task_id)
    assert (task.state, task.question.text) == (PENDING, "which one?")
    assert (await refusal(joe.do("provide-input", task_id)))[1] == "TASK_STATE"


async def test_only_the_one_who_was_asked_may_answer_and_is_told_when_it_is_late(
    store_url: str, tmp_path: Path
) -> None:
    async with guarded_pair(store_url, tmp_path) as guarded:
        joe, ann, bob = [await guarded.caller(name) for name in ("joe", "ann", "bob")]
        task_id = (await joe.made(assignee_id="ann")).task_id
        await ann.do("start", task_id)
        await ann.do("request-input", task_id, agent_id="bob")
        for other in (joe, ann):
            code, reason, _ = await refusal(other.do("provide-input", task_id))
            assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_YOURS")
        await bob.do("provide-input", task_id)
        code, reason, metadata = await refusal(bob.do("provide-input", task_id))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE")
        assert metadata["state"] == "IN_PROGRESS"


async def test_the_report_tells_how_long_tasks_waited_for_answers(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    waited: list[int] = []
    for rounds in (0, 1, 2):
        task_id = (await joe.made(assignee_id="ann")).task_id
        await ann.do("start", task_id)
        for _ in range(rounds):
            await ann.do("request-input", task_id)
            await joe.do("provide-input", task_id)
        events = await team.events(task_id)
        asked = [event.create_time for event in events if event.verb is TaskVerb.REQUEST_INPUT]
        answered = [event.create_time for event in events if event.verb is TaskVerb.PROVIDE_INPUT]
        if rounds:
            spans = zip(asked, answered, strict=True)
            waited.append(sum(max(1, end - begin) for begin, end in spans))
    await ann.do("request-input", task_id)
    for filter, tolerance in ((pb.TaskFilter(), 0.01), (pb.TaskFilter(assignee_ids=["ann"]), 0)):
        summary = (await joe.report(filter=filter)).input_wait_time
        assert summary.sample_count == 2
        assert summary.average.ToMicroseconds() == sum(waited) // 2
        for percentile, exact in ((summary.median, min(waited)), (summary.p95, max(waited))):
            assert percentile.ToMicroseconds() == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize("verb", ["request-input", "provide-input"])
async def test_a_repeated_question_or_answer_is_sent_once(team: Team, verb: str) -> None:
    task_id = await begun(team)
    joe, ann = team.caller("joe"), team.caller("ann")
    who = ann
    if verb == "provide-input":
        await ann.do("request-input", task_id)
        who = joe
    first = await who.do(verb, task_id, request_id="r1")
    before = await team.picture(task_id)
    assert await who.do(verb, task_id, request_id="r1") == first
    assert (await refusal(who.do(verb, task_id, request_id="r1", text="other")))[1] == (
        "REQUEST_ID_REUSED"
    )
    assert await team.picture(task_id) == before
