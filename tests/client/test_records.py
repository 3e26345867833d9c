"""What calls return: frozen values with the contract's fields, its words, and None for nothing."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest

from dovetail import client
from dovetail.client import Agent, TaskState, TaskVerb, admin_records, records, words
from dovetail.client.records import record
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb

RECORDS = records._records
WORDS = words.WORDS
ALWAYS_SET = {
    *("create_time", "update_time", "ask_time", "last_seen_time", "start_time", "report_time"),
    *("duration", "message", "task", "agent", "record", "excerpt"),
}
"""Fields that the contract sets always, of at least one record."""


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_has_the_fields_of_its_message(name: str):
    kind = RECORDS[name]
    hints: dict[str, Any] = get_type_hints(kind)
    descriptor = hints["proto"].DESCRIPTOR
    fields = {field.name: field for field in descriptor.fields}
    assert descriptor.full_name == name
    assert set(kind.field_names) == {*fields, "proto"}
    for field in fields.values():
        says_none = isinstance(hints[field.name], UnionType) and type(None) in get_args(
            hints[field.name]
        )
        assert says_none or not field.has_presence or field.name in ALWAYS_SET, field.name
        assert field.has_presence or not says_none, field.name


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_words_are_those_of_the_contract(name: str):
    kind = WORDS[name]
    numbers = words._numbers[kind]
    assert {each.value for each in kind} == {*numbers, "unknown"} - {"unspecified"}
    read = words.reader(kind)
    for word, number in numbers.items():
        expected = "unknown" if word == "unspecified" else word
        assert read(number) == expected
        assert words.number(kind, word) == number
    assert (read(9_999), read(9_999) is kind("unknown")) == ("unknown", True)


def test_a_word_is_a_str_and_a_wrong_one_is_told_with_the_right_ones():
    assert TaskState.COMPLETED == "completed"
    assert json.dumps({"state": TaskState.IN_PROGRESS}) == '{"state": "in_progress"}'
    assert f"{TaskVerb.REQUEST_INPUT}" == "request_input"
    for word in ("input-required", "INPUT_REQUIRED", TaskState.INPUT_REQUIRED, 3):
        assert words.number(TaskState, word) == 3
    with pytest.raises(ValueError, match="'done' is no TaskState: it is one of pending, in_prog"):
        words.number(TaskState, "done")
    with pytest.raises(ValueError, match="'unknown' is no TaskState"):
        words.number(TaskState, TaskState.UNKNOWN)


def test_a_task_is_read_whole():
    message = pb.Task(task_id="t1", title="x", state=pb.TASK_STATE_COMPLETED, labels={"a": "b"})
    message.create_time.FromJsonString("2026-01-02T03:04:05.678Z")
    message.initial_backoff.FromJsonString("1.5s")
    message.input.update({"n": 1})
    message.result.summary = "done"
    message.depends_on.append("t0")
    task = record(client.Task, message)
    assert task.create_time == datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert (task.initial_backoff, task.input) == (timedelta(seconds=1.5), {"n": 1})
    assert (task.labels, task.depends_on) == ({"a": "b"}, ("t0",))
    assert task.result is not None
    assert (task.result.summary, task.result.data) == ("done", None)
    assert (task.failure, task.cancel_reason, task.due_time, task.lease) == (None, None, None, None)
    assert (task.state, task.assignee_id, task.priority) == ("completed", "", 0)
    assert task.proto is message
    assert "proto" not in repr(task)
    assert task == record(client.Task, pb.Task.FromString(message.SerializeToString()))


def test_a_record_is_a_frozen_value():
    message = pb.TaskResult(summary="done")
    result = record(client.TaskResult, message)
    same = client.TaskResult(summary="done", data=None, attachments=(), proto=pb.TaskResult())
    other = result.replace(summary="not done")
    assert repr(result) == "TaskResult(summary='done', data=None, attachments=())"
    assert (result == same, hash(result) == hash(same)) == (True, True)
    assert (other == result, other.summary, other.proto is message) == (False, "not done", True)
    assert result != ("done", None)
    with pytest.raises(AttributeError, match="cannot assign to field 'summary': use replace"):
        result.summary = "z"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="cannot delete field 'summary'"):
        del result.summary  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing: data, attachments, proto; unknown: text"):
        client.TaskResult(summary="done", text="x")  # type: ignore[call-arg]
    assert pickle.loads(pickle.dumps(result)) == result


def test_what_a_newer_server_says_is_unknown_and_raises_nothing():
    task = record(client.Task, pb.Task(state=77))  # type: ignore[arg-type]
    assert (task.state, task.proto.state) == (TaskState.UNKNOWN, 77)
    notice = record(client.Notice, talk.Notice(verb=77))  # type: ignore[arg-type]
    assert notice.verb is TaskVerb.UNKNOWN
    assert record(admin_records.Credential, admin_records.pb.Credential(role=77)).role == "unknown"  # type: ignore[arg-type]


async def test_tasks_and_messages_are_chosen_by_keywords(alice: Agent, bob: Agent):
    begin = datetime.now(UTC)
    await alice.tasks.create("one", assignee_id="bob", labels={"a": "b"})
    await bob.tasks.create("two")
    await alice.send("bob", "hi", importance="high", subject="s")

    async def titles(**choice: Any) -> list[str]:
        return [task.title async for task in alice.tasks.list(**choice)]

    assert await titles(states="pending", assignee="bob") == ["one"]
    assert await titles(states=["pending", TaskState.FAILED], unassigned=True) == ["two"]
    assert await titles(creator=["alice", "bob"], order="newest_first") == ["two", "one"]
    assert await titles(labels={"a": "b"}, created_since=begin - timedelta(hours=1)) == ["one"]
    assert await titles(created_before=begin - timedelta(hours=1)) == []
    assert await titles(ended_since=begin) == []
    assert await titles(filter=pb.TaskFilter(creator_ids=["bob"])) == ["two"]
    with pytest.raises(ValueError, match="no TaskState"):
        await titles(states=["done"])

    (told,) = await bob.receive(kinds="notice")
    assert told.notice is not None
    assert (told.kind, told.notice.verb, told.notice.assignee_id) == ("notice", "assign", "bob")
    (urgent,) = await bob.receive(minimum_importance="high")
    assert (urgent.body, urgent.importance, urgent.notice) == ("hi", "high", None)
    found = [each.message.body async for each in alice.messages(sender="alice", kinds=["message"])]
    assert found == ["hi"]
    assert await bob.receive(created_before=begin - timedelta(hours=1)) == []
