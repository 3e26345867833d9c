"""The page's server: the page, and the RPCs over Connect, for browsers of this machine alone."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from dovetail.bridges.web.files import KINDS
from dovetail.bridges.web.forwarding import JSON_BYTES_MAX, REQUEST_BYTES_MAX, paths
from dovetail.bridges.web.guard import HEADERS
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from support.guarded import guarded_pair
from support.pair import Pair, identity, running_pair
from support.refusals import error_info, failure
from support.teams import Team
from support.waiting import until
from support.web import PROTO, Web, as_agent, framed, serving
from wire.filled import METHODS

TASKS = "/dovetail.tasks.v1.TaskService/"
MESSAGING = "/dovetail.messaging.v1.MessagingService/"
END_OF_STREAM = 0x02


@pytest.fixture
async def web(shared_pair: Pair) -> AsyncGenerator[Web]:
    """The page of the shared servers."""
    async with serving(shared_pair.messaging_address, shared_pair.tasks_address) as each:
        yield each


@pytest.fixture
async def local_web(sqlite_pair: Pair) -> AsyncGenerator[Web]:
    """The page of servers on SQLite: what it does itself, on one engine."""
    async with serving(sqlite_pair.messaging_address, sqlite_pair.tasks_address) as each:
        yield each


def test_it_has_every_rpc_of_the_contract_and_no_other() -> None:
    assert paths() == set(METHODS)


async def test_a_call_has_the_same_response_as_over_grpc(web: Web, team: Team) -> None:
    await team.known("Ännchen (-> 你好)")
    headers = as_agent("Ännchen (-> 你好)", team.team_id)
    request = t.CreateTaskRequest(title="<b>Größe</b>", request_id="once")
    first = await web.client.post(
        f"{TASKS}CreateTask", content=request.SerializeToString(), headers={**PROTO, **headers}
    )
    assert (first.status_code, first.headers["content-type"]) == (200, "application/proto")
    task = t.CreateTaskResponse.FromString(first.content).task
    assert (task.title, task.creator_id) == ("<b>Größe</b>", "Ännchen (-> 你好)")
    same = await web.client.post(
        f"{TASKS}GetTask",
        content=json.dumps({"taskId": task.task_id}),
        headers={"content-type": "application/json", **headers},
    )
    assert same.json()["task"]["title"] == "<b>Größe</b>"


async def test_an_error_has_the_code_the_text_and_the_details_of_the_server(
    local_web: Web, sqlite_pair: Pair
) -> None:
    request = t.GetTaskRequest(task_id="none")
    error = await failure(sqlite_pair.tasks.GetTask(request, metadata=identity("ann")))
    answer = await local_web.call(f"{TASKS}GetTask", request, "ann")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (404, "not_found")
    assert told["message"] == error.details()
    (detail,) = told["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
    value = b64decode(detail["value"] + "==")
    assert error_details_pb2.ErrorInfo.FromString(value) == error_info(error)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"dovetail-agent-bin": "*!*"}, b""),
        ({"dovetail-agent": "\xe4".encode("latin-1").decode("latin-1")}, b""),
        ({"content-type": "application/json"}, b"{"),
        ({"content-type": "application/json"}, b'{"noSuchField": 1}'),
        ({"content-type": "application/json"}, b"[" * 100_000),
        ({}, b"\xff\xff"),
    ],
    ids=["no base64", "no ASCII", "no JSON", "no such field", "too deep", "no protobuf"],
)
async def test_what_cannot_be_read_is_refused(
    local_web: Web, headers: dict[str, str], body: bytes
) -> None:
    encoded = {key.encode(): value.encode("latin-1") for key, value in {**PROTO, **headers}.items()}
    answer = await local_web.client.post(f"{TASKS}ListTasks", content=body, headers=encoded)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument"), answer.text


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-encoding": "gzip"}, gzip.compress(b"") * 1_000, 501),
        ({"content-type": "application/grpc"}, framed(b""), 415),
        ({"content-type": "application/grpc-web+proto"}, framed(b""), 415),
        ({"content-type": ""}, b"", 415),
        ({"content-type": "application/json"}, b"[]", 400),
        ({"content-type": "application/json"}, b'{"pageSize":' + b" " * JSON_BYTES_MAX, 429),
    ],
    ids=["compressed", "gRPC", "gRPC-Web", "no type", "a list", "much JSON"],
)
async def test_what_would_cost_the_server_much_is_refused(
    local_web: Web, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await local_web.client.post(
        f"{TASKS}ListTasks", content=body, headers={**PROTO, **headers}
    )
    assert answer.status_code == status, answer.text


async def test_an_identity_that_is_given_twice_is_refused(local_web: Web) -> None:
    headers = [*PROTO.items(), ("authorization", "Bearer a"), ("authorization", "Bearer b")]
    answer = await local_web.client.post(f"{TASKS}ListTasks", content=b"", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


async def test_a_deadline_of_the_caller_is_its_own(local_web: Web, sqlite_pair: Pair) -> None:
    await Team(sqlite_pair).known("ann")
    receive = m.ReceiveMessagesRequest(max_wait=Duration(seconds=40))
    late = {"connect-timeout-ms": "200"}
    answer = await local_web.call(f"{MESSAGING}ReceiveMessages", receive, "ann", **late)
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_a_request_that_is_too_large_is_refused(local_web: Web) -> None:
    content = b"x" * (REQUEST_BYTES_MAX + 1)
    answer = await local_web.client.post(f"{TASKS}CreateTask", content=content, headers=PROTO)
    assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")


async def test_a_stream_brings_each_response_when_it_is_there(web: Web, team: Team) -> None:
    await team.known("ann")
    headers = {"content-type": "application/connect+proto", **as_agent("ann", team.team_id)}
    request = framed(t.WatchTasksRequest().SerializeToString())
    async with web.client.stream(
        "POST", f"{TASKS}WatchTasks", content=request, headers=headers, timeout=20
    ) as answer:
        assert answer.status_code == 200
        frames = read_frames(answer)
        titles: list[str] = []
        for title in ("first", "second"):
            create = t.CreateTaskRequest(title=title)
            made = await web.call(f"{TASKS}CreateTask", create, **as_agent("ann", team.team_id))
            task_id = t.CreateTaskResponse.FromString(made.content).task.task_id
            async for flags, content in frames:
                assert flags == 0
                events = t.WatchTasksResponse.FromString(content).events
                if any(each.task_id == task_id for each in events):
                    titles.append(title)
                    break
        assert titles == ["first", "second"]


async def test_a_stream_that_is_refused_ends_with_the_error(local_web: Web) -> None:
    request = framed(t.WatchTasksRequest(after_event=10**9).SerializeToString())
    headers = {"content-type": "application/connect+proto", **as_agent("ann")}
    async with local_web.client.stream(
        "POST", f"{TASKS}WatchTasks", content=request, headers=headers
    ) as answer:
        ((flags, content),) = [frame async for frame in read_frames(answer)]
    assert flags == END_OF_STREAM
    assert json.loads(content)["error"]["code"] == "out_of_range"


async def test_what_a_browser_has_left_ends_at_the_server(
    local_web: Web, sqlite_pair: Pair
) -> None:
    await Team(sqlite_pair).known("ann")

    async def has_open(streams: int, calls: int) -> bool:
        request = m.GetAgentRequest(agent_id="ann")
        found = (await sqlite_pair.messaging.GetAgent(request, metadata=identity("ann"))).agent
        return (found.open_streams, found.waiting_calls) == (streams, calls)

    headers = {"content-type": "application/connect+proto", **as_agent("ann")}
    async with local_web.client.stream(
        "POST", f"{MESSAGING}SubscribeInbox", content=framed(b""), headers=headers
    ):
        await until(lambda: has_open(1, 0))
    await until(lambda: has_open(0, 0))
    receive = m.ReceiveMessagesRequest(max_wait=Duration(seconds=40))
    waiting = asyncio.create_task(local_web.call(f"{MESSAGING}ReceiveMessages", receive, "ann"))
    await until(lambda: has_open(0, 1))
    waiting.cancel()
    await until(lambda: has_open(0, 0))


async def test_the_page_and_all_else_come_with_the_strict_headers(local_web: Web) -> None:
    for path in ("/", *(f"/{name}" for name in KINDS), "/config.json", "/none", f"{TASKS}GetTask"):
        answer = await local_web.client.get(path)
        assert {key: answer.headers.get(key) for key in HEADERS} == HEADERS, path
        assert answer.status_code == (404 if path == "/none" else 405 if "Task" in path else 200)
    page = await local_web.client.get("/")
    again = await local_web.client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await local_web.client.post("/")).status_code == 405
    assert "unsafe" not in HEADERS["content-security-policy"]


FOREIGN: dict[str, dict[str, str]] = {
    "another host": {"host": "evil.example"},
    "another port": {"host": "127.0.0.1:1"},
    "a host that begins like ours": {"host": "127.0.0.1.evil.example"},
    "another origin": {"origin": "http://evil.example"},
    "no origin": {"origin": "null"},
    "another scheme": {"origin": "chrome-extension://abc"},
    "another site": {"sec-fetch-site": "cross-site"},
    "the same site": {"sec-fetch-site": "same-site"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_what_another_site_makes_a_browser_send_is_refused(
    local_web: Web, sqlite_pair: Pair, headers: dict[str, str]
) -> None:
    for kind in ("application/proto", "application/json", "text/plain"):
        answer = await local_web.client.post(
            f"{MESSAGING}RegisterAgent",
            content=b"",
            headers={"content-type": kind, **as_agent("mallory"), **headers},
        )
        assert answer.status_code in (403, 421), answer.text
        assert answer.json()["code"] == "permission_denied"
    request = m.GetAgentRequest(agent_id="mallory")
    error = await failure(sqlite_pair.messaging.GetAgent(request, metadata=identity("ann")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_the_page_itself_and_programs_are_served(local_web: Web) -> None:
    own = f"127.0.0.1:{local_web.port}"
    for headers in (
        {"origin": f"http://{own}", "sec-fetch-site": "same-origin"},
        {"host": f"localhost:{local_web.port}", "origin": f"http://localhost:{local_web.port}"},
        {},
    ):
        answer = await local_web.call(f"{TASKS}ListTasks", t.ListTasksRequest(), **headers)
        assert answer.status_code == 200, answer.text


async def test_a_name_of_a_proxy_is_served_if_it_was_named(sqlite_pair: Pair) -> None:
    addresses = (sqlite_pair.messaging_address, sqlite_pair.tasks_address)
    async with serving(*addresses, hosts=("Tasks.example",)) as web:
        named = {"host": "tasks.example", "origin": "https://tasks.example"}
        answer = await web.call(f"{TASKS}ListTasks", t.ListTasksRequest(), **named)
        assert answer.status_code == 200
        other = await web.call(f"{TASKS}ListTasks", t.ListTasksRequest(), host="other.example")
        assert other.status_code == 421


async def test_a_token_says_who_calls_and_what_it_may(sqlite_url: str, tmp_path: Any) -> None:
    async with guarded_pair(sqlite_url, tmp_path) as guarded:
        pair = guarded.pair
        ((_, observer),) = await guarded.token("observer", "red")
        async with serving(pair.messaging_address, pair.tasks_address) as web:
            assert (await web.client.get("/config.json")).json()["credentials"] is True
            listed = t.ListTasksRequest()
            refused = await web.call(f"{TASKS}ListTasks", listed, "ann")
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            answer = await web.call(f"{TASKS}ListTasks", listed, authorization=str(observer))
            assert answer.status_code == 200
            create = t.CreateTaskRequest(title="T")
            denied = await web.call(f"{TASKS}CreateTask", create, authorization=str(observer))
            assert (denied.status_code, denied.json()["code"]) == (403, "permission_denied")


async def test_the_page_is_there_while_the_servers_are_not(sqlite_url: str) -> None:
    async with running_pair(sqlite_url) as pair:
        addresses = (pair.messaging_address, pair.tasks_address)
    async with serving(*addresses, agent_id="joe", team_id="red") as web:
        assert (await web.client.get("/")).status_code == 200
        assert (await web.client.get("/config.json")).json() == {
            "credentials": None,
            "team_id": "red",
            "agent_id": "joe",
            "version": "0.1.0",
        }
        answer = await web.call(f"{TASKS}ListTasks", t.ListTasksRequest())
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "details" not in answer.json()


async def read_frames(answer: httpx2.Response) -> AsyncGenerator[tuple[int, bytes]]:
    """The messages of a stream, with their flags."""
    buffer = b""
    async for chunk in answer.aiter_raw():
        buffer += chunk
        while len(buffer) >= 5 and len(buffer) >= 5 + struct.unpack(">I", buffer[1:5])[0]:
            size = struct.unpack(">I", buffer[1:5])[0]
            yield buffer[0], buffer[5 : 5 + size]
            buffer = buffer[5 + size :]
