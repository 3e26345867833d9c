"""What chooses tasks and messages: wrong keywords never choose all."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.client.choices import event_filter, message_filter, task_filter
from dovetail.client.worker import Worker
from dovetail.tasks.v1 import tasks_pb2 as pb

NO_TASKS: Any = None


@pytest.mark.parametrize(
    ("made", "keyword", "says"),
    [
        (task_filter, "assignee_id", "did you mean 'assignee'?"),
        (task_filter, "state", "did you mean 'states'?"),
        (task_filter, "labl", "did you mean 'labels'?"),
        (task_filter, "zzz", "There are: states, assignee"),
        (message_filter, "sender_id", "did you mean 'sender'?"),
        (event_filter, "task", "did you mean 'task_id'?"),
        (
            lambda given: Worker(NO_TASKS, print, **given),
            "idle_time",
            "did you mean 'idle_timeout'?",
        ),
        (lambda given: Worker(NO_TASKS, print, **given), "labl", "did you mean 'labels'?"),
    ],
)
def test_an_unknown_keyword_is_refused(made: Any, keyword: str, says: str) -> None:
    with pytest.raises(TypeError, match=f"'{keyword}' is not one of") as caught:
        made({keyword: "x"})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        *((task_filter, name) for name in ("states", "assignee", "creator")),
        *((event_filter, name) for name in ("actor", "verbs")),
        *((message_filter, name) for name in ("sender", "kinds")),
    ],
)
def test_an_empty_list_is_refused_for_it_would_choose_all(made: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is empty"):
        made({name: []})
    assert made({name: None}) is None


def test_a_choice_of_words_and_ids_is_a_filter() -> None:
    made = task_filter({"states": ["pending", 4], "assignee": "bob", "creator": ("ann", "joe")})
    assert made == pb.TaskFilter(
        states=[pb.TASK_STATE_PENDING, pb.TASK_STATE_COMPLETED],
        assignee_ids=["bob"],
        creator_ids=["ann", "joe"],
    )


def test_a_handler_must_be_callable() -> None:
    handler: Any = "x"
    with pytest.raises(TypeError, match="must be a function, is 'x'"):
        Worker(NO_TASKS, handler)
