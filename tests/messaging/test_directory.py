"""The directory: registering agents and finding them."""

from __future__ import annotations

import json

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.refusals import bad_fields, error_info, failure
from support.teams import Team


async def test_registering_creates_an_agent_with_an_empty_inbox(team: Team) -> None:
    nobody = team.caller()
    answer = await nobody.register(agent_id="bob", display_name="Bob", labels={"role": "critic"})
    assert answer.created
    assert (answer.agent.agent_id, answer.agent.display_name) == ("bob", "Bob")
    assert dict(answer.agent.labels) == {"role": "critic"}
    assert (answer.agent.last_sequence, answer.agent.unacknowledged_count) == (0, 0)
    assert answer.agent.create_time.ToMicroseconds() > 0
    assert answer.agent.last_seen_time == answer.agent.create_time


async def test_registering_again_answers_the_agent_unchanged(team: Team) -> None:
    nobody = team.caller()
    first = await nobody.register(agent_id="bob", display_name="Bob", labels={"a": "1"})
    again = await nobody.register(agent_id="bob", display_name="Robert", labels={"b": "2"})
    assert not again.created
    assert again.agent == first.agent


async def test_an_agent_registers_itself_by_default(team: Team) -> None:
    answer = await team.caller("alice").register()
    assert (answer.agent.agent_id, answer.created) == ("alice", True)


async def test_registering_another_registers_the_caller_too(team: Team) -> None:
    alice = team.caller("alice")
    await alice.register(agent_id="bob")
    listed = await alice.list_agents()
    assert [agent.agent_id for agent in listed.agents] == ["alice", "bob"]


async def test_a_caller_without_agent_must_say_whom_it_means(team: Team) -> None:
    nobody = team.caller()
    for call in (nobody.register(), nobody.look(), nobody.acknowledge(through_sequence=1)):
        error = await failure(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_info(error).reason == "CALLER_AGENT_REQUIRED"
    error = await failure(nobody.backlog())
    assert error_info(error).reason == "CALLER_AGENT_REQUIRED"


async def test_getting_an_agent_is_not_registering_it(team: Team) -> None:
    error = await failure(team.caller("alice").look())
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert not (await team.caller().list_agents()).agents


async def test_an_unknown_agent_is_answered_with_the_nearest_ids(team: Team) -> None:
    await team.known("reviewer-1", "reviewer-2", "planner")
    error = await failure(team.caller().look(agent_id="reviewer-3"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    info = error_info(error)
    assert info.reason == "AGENT_NOT_FOUND"
    assert json.loads(info.metadata["agent_ids"]) == ["reviewer-3"]
    assert set(json.loads(info.metadata["nearest_ids"])) == {"reviewer-1", "reviewer-2"}


async def test_getting_an_agent_tells_the_state_of_its_inbox(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for _ in range(3):
        await alice.send("bob")
    await bob.acknowledge(2)
    agent = await alice.look(agent_id="bob")
    assert (agent.last_sequence, agent.unacknowledged_count) == (3, 2)


async def test_ids_of_any_script_are_kept_as_they_are(team: Team) -> None:
    names = ["Orchestrator (-> WebSurfer)", "ревьюер", "規劃者 🦊", "é"]
    agents = await team.known(*names)
    listed = await agents[0].list_agents()
    assert [agent.agent_id for agent in listed.agents] == sorted(names)
    assert (await agents[2].look()).agent_id == "規劃者 🦊"


async def test_listing_goes_in_order_of_id_page_by_page(team: Team) -> None:
    names = [f"agent-{number}" for number in (3, 1, 5, 2, 4)] + ["Zed", "zed"]
    nobody = (await team.known(*names))[0]
    found: list[str] = []
    token, pages = "", 0
    while token or not pages:
        page = await nobody.list_agents(page_size=3, page_token=token)
        assert len(page.agents) <= 3
        found += [agent.agent_id for agent in page.agents]
        token, pages = page.next_page_token, pages + 1
    assert found == sorted(names)
    assert pages == 3


async def test_page_sizes_are_default_one_or_up_to_a_thousand(team: Team) -> None:
    nobody = (await team.known(*(f"agent-{number:03}" for number in range(51))))[0]
    assert len((await nobody.list_agents()).agents) == 50
    one = await nobody.list_agents(page_size=1)
    assert [agent.agent_id for agent in one.agents] == ["agent-000"]
    whole = await nobody.list_agents(page_size=1_000)
    assert (len(whole.agents), whole.next_page_token) == (51, "")


async def test_a_full_last_page_has_no_next_one(team: Team) -> None:
    nobody = (await team.known("a", "b"))[0]
    assert not (await nobody.list_agents(page_size=2)).next_page_token


async def test_listing_by_labels_wants_all_pairs(team: Team) -> None:
    nobody = team.caller()
    await nobody.register(agent_id="a", labels={"role": "critic", "model": "large"})
    await nobody.register(agent_id="b", labels={"role": "critic", "model": "larger"})
    await nobody.register(agent_id="c", labels={"model": "large"})

    async def found(labels: dict[str, str]) -> list[str]:
        return [agent.agent_id for agent in (await nobody.list_agents(labels=labels)).agents]

    assert await found({"role": "critic"}) == ["a", "b"]
    assert await found({"role": "critic", "model": "large"}) == ["a"]
    assert await found({"model": "larg"}) == []
    assert await found({"model": "Large"}) == []
    assert await found({"odel": "large"}) == []


async def test_a_token_is_good_for_the_same_arguments_and_team_only(team: Team) -> None:
    nobody = (await team.known("a", "b", "c"))[0]
    other_team = (await Team.new(team.pair).known("a", "b", "c"))[0]
    token = (await nobody.list_agents(page_size=1)).next_page_token
    calls = (
        nobody.list_agents(page_token=token, labels={"role": "critic"}),
        nobody.list_messages(page_token=token),
        other_team.list_agents(page_token=token),
    )
    for call in calls:
        error = await failure(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(bad_fields(error)) == ["page_token"]
    longer = await nobody.list_agents(page_token=token, page_size=10)
    assert [agent.agent_id for agent in longer.agents] == ["b", "c"]


async def test_last_seen_follows_writes_to_the_minute(team: Team) -> None:
    (alice,) = await team.known("alice")
    before = await alice.look()
    await alice.send("alice")
    after = await alice.look()
    assert isinstance(after, pb.Agent)
    assert after.last_seen_time.ToSeconds() - before.last_seen_time.ToSeconds() <= 60
    assert after.last_seen_time.ToMicroseconds() >= before.last_seen_time.ToMicroseconds()
