"""Questions with options: what is asked and shown, and which answers are taken."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1.types_pb2 import InputOption
from support.refusals import error_info, failure, faults, refusal
from support.tables import IN_PROGRESS, INPUT_REQUIRED
from support.teams import Team

OPTIONS = [
    InputOption(name="postgres", description="the one of\nthe team"),
    InputOption(name="sqlite"),
]
HOUR = Duration(seconds=3_600)


async def asked(team: Team, **fields: Any) -> pb.Task:
    """A task of ann's that joe made, with a question to him."""
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    await ann.do("start", task_id)
    return await ann.did("request-input", task_id, **{"text": "Which one?", **fields})


async def last_notice(team: Team, agent_id: str) -> talk.Message:
    return (await team.caller(agent_id).received())[-1].message


async def test_options_are_shown_in_the_task_and_in_the_message_to_who_is_asked(
    team: Team,
) -> None:
    fields = {"options": OPTIONS, "answer_within": HOUR, "default_answer": "sqlite"}
    task = await asked(team, **fields)
    question = task.question
    assert ([*question.options], question.default_answer) == (OPTIONS, "sqlite")
    waits = question.deadline_time.ToMicroseconds() - question.ask_time.ToMicroseconds()
    assert abs(waits - 3_600 * 1_000_000) < 5 * 1_000_000
    assert (await team.caller("joe").get(task.task_id)).question == question
    message = await last_notice(team, "joe")
    assert message.notice.question == talk.AskedQuestion(
        task_etag=task.etag,
        options=OPTIONS,
        deadline_time=question.deadline_time,
        default_answer="sqlite",
    )
    by = f"{question.deadline_time.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"
    assert message.body == (
        "Which one?\n\n"
        "Answer with the name of one of these options, or with a text of your own:\n"
        "- postgres: the one of the team\n"
        "- sqlite\n\n"
        f"If there is no answer by {by}, the answer is: sqlite"
    )


async def test_a_question_without_options_says_what_it_said_before(team: Team) -> None:
    task = await asked(team)
    assert not task.question.options
    assert not task.question.HasField("deadline_time")
    message = await last_notice(team, "joe")
    assert message.body == "Which one?"
    assert message.notice.question == talk.AskedQuestion(task_etag=task.etag)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ({"option": "sqlite", "text": ""}, "sqlite"),
        ({"option": "sqlite", "text": "It is small."}, "sqlite\n\nIt is small."),
        ({"text": "Neither: use files."}, "Neither: use files."),
    ],
)
async def test_an_answer_names_an_option_or_says_something_else(
    team: Team, answer: dict[str, str], body: str
) -> None:
    task_id = (await asked(team, options=OPTIONS)).task_id
    response = await team.caller("joe").do("provide-input", task_id, **answer)
    expected = pb.TaskAnswer(text=answer["text"], option=answer.get("option", ""))
    assert (response.task.state, response.task.answer) == (IN_PROGRESS, expected)
    message = await last_notice(team, "ann")
    assert message.body == body
    assert message.notice.answer == talk.GivenAnswer(option=expected.option)
    assert not message.notice.HasField("question")


async def test_a_text_that_is_only_the_name_of_an_option_chooses_it(team: Team) -> None:
    task_id = (await asked(team, options=OPTIONS)).task_id
    joe, ann = team.caller("joe"), team.caller("ann")
    task = await joe.did("provide-input", task_id, text=" sqlite\n")
    assert task.answer == pb.TaskAnswer(option="sqlite")
    await ann.do("request-input", task_id, options=OPTIONS)
    task = await joe.did("provide-input", task_id, text="postgres", option="sqlite")
    assert task.answer == pb.TaskAnswer(text="postgres", option="sqlite")


async def test_an_option_that_the_question_does_not_have_is_refused_with_those_it_has(
    team: Team,
) -> None:
    task_id = (await asked(team, options=OPTIONS)).task_id
    joe = team.caller("joe")
    before = await team.picture(task_id)
    error = await failure(joe.do("provide-input", task_id, option="SQLite"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "INVALID_FIELDS"
    for part in ('"SQLite"', '"postgres"', '"sqlite"', "option"):
        assert part in str(error.details())
    assert await faults(joe.do("provide-input", task_id, option="x", text="y")) == {"option"}
    assert await team.picture(task_id) == before


async def test_an_option_for_a_question_without_options_is_refused(team: Team) -> None:
    task_id = (await asked(team)).task_id
    joe = team.caller("joe")
    assert await faults(joe.do("provide-input", task_id, option="yes")) == {"option"}
    assert (await joe.get(task_id)).state == INPUT_REQUIRED


async def test_an_answer_needs_an_option_a_text_or_data(team: Team) -> None:
    task_id = (await asked(team, options=OPTIONS)).task_id
    assert await faults(team.caller("joe").do("provide-input", task_id, text="")) == {"text"}


async def test_the_options_of_an_earlier_question_are_not_those_of_the_next(team: Team) -> None:
    fields = {"options": OPTIONS, "answer_within": HOUR, "default_answer": "sqlite"}
    task_id = (await asked(team, **fields)).task_id
    joe, ann = team.caller("joe"), team.caller("ann")
    await joe.do("provide-input", task_id, option="sqlite", text="")
    task = await ann.did("request-input", task_id, text="How?")
    assert not task.HasField("answer")
    assert not task.question.options
    assert not task.question.HasField("deadline_time")
    assert task.question.default_answer == ""
    assert await faults(joe.do("provide-input", task_id, option="sqlite")) == {"option"}
    task = await joe.did("provide-input", task_id, text="So.")
    assert task.answer == pb.TaskAnswer(text="So.")


async def test_an_answer_with_the_etag_of_its_question_answers_no_later_one(team: Team) -> None:
    task = await asked(team, options=OPTIONS)
    joe, ann = team.caller("joe"), team.caller("ann")
    first = (await last_notice(team, "joe")).notice.question.task_etag
    answered = await joe.did("provide-input", task.task_id, option="sqlite", etag=first)
    again = await ann.did("request-input", task.task_id, text="Sure?", options=OPTIONS)
    assert len({first, answered.etag, again.etag}) == 3
    code, reason, metadata = await refusal(
        joe.do("provide-input", task.task_id, option="sqlite", etag=first)
    )
    assert (code, reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert metadata["etag"] == again.etag
    assert (await joe.get(task.task_id)).state == INPUT_REQUIRED
    second = (await last_notice(team, "joe")).notice.question.task_etag
    assert second == again.etag
    # What its holder reports meanwhile leaves it.
    await ann.do("heartbeat", task.task_id, progress=pb.TaskProgress(percent=5))
    await joe.do("provide-input", task.task_id, option="postgres", etag=second)


async def test_a_repeated_question_or_answer_with_options_is_sent_once(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    await ann.do("start", task_id)
    fields = {"options": OPTIONS, "answer_within": HOUR, "default_answer": "sqlite"}
    asking = {"text": "Which?", "request_id": "r1"}
    first = await ann.do("request-input", task_id, **asking, **fields)
    assert await ann.do("request-input", task_id, **asking, **fields) == first
    reused = await refusal(ann.do("request-input", task_id, **asking, options=OPTIONS))
    assert reused[1] == "REQUEST_ID_REUSED"
    given = await joe.do("provide-input", task_id, option="sqlite", request_id="r2")
    assert await joe.do("provide-input", task_id, option="sqlite", request_id="r2") == given
    reused = await refusal(joe.do("provide-input", task_id, option="postgres", request_id="r2"))
    assert reused[1] == "REQUEST_ID_REUSED"
