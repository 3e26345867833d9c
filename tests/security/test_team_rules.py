"""GetTeam and UpdateTeam: what a team keeps, who may say so, and what the servers' default is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.server.config import ConfigError, ServerConfig
from dovetail.server.retention import DAY_MICROS, HOUR_MICROS, Retention
from security.cells import outcome
from support.guarded import Guarded, guarded_pair
from support.pair import Metadata, identity
from support.refusals import refusal
from support.teams import Team

DAY = Duration(seconds=86_400)
MONTH = Duration(seconds=30 * 86_400)


def update(*paths: str, **fields: Any) -> a.UpdateTeamRequest:
    return a.UpdateTeamRequest(team=a.Team(**fields), update_mask=FieldMask(paths=paths))


async def test_a_rule_that_is_set_goes_before_the_default(team: Team) -> None:
    admin, metadata = team.pair.admin, identity("ann", team.team_id)
    new = (await admin.GetTeam(a.GetTeamRequest(), metadata=metadata)).team
    assert (new.team_id, new.HasField("create_time")) == (team.team_id, False)
    assert new.figures == a.TeamFigures()
    assert new.retention == a.Retention()
    assert new.effective_retention == a.Retention(notice_age=MONTH)
    rules = a.Retention(message_age=DAY, message_count=5, notice_age=Duration(), task_age=DAY)
    request = update("retention", retention=rules)
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert found.retention == found.effective_retention == rules
    # One rule, here at the other server: the others stay. Unset takes a rule away.
    request = update("retention.notice_age", "retention.task_age", retention={"task_age": MONTH})
    found = (await team.pair.other_admin.UpdateTeam(request, metadata=metadata)).team
    assert found.retention == a.Retention(message_age=DAY, message_count=5, task_age=MONTH)
    assert found.effective_retention.notice_age == MONTH
    limits = a.Limits(inbox_messages=3, bytes=10**9)
    request = update("limits", "retention", limits=limits)
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert (found.limits, found.retention) == (limits, a.Retention())
    assert found.HasField("create_time")
    request = update("limits.bytes", limits=a.Limits(inbox_messages=9))
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert found.limits == a.Limits(inbox_messages=3)
    # What ends loops, beside them: 0 is no limit, and unset what the servers say.
    loops = a.LoopLimits(hops_max=7, depth_max=0, away_max=DAY)
    request = update("loop_limits", loop_limits=loops)
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert (found.loop_limits, found.limits) == (loops, a.Limits(inbox_messages=3))
    request = update("loop_limits.hops_max", "loop_limits.away_max", loop_limits={"hops_max": 1})
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert found.loop_limits == a.LoopLimits(hops_max=1, depth_max=0)
    ann, bob = await team.known("ann", "bob")
    sent = await ann.send("bob")
    sent = await bob.send("ann", in_reply_to=sent.message_id)
    reply = ann.send("bob", in_reply_to=sent.message_id)
    assert (await refusal(reply))[1] == "LOOP_SUSPECTED"
    request = update("loop_limits")
    found = (await admin.UpdateTeam(request, metadata=metadata)).team
    assert not found.HasField("loop_limits")
    await ann.send("bob", in_reply_to=sent.message_id)


async def test_figures_say_what_a_team_keeps(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    sent = await ann.send("bob", body="hello")
    await ann.made(assignee_id="bob")
    deleted = await ann.made()
    await ann.do("delete", deleted.task_id)
    await bob.acknowledge(1)
    metadata = identity("", team.team_id)
    found = (await team.pair.admin.GetTeam(a.GetTeamRequest(), metadata=metadata)).team.figures
    assert found.message_bytes > 0
    assert found.notice_bytes > found.message_bytes
    assert found == a.TeamFigures(
        messages=1,
        message_bytes=found.message_bytes,
        notices=1,
        notice_bytes=found.notice_bytes,
        unacknowledged_count=1,
        agents=2,
        tasks=1,
        open_tasks=1,
        oldest_message_time=sent.create_time,
    )


async def test_an_operator_has_its_own_team_and_an_admin_each(shared: Guarded) -> None:
    await shared.team("green")
    pair, operator = shared.pair, await shared.token("operator", "red")
    mine = a.GetTeamRequest()
    assert (await pair.admin.GetTeam(mine, metadata=operator)).team.team_id == "red"
    for team_id in ("green", "never"):
        for call in (
            pair.admin.GetTeam(a.GetTeamRequest(team_id=team_id), metadata=operator),
            pair.admin.UpdateTeam(
                update("retention", team_id=team_id, retention={"event_count": 1}),
                metadata=operator,
            ),
        ):
            assert (await refusal(call))[1:] == ("TEAM_NOT_FOUND", {"team_id": team_id})
    # What a team keeps is its own matter, how much it may keep is not.
    request = update("retention.event_count", retention={"event_count": 1})
    team = (await pair.admin.UpdateTeam(request, metadata=operator)).team
    assert team.retention.event_count == 1
    request = update("retention", "limits.bytes", limits={"bytes": 5})
    code, reason, metadata = await refusal(pair.admin.UpdateTeam(request, metadata=operator))
    assert (code.name, reason, metadata) == (
        "PERMISSION_DENIED",
        "ROLE_REFUSED",
        {"role": "OPERATOR"},
    )
    for team_id, expected in (("green", "OK"), ("never", "NOT_FOUND"), ("", "INVALID_ARGUMENT")):
        request = update("limits.bytes", team_id=team_id, limits={"bytes": 5})
        found, answer = await outcome(pair.admin.UpdateTeam(request, metadata=shared.admin))
        assert found[0] == expected, answer
    page = await pair.admin.ListTeams(a.ListTeamsRequest(), metadata=shared.admin)
    assert [each.limits.bytes for each in page.teams if each.team_id == "green"] == [5]
    assert not any(each.team_id == "never" for each in page.teams)


async def test_changes_of_rules_are_in_the_audit_log(sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with guarded_pair(sqlite_url, tmp_path, audit_log=log) as guarded:
        admin: Metadata = guarded.admin
        request = update("retention", "limits", team_id="red", limits={"bytes": 5})
        request.team.retention.message_age.CopyFrom(DAY)
        for _ in range(2):  # The second changes nothing.
            await guarded.pair.admin.UpdateTeam(request, metadata=admin)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = [each for each in lines if each["audit"] == "team updated"]
    assert (line["team_id"], line["message_age"], line["max_bytes"]) == ("red", "86400", "5")
    assert line["by"]


def test_the_default_of_a_server_is_checked_before_it_starts() -> None:
    def rules(text: str) -> Retention:
        config = ServerConfig(service="tasks", store="x", listen="127.0.0.1:0", retention=text)
        return config.rules

    assert rules("") == Retention(notice_age=30 * DAY_MICROS)
    assert rules("messages=12h, notices=forever,ended-tasks-count=7") == Retention(
        message_age=12 * HOUR_MICROS, notice_age=0, task_count=7
    )
    for wrong, says in (
        ("mail=1d", "'mail' is not one of messages, messages-count"),
        ("messages=30", "'30' is not an age: write 12h, 30d"),
        ("messages=99999w", "must be 0 (for ever), or 1 h to 36,500 days"),
        ("events-count=0", "'0' is not a number from 1"),
        ("notices=1d,notices=2d", "notices is given twice"),
        ("notices", "'' is not an age"),
    ):
        with pytest.raises(ConfigError, match="--retention") as caught:
            rules(wrong)
        assert says in str(caught.value)
