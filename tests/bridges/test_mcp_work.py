"""How a session works: it keeps what it claimed, ends it once, and gives the rest back."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bridges.hosts import Host, Shown, Workplace
from cli.test_hints import documented
from dovetail import client
from dovetail.bridges.mcp import held, steps
from dovetail.client import TaskState
from support.processes import free_port
from support.waiting import until

SHORT = timedelta(seconds=0.6)


async def assigned(workplace: Workplace, title: str = "work") -> client.Task:
    """A task for bob, of ada's."""
    async with workplace.agent("bob") as bob, workplace.agent("ada") as ada:
        await bob.register()
        return await ada.tasks.create(title, assignee_id="bob")


async def test_a_model_may_think_longer_than_its_lease(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob", lease=SHORT) as bob, workplace.agent("ada") as ada:
        await bob.call("claim_task")

        async def expires() -> datetime:
            lease = (await ada.tasks.get("t1")).lease
            assert lease is not None
            assert lease.expire_time is not None
            return lease.expire_time

        first = await expires()

        async def is_renewed_past_its_end() -> bool:
            return await expires() - first > SHORT

        await until(is_renewed_past_its_end)
        assert "t1 completed" in await bob.call("finish_task", task_id="t1", summary="done")
        assert (await ada.tasks.get("t1")).attempt == 1


async def test_an_agent_is_known_before_its_model_makes_a_call(workplace: Workplace):
    async with workplace.host("bob"), workplace.agent("ada") as ada:

        async def is_known() -> bool:
            return "bob" in [each.agent_id async for each in ada.agents()]

        await until(is_known)
        assert (await ada.tasks.create("work", assignee_id="bob")).assignee_id == "bob"


async def test_the_end_of_a_session_gives_back_what_it_holds(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob:
        await bob.call("claim_task", task_id="t1")
        assert "holds t1" in await bob.call("whoami")
    async with workplace.agent("ada") as ada:
        task = await ada.tasks.get("t1")
        assert (task.state, task.failed_attempts) == (TaskState.PENDING, 0)


async def test_a_task_that_was_taken_away_is_told_once_and_cannot_be_finished(
    workplace: Workplace,
):
    await assigned(workplace)
    async with workplace.host("bob", lease=SHORT) as bob, workplace.host("ada") as ada:
        await bob.call("claim_task")
        text = await ada.refused("update_task", task_id="t1", action="assign", to="ada")
        assert "t1" in text
        await ada.call("update_task", task_id="t1", action="reassign", to="ada")
        assert bob.bridge is not None
        await until(lambda: not bob.bridge.held.task_ids)
        assert (await bob.call("whoami")).endswith("; no longer yours: t1")
        assert "no longer" not in await bob.call("whoami")
        text = await bob.refused("finish_task", task_id="t1", summary="done")
        assert "get_task shows" in text


async def test_finishing_what_was_taken_away_lets_it_go(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob, workplace.host("ada") as ada:
        await bob.call("claim_task")
        await ada.call("update_task", task_id="t1", action="reassign", to="ada")
        text = await bob.refused("finish_task", task_id="t1", summary="done")
        assert steps.STEPS["LEASE_LOST"] in text
        assert "holds none" in await bob.call("whoami")


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_a_task_is_finished_and_its_messages_acknowledged_in_one_commit(
    workplace: Workplace, outcome: str
):
    await assigned(workplace)
    async with workplace.host("bob") as bob, workplace.agent("ada") as ada:
        await bob.call("claim_task")
        end = {"task_id": "t1", "summary": "how it went", "outcome": outcome}
        await bob.refused("finish_task", acknowledge=[7], **end)
        assert (await ada.tasks.get("t1")).state == TaskState.IN_PROGRESS
        text = await bob.call("finish_task", acknowledge=[1], **end)
        assert text == f"t1 {outcome}, ada > bob\nunread 0"
        event = [e async for e in ada.tasks.events(task_id="t1")][-1]
        (receipt,) = (await ada.message("m1")).receipts
        assert receipt.state_time == event.create_time


async def test_a_repeat_of_an_end_is_no_error_and_another_end_is(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob:
        await bob.call("claim_task")
        await bob.call("finish_task", task_id="t1", summary="done")
    async with workplace.host("bob") as bob:  # The answer to the first was lost with its session.
        again = await bob.call("finish_task", task_id="t1", summary="done")
        assert again.startswith("t1 completed")
        text = await bob.refused("finish_task", task_id="t1", summary="done otherwise")
        assert steps.STEPS["TASK_STATE"] in text


async def test_a_failed_task_is_tried_again_and_claimed_again(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob:
        await bob.call("claim_task")
        text = await bob.call("finish_task", task_id="t1", summary="no network", outcome="retry")
        assert text.startswith("t1 pending")
        text = await bob.call("claim_task", wait="short")
        assert "attempt 2 of" in text
        assert "no network" in Shown(text).texts
        text = await bob.call("update_task", task_id="t1", action="release", text="not now")
        assert text.startswith("t1 pending")
        assert "holds none" in await bob.call("whoami")


async def test_a_question_goes_to_whom_it_names(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob, workplace.host("eve") as eve:
        await eve.call("whoami")
        await bob.call("claim_task")
        await bob.call("update_task", task_id="t1", action="ask", text="Which?", to="eve")
        assert Shown(await eve.call("receive_messages")).texts[0].endswith("Which?")
        text = await eve.call(
            "update_task", task_id="t1", action="answer", text="Both", acknowledge=[1]
        )
        assert text.endswith("unread 0")
        shown = Shown(await bob.call("get_task", task_id="t1"))
        assert any(head.startswith("answer from=unknown") for head in shown.heads)


async def test_a_question_offers_options_and_is_answered_by_one(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob, workplace.host("eve") as eve:
        await eve.call("whoami")
        await bob.call("claim_task")
        asking = {"task_id": "t1", "action": "ask", "text": "Which?", "to": "eve"}
        for given in ({"option": "left"}, {"minutes": 5}):
            text = await bob.refused("update_task", **asking, **given)
            assert "minutes and option" in text
        offer = {"options": ["left", "right"], "minutes": 60}
        text = await bob.refused("update_task", **asking, **offer, option="up")
        assert '"left", "right"' in text
        await bob.call("update_task", **asking, **offer, option="left")
        (text,) = Shown(await eve.call("receive_messages")).texts
        for part in ("Which?", "\n- left\n- right\n", "If there is no answer by ", "is: left"):
            assert part in text
        shown = Shown(await bob.call("get_task", task_id="t1"))
        (text,) = [each for each in shown.texts if each.startswith("Which?")]
        assert text.startswith("Which?\n- left\n- right\nif there is no answer by ")
        answering = {"task_id": "t1", "action": "answer"}
        assert '"left", "right"' in await eve.refused("update_task", **answering, option="up")
        await eve.call("update_task", **answering, option="right", acknowledge=[1])
        assert Shown(await bob.call("receive_messages")).texts[-1].endswith("right")


async def test_claiming_what_is_held_shows_it_again(workplace: Workplace):
    await assigned(workplace, "Look")
    async with workplace.host("bob") as bob:
        await bob.call("claim_task")
        assert Shown(await bob.call("claim_task", task_id="t1")).texts == ["Look"]
        assert (await bob.call("claim_task")).startswith("no task is ready for you")


async def test_a_session_holds_a_bounded_number_of_tasks(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held, "HELD_TASKS_MAX", 1)
    await assigned(workplace)
    await assigned(workplace)
    async with workplace.host("bob") as bob:
        await bob.call("claim_task")
        text = await bob.refused("claim_task")
        assert "Finish or release one first: t1" in text


async def percent_of_a_held_task(bob: Host) -> str:
    await bob.call("claim_task")
    return await bob.refused("update_task", task_id="t1", action="progress", percent=500)


async def refusals(bob: Host) -> dict[str, str]:
    """What a model is told of common mistakes."""
    return {
        "unknown agent": await bob.refused("send_message", to=["bobb"], text="hi"),
        "unknown task": await bob.refused("get_task", task_id="t99"),
        "unknown message": await bob.refused("receive_messages", message_id="m99"),
        "not held": await bob.refused("finish_task", task_id="t1", summary="done"),
        "no recipient": await bob.refused("update_task", task_id="t1", action="assign"),
        "empty": await bob.refused("send_message", to=[], text="hi"),
        "word": await bob.refused("claim_task", wait="long"),
        "argument": await bob.refused("claim_task", seconds=30),
        "missing": await bob.refused("get_task"),
        "percent": await percent_of_a_held_task(bob),
        "page": await bob.refused("list_tasks", page="nonsense"),
    }


async def test_errors_say_the_next_step(workplace: Workplace):
    await assigned(workplace)
    async with workplace.host("bob") as bob:
        told = await refusals(bob)
    assert "nearest known: bob. list_agents shows the ids.\n" in told["unknown agent"]
    assert "list_tasks shows the ids." in told["unknown task"]
    assert "receive_messages shows the ids." in told["unknown message"]
    assert "PENDING. Allowed: " in told["not held"]
    assert "name the agent. list_agents" in told["no recipient"]
    assert "Correct it and call again." in told["empty"]
    assert "'none' or 'short'. Correct it" in told["word"]
    assert "claim_task has no seconds. It takes: task_id, wait." in told["argument"]
    assert "task_id: Field required. Correct it" in told["missing"]
    assert "Correct it and call again." in told["page"]
    assert "percent must be 0 to 100, is 500. Correct it" in told["percent"]
    assert not any("Error executing" in text or "http" in text for text in told.values())


def test_every_reason_has_a_step_or_is_for_the_user():
    assert set(steps.STEPS) <= documented()
    assert "INVALID_FIELDS" in steps.STEPS
    for reason in documented():
        text = steps.explain(client.DovetailError("it is wrong.", reason=reason))
        assert text.startswith("it is wrong. ")
        assert text.endswith(".")


async def test_servers_that_do_not_answer_are_said_so(workplace: Workplace):
    nowhere = Workplace(
        messaging=f"127.0.0.1:{free_port()}", tasks=workplace.tasks, team_id=workplace.team_id
    )
    async with nowhere.host("ada", patience=0.0) as ada:
        text = await ada.refused("whoami")
    assert text == f"{steps.SILENT}\nunread unknown: messaging does not answer"


def test_an_outcome_that_is_not_known_is_said_so():
    assert steps.explain(client.DeadlineExceededError("late")) == steps.UNKNOWN
    assert steps.explain(client.UnknownError("garbled")) == steps.UNKNOWN
