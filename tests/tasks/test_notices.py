"""Notices: whom a change tells, what it says, and that it stands with the change in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.messages import message_number
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.pair import identity
from support.tables import IN_PROGRESS, NOTICES, PENDING
from support.teams import Team

# What the cases below can play; the other changes have tests of their own.
VERBS = [
    *("create", "assign", "unassign", "update", "delete", "start"),
    *("complete", "fail", "cancel", "reopen"),
]
TELLING = [verb for verb in VERBS if NOTICES[verb]]
NOBODY = ""
PEOPLE = ("ann", "bob", "cat")


@dataclass(frozen=True)
class Case:
    """Who plays which part in a change; the same agent may play several, nobody some."""

    verb: str
    creator: str
    assignee: str
    actor: str
    new_assignee: str = ""
    started: bool = False

    @property
    def after(self) -> str:
        """The assignee after the change."""
        if self.verb == "assign":
            return self.new_assignee
        if self.verb == "start":
            return self.assignee or self.actor
        return "" if self.verb == "unassign" else self.assignee

    @property
    def former(self) -> str:
        """Who lost the task by the change."""
        return self.assignee if self.assignee != self.after else ""

    @property
    def told(self) -> dict[str, set[str]]:
        """Who must get a notice, by the verb that it must have."""
        parts = {"assignee": self.after, "former": self.former, "creator": self.creator}
        told = {
            verb: {parts[part] for part in audience} - {NOBODY, self.actor}
            for verb, audience in NOTICES[self.verb]
        }
        return {verb: agent_ids for verb, agent_ids in told.items() if agent_ids}


def cases(verb: str) -> Iterator[Case]:
    """Every overlap of the parts that the verb allows."""
    anybody = (NOBODY, *PEOPLE)
    for creator, assignee, actor in product(anybody[:2], anybody[:3], anybody):
        case = Case(verb, creator, assignee, actor)
        if verb == "create" and creator != actor:
            continue
        if verb == "start" and assignee and actor not in (NOBODY, assignee):
            continue  # refused: assigned to another
        if verb == "assign":
            for new, started in product(PEOPLE, (False, True)):
                if new != assignee or started:  # else nothing changes
                    yield Case(verb, creator, assignee, actor, new, started)
        elif verb == "unassign":
            for started in (False, True):
                if assignee or started:
                    yield Case(verb, creator, assignee, actor, started=started)
        else:
            yield case


async def prepared(team: Team, case: Case) -> pb.Task:
    """A task in which the parts are played, made without telling anybody."""
    creator = team.caller(case.creator)
    task = await creator.made(assignee_id=case.assignee, notify=pb.NOTIFY_NONE, thread_id="talk")
    holder = team.caller(case.assignee)
    quiet: dict[str, Any] = {"notify": pb.NOTIFY_NONE}
    if case.started or case.verb in ("complete", "reopen"):
        await holder.do("start", task.task_id)
    if case.verb == "reopen":
        await holder.do("complete", task.task_id, **quiet)
    return task


async def acted(team: Team, verb: str, **fields: Any) -> list[tuple[Case, str, Any]]:
    """Make the change in every overlap, side by side: with the task's id and the response."""
    several = list(cases(verb))
    answers = await asyncio.gather(*(act(team, case, **fields) for case in several))
    return [(case, *answer) for case, answer in zip(several, answers, strict=True)]


async def act(team: Team, case: Case, **fields: Any) -> tuple[str, Any]:
    """Prepare and make the change: the id of the task, and the response."""
    actor = team.caller(case.actor)
    if case.verb == "create":
        response = await actor.create(assignee_id=case.assignee, thread_id="talk", **fields)
        return response.task.task_id, response
    task = await prepared(team, case)
    if case.verb == "assign":
        fields["assignee_id"] = case.new_assignee
    if case.verb in ("assign", "unassign"):
        fields["force"] = case.started
    return task.task_id, await actor.do(case.verb, task.task_id, **fields)


def receipts(response: Any) -> list[tuple[str, int, str]]:
    """The notices that a response lists."""
    if isinstance(response, pb.StartTaskResponse):
        return []  # it tells nobody, so it has no such field
    return [(each.recipient_id, each.sequence, each.message_id) for each in response.notices]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_change_tells_whom_it_concerns_and_nobody_else(team: Team, verb: str) -> None:
    await team.known(*PEOPLE)
    answered = {case: receipts(response) for case, _, response in await acted(team, verb)}
    told = {case: sorted(agent_id for agent_id, *_ in listed) for case, listed in answered.items()}
    assert told == {case: sorted(chain.from_iterable(case.told.values())) for case in answered}
    assert any(told.values()) == bool(NOTICES[verb])
    inboxes = [
        (agent_id, delivery.receipt.sequence, delivery.message.message_id)
        for agent_id in PEOPLE
        for delivery in await team.caller(agent_id).received()
    ]
    assert sorted(inboxes) == sorted(chain.from_iterable(answered.values()))


@pytest.mark.parametrize("verb", TELLING)
async def test_a_notice_says_what_happened_and_the_event_names_the_notice(
    team: Team, verb: str
) -> None:
    await team.known(*PEOPLE)
    for case, task_id, response in await acted(team, verb):
        event = (await team.events(task_id))[-1]
        if not response.notices:
            assert event.message_number is None, case
            continue
        message_ids = list(dict.fromkeys(each.message_id for each in response.notices))
        assert event.message_number == message_number(message_ids[0]), case
        for message_id, (told_verb, told) in zip(message_ids, case.told.items(), strict=True):
            record = await team.message(message_id)
            check_notice(record, (case, task_id, event), told_verb, told)
            assert list(record.receipts) == [
                each for each in response.notices if each.message_id == message_id
            ], case


def check_notice(
    record: messaging_pb2.MessageRecord,
    change: tuple[Case, str, TaskEvent],
    verb: str,
    told: set[str],
) -> None:
    """A message must be the notice of a change, with this verb, to these agents."""
    case, task_id, event = change
    message = record.message
    assert (message.kind, message.sender_id) == (
        messaging_pb2.MESSAGE_KIND_NOTICE,
        case.actor,
    ), case
    assert (message.task_id, message.thread_id) == (task_id, "talk"), case
    assert message.create_time.ToMicroseconds() == event.create_time, case
    assert message.notice == messaging_pb2.Notice(
        verb=types_pb2.TaskVerb.Value(f"TASK_VERB_{verb}"),
        task_id=task_id,
        event_number=event.number,
        actor_id=case.actor,
        assignee_id=case.after,
        former_assignee_id=case.former,
    ), case
    assert set(message.recipient_ids) == told, case


@pytest.mark.parametrize("verb", TELLING)
async def test_a_change_that_notifies_none_writes_no_notice(team: Team, verb: str) -> None:
    await team.known(*PEOPLE)
    for _, task_id, response in await acted(team, verb, notify=pb.NOTIFY_NONE):
        assert response.notices == []
        assert (await team.events(task_id))[-1].message_number is None
    assert [agent.last_sequence for agent in await team.agents()] == [0, 0, 0]


async def test_a_notice_is_on_an_open_stream_of_the_other_service(team: Team) -> None:
    _, ann = await team.known("joe", "ann")
    stream: Any = ann.messaging.SubscribeInbox(
        messaging_pb2.SubscribeInboxRequest(), metadata=ann.metadata
    )
    assert (await stream.read()).mark == messaging_pb2.STREAM_MARK_CAUGHT_UP
    made = await team.caller("joe").create(assignee_id="ann", title="mend it")
    (delivery,) = (await stream.read()).deliveries
    assert (delivery.receipt.sequence, delivery.message.message_id) == (
        1,
        made.notices[0].message_id,
    )
    assert delivery.message.notice.task_id == made.task.task_id
    assert "mend it" in delivery.message.subject
    stream.cancel()


async def test_notices_stand_in_the_thread_of_the_task_in_order(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann")
    assert task.thread_id == task.task_id
    await ann.do("start", task.task_id)
    await ann.do("complete", task.task_id)
    await joe.do("reopen", task.task_id, reason="look again")
    filter = messaging_pb2.MessageFilter(thread_id=task.task_id)
    listed = await ann.messaging.ListMessages(
        messaging_pb2.ListMessagesRequest(filter=filter), metadata=ann.metadata
    )
    events = [record.message.notice.verb for record in listed.records]
    assert events == [
        types_pb2.TASK_VERB_ASSIGN,
        types_pb2.TASK_VERB_COMPLETE,
        types_pb2.TASK_VERB_REOPEN,
    ]
    assert "look again" in listed.records[-1].message.body


async def test_a_notice_of_an_assignment_brings_what_the_work_needs(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    wanted = Struct()
    wanted.update({"page": 7})
    await joe.made(
        assignee_id="ann", description="the tap drips", input=wanted, labels={"room": "kitchen"}
    )
    (delivery,) = await ann.received()
    for part in ("the tap drips", '"page"', "kitchen"):
        assert part in delivery.message.body


async def test_a_notice_of_an_end_brings_how_it_ended(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    endings: dict[str, dict[str, Any]] = {
        "complete": {"result": pb.TaskResult(summary="tight again")},
        "fail": {"failure": pb.TaskFailure(message="no spanner")},
        "cancel": {"reason": "house sold"},
    }
    for verb, fields in endings.items():
        task = await joe.made(assignee_id="ann")
        await ann.do("start", task.task_id)
        await ann.do(verb, task.task_id, **fields)
    bodies = [delivery.message.body for delivery in await joe.received()]
    for body, said in zip(bodies, ("tight again", "no spanner", "house sold"), strict=True):
        assert said in body


async def longest_life(ann: Caller, bob: Caller, task_id: str) -> None:
    """Every change of a task, each with the longest texts that are allowed."""
    blob = Struct()
    blob.update({"blob": "\U0001f98a" * 60_000})
    text = "\U0001f98a" * 16_384
    longest = {"title": "\u0416" * 512, "description": "\U0001f98a" * 65_536}
    reason = "\U0001f98a" * 4_096
    await ann.do("update", task_id, values={**longest, "labels": {"k" * 64: "v" * 256}})
    await ann.do("assign", task_id, assignee_id=ann.agent_id)
    await bob.do("assign", task_id, assignee_id=bob.agent_id)
    await bob.do("start", task_id)
    await bob.do("complete", task_id, result=pb.TaskResult(summary=text, data=blob))
    await ann.do("reopen", task_id, reason=reason)
    await ann.do("unassign", task_id)
    await ann.do("assign", task_id, assignee_id=bob.agent_id)
    await bob.do("fail", task_id, failure=pb.TaskFailure(message=text, data=blob))
    await ann.do("reopen", task_id, reason=reason)
    await ann.do("cancel", task_id, reason=reason)
    await ann.do("delete", task_id)


async def test_the_longest_texts_are_cut_in_notices_and_fail_no_change(team: Team) -> None:
    ann, bob = await team.known("ä" * 128, "b" * 128)
    blob = Struct()
    blob.update({"blob": "\U0001f98a" * 60_000})
    made = await ann.create(
        task_id="\U0001f98a" * 128,
        title="\U0001f98a" * 512,
        description="\u0416" * 131_072,
        assignee_id=bob.agent_id,
        input=blob,
        thread_id="z" * 128,
        labels={f"{n:064}": "v" * 256 for n in range(16)},
    )
    await longest_life(ann, bob, made.task.task_id)
    told = [
        event for event in await team.events(made.task.task_id) if event.verb is not TaskVerb.START
    ]
    # From the list: what the cancelling withdrew is not delivered any more.
    records = (await team.caller().list_messages(page_size=1_000)).records
    assert len(records) == len(told) == 12
    for record in records:
        assert 1 <= len(record.message.subject) <= 512
        assert len(record.message.body) <= 4_096


async def test_a_repeated_change_answers_the_notices_of_the_first(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    first = await joe.create(assignee_id="ann", request_id="r1")
    assert [each.recipient_id for each in first.notices] == ["ann"]
    await ann.acknowledge(1)
    again = await joe.create(assignee_id="ann", request_id="r1")
    places = [
        [(each.recipient_id, each.sequence, each.message_id) for each in answer.notices]
        for answer in (first, again)
    ]
    assert places[0] == places[1]
    assert again.notices[0].state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED
    assert len(await ann.received()) == 1


async def test_notices_go_to_the_team_of_the_task_alone(team: Team) -> None:
    joe, _ = await team.known("joe", "ann")
    other = Team.new(team.pair)
    await other.known("ann", "joe")
    await joe.create(assignee_id="ann")
    assert await other.caller("ann").received() == []
    metadata = identity("ann", other.team_id)
    listed = await team.pair.messaging.ListMessages(
        messaging_pb2.ListMessagesRequest(), metadata=metadata
    )
    assert listed.records == []


async def test_states_of_the_prepared_tasks_are_those_that_the_cases_speak_of(team: Team) -> None:
    await team.known(*PEOPLE)
    for started, state in ((False, PENDING), (True, IN_PROGRESS)):
        case = Case("assign", "ann", "bob", "ann", "cat", started)
        assert (await team.caller().get((await prepared(team, case)).task_id)).state == state
