"""A store with something of everything in it, made by calls as far as calls can make it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.moving.places import opened
from dovetail.server.store.moving.tables import MOVED
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2
from support.callers import Caller, seconds
from support.guarded import Guarded, guarded_pair
from support.refusals import refusal
from support.tables import STATES

TEAM_IDS = ("crew", "Équipe β")
LEAD = "Orchestrator (-> WebSurfer) ü"
RECIPIENTS = [f"r{number}" for number in range(12)]
HELD = "held"
"""A task that bob holds, under a lease of an hour."""

USAGE = work.Usage(
    input_tokens=1_000,
    output_tokens=200,
    cached_tokens=300,
    cost=work.Cost(amount="0.0123", currency="USD"),
    model="some-model-1",
    counters={"searches": 3, "pages read": 10**15},
)
LATER = Timestamp(seconds=4_000_000_000, nanos=123_456_000)


KEYS_OF_FIGURES = {"team_id", "assignee_id", "kind", "page", "measure"}


def struct(**content: Any) -> Struct:
    """Structured data."""
    made = Struct()
    made.update(content)
    return made


FILES = [
    types_pb2.Attachment(name="é.bin", media_type="application/pdf", data=bytes(range(256))),
    types_pb2.Attachment(name="elsewhere", url="https://example.org/large"),
]
DATA = struct(z="é✓", a=None, list=[1, 1.5, -7, "two", {"deep": {}}, []], yes=True, n=2**53 - 1)
OFFER: dict[str, Any] = {
    "options": [
        types_pb2.InputOption(name="links ←", description='the "old" one\n✓'),
        types_pb2.InputOption(name="rechts"),
    ],
    "answer_within": seconds(86_400),
    "default_answer": "rechts",
}


async def fill(url: str, folder: Path) -> str:
    """Fill an empty store. Returns the token of bob's lease on the task `held` of each team."""
    tokens: list[str] = []
    async with guarded_pair(url, folder) as guarded:
        for team_id in TEAM_IDS:
            await guarded.team(team_id)
            operator = await guarded.caller("", team_id)
            for each in RECIPIENTS:
                await operator.register(agent_id=each)
            people = [await guarded.caller(each, team_id) for each in ("ann", "bob", LEAD)]
            await _talk(*people)
            tokens.append(await _work(*people))
        await _revoke(guarded)
    _write_what_no_call_writes(url)
    return tokens[0]


async def _revoke(guarded: Guarded) -> None:
    """Credentials with an end, one that was revoked, one that replaced another."""
    made = await guarded.made("agent", "red", "eve", lifetime=seconds(3_600), description="day é")
    rotate = admin.RotateCredentialRequest(credential_id=made.credential.credential_id)
    await guarded.pair.admin.RotateCredential(rotate, metadata=guarded.admin)
    gone = await guarded.made("observer", "crew")
    revoke = admin.RevokeCredentialRequest(credential_id=gone.credential.credential_id)
    await guarded.pair.admin.RevokeCredential(revoke, metadata=guarded.admin)


async def _talk(ann: Caller, bob: Caller, lead: Caller) -> None:
    """Messages of all kinds, and inboxes that were read in part."""
    await ann.register(display_name="Ann é", labels={"b": "2", "a": "1"})
    sent = await ann.send("bob", subject="Hi", body="hello ✓\n\t\"'\\\x01", request_id="r-1")
    await ann.send("bob", LEAD, body="", data=DATA, labels={"z": "", "a": "x y"}, request_id="é")
    await ann.send("bob", importance=talk.IMPORTANCE_HIGH, body="x" * 5_000)
    await ann.send(*RECIPIENTS, body="to many")
    await bob.send("ann", body="re", in_reply_to=sent.message_id, acknowledge_sequences=[1])
    await bob.call(talk.MarkMessagesSeenRequest(sequences=[2]))
    group = talk.Group(group_id="all é", display_name="All", agent_ids=["bob", LEAD])
    await ann.call(talk.PutGroupRequest(group=group))
    await ann.call(
        talk.SendMessageRequest(
            group_ids=["all é"],
            body="files",
            attachments=FILES,
            expire_time=LATER,
            ack_deadline=seconds(3_600),
        )
    )
    await lead.call(talk.RejectMessageRequest(sequences=[1], reason="not mine ü"))
    await bob.received()
    await lead.received()


async def _work(ann: Caller, bob: Caller, lead: Caller) -> str:
    """Tasks in all states, and what belongs to them. Returns the token of bob's lease."""
    for name, state in STATES.items():
        await ann.made(task_id=name, title=f"a task {name}", description="what é")
        await (bob if name != "CANCELLED" else ann).bring(name, state)
    await ann.made(
        task_id="full",
        assignee_id=LEAD,
        priority=-3,
        labels={"b": "é", "a": ""},
        input=DATA,
        input_attachments=FILES,
        due_time=LATER,
        schedule_time=LATER,
        depends_on=["PENDING", "COMPLETED"],
        parent_task_id="IN_PROGRESS",
        links=[work.TaskLink(task_id="FAILED", kind="relates_to")],
        max_attempts=7,
        initial_backoff=seconds(0.25),
        max_tokens=10**12,
        max_cost=work.Cost(amount="12.000000001", currency="EUR"),
        request_id="make",
    )
    await ann.did("update", "full", values={"title": "another ✓", "priority": 4})
    for ending in ("complete", "fail"):
        await _attempt(ann, bob, ending)
    await ann.made(task_id="late")
    token = await bob.held("late")
    await ann.do("unassign", "late", force=True)
    await refusal(bob.do("complete", "late", lease_token=token, result=_result()))
    await ann.made(task_id="gone")
    await ann.do("delete", "gone")
    await ann.made(task_id="asked")
    token = await bob.held("asked")
    await bob.do("request-input", "asked", lease_token=token, agent_id=LEAD, data=DATA, **OFFER)
    await lead.do("provide-input", "asked", data=DATA, option="links ←")
    await ann.made(task_id=HELD)
    token = await bob.held(HELD)
    await bob.do("heartbeat", HELD, lease_token=token, usage=USAGE, progress=_progress())
    return token


async def _attempt(ann: Caller, bob: Caller, ending: str) -> None:
    """A task whose first attempt failed, and whose second ended in this way."""
    task_id = f"tried to {ending}"
    await ann.made(task_id=task_id, parent_task_id="IN_PROGRESS")
    token = await bob.held(task_id)
    again = work.TaskFailure(message="again é", data=DATA, retryable=True)
    await bob.do("fail", task_id, lease_token=token, failure=again, usage=USAGE)
    await ann.do("update", task_id, values={"schedule_time": None})
    token = await bob.held(task_id)
    what = {"result": _result()} if ending == "complete" else {"failure": again}
    await bob.do(ending, task_id, lease_token=token, usage=USAGE, **what)


def _result() -> work.TaskResult:
    return work.TaskResult(summary="done é", data=DATA)


def _progress() -> work.TaskProgress:
    return work.TaskProgress(percent=40, note="half é")


def _write_what_no_call_writes(url: str) -> None:
    """A message of an old release, and a change of which not all is told."""
    ids = {"actor_id": "ü", "assignee_id": "bob", "former_assignee_id": ""}
    notice = {"verb": "UPDATE", "task_id": "t1", "event_number": 1, **ids}
    with opened(url) as place, place.writing():
        size = "(SELECT size FROM messages m WHERE m.team_id = teams.team_id AND m.number = 1)"
        place.run(
            "UPDATE teams SET message_count = message_count - 1, notice_count = notice_count + 1,"
            f" message_bytes = message_bytes - {size}, notice_bytes = notice_bytes + {size}"
            f" WHERE {size} IS NOT NULL"
        )
        place.run(
            "INSERT INTO thread_hours SELECT team_id, thread_id, 1, 2, 1 FROM messages"
            " WHERE number = 1"
        )
        for table in MOVED:  # What nothing was removed of, as rows that add nothing.
            if table.name.startswith("removed_"):
                source = table.name.removeprefix("removed_")
                names = [each.name for each in table.columns]
                values = [name if name in KEYS_OF_FIGURES else "0" for name in names]
                place.run(
                    f"INSERT INTO {table.name} ({', '.join(names)})"
                    f" SELECT {', '.join(values)} FROM {source}"
                )
        place.run(
            "UPDATE messages SET payload = NULL, body = ?, data = ?, notice = ?, kind = 2"
            " WHERE number = 1",
            ("old ✓", '{"": "", "list": [1.0, "two"]}', json.dumps(notice)),
        )
        # As a release before the order of maps was fixed wrote it.
        (payload,) = place.rows("SELECT payload FROM messages WHERE number = 2 LIMIT 1")[0]
        label = talk.Message(labels={"~": "last"}).SerializeToString()
        place.run("UPDATE messages SET payload = ? WHERE number = 2", (label + payload,))
        place.run(
            "INSERT INTO task_follow_ups SELECT team_id, number, task_id, verb, actor_id, 1, 0"
            " FROM task_events WHERE number = 1"
        )
