"""Errors: one class per status, with what the server says for programs."""

from __future__ import annotations

import traceback

import grpc
import grpc_testing
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from dovetail import client
from dovetail.client import Agent, from_rpc_error
from dovetail.client.errors import CLASSES, DETAILS_KEY
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.processes import free_port

METHOD = pb.DESCRIPTOR.services_by_name["MessagingService"].methods_by_name["GetAgent"]


def failed(code: grpc.StatusCode, text: str, *trailers: tuple[str, bytes]) -> grpc.RpcError:
    """The error of a call that a server ended like this."""
    channel = grpc_testing.channel([METHOD.containing_service], grpc_testing.strict_real_time())
    stub = messaging_pb2_grpc.MessagingServiceStub(channel)
    call = stub.GetAgent.future(pb.GetAgentRequest())
    _, _, server = channel.take_unary_unary(METHOD)
    server.send_initial_metadata(())
    server.terminate(None, trailers, code, text)
    with pytest.raises(grpc.RpcError) as raised:
        call.result()
    return raised.value


def details(*messages) -> tuple[str, bytes]:
    status = status_pb2.Status()
    for message in messages:
        packed = Any()
        packed.Pack(message)
        status.details.append(packed)
    return DETAILS_KEY, status.SerializeToString()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code != grpc.StatusCode.OK])
def test_every_status_has_a_class_of_its_own(code: grpc.StatusCode):
    error = from_rpc_error(failed(code, "a sentence"))
    assert type(error).__name__.removesuffix("Error").removeprefix("Call").lower() == (
        code.name.replace("_", "").lower()
    )
    assert len(set(CLASSES.values())) == len(CLASSES)
    assert str(error) == "a sentence"
    assert (error.reason, error.metadata, error.violations, error.retry_after) == ("", {}, (), None)


def test_an_error_carries_what_the_server_says_for_programs():
    error = from_rpc_error(
        failed(
            grpc.StatusCode.UNAVAILABLE,
            "later",
            details(
                error_details_pb2.ErrorInfo(
                    reason="STORE_BUSY", domain="dovetail.dev", metadata={"a": "b"}
                ),
                error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field="x", description="y")
                    ]
                ),
                error_details_pb2.Help(),
            ),
        )
    )
    assert isinstance(error, client.UnavailableError)
    assert (error.reason, error.metadata, error.retry_after) == ("STORE_BUSY", {"a": "b"}, 1.5)
    assert error.violations == (client.FieldViolation(field="x", description="y"),)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code != grpc.StatusCode.OK])
def test_only_an_error_of_dovetail_s_own_making_says_that_nothing_was_written(code):
    ours = error_details_pb2.ErrorInfo(reason="TASK_STATE", domain="dovetail.dev")
    other = error_details_pb2.ErrorInfo(reason="RATE_LIMITED", domain="proxy.example")
    mine = from_rpc_error(failed(code, "x", details(ours)))
    unknown = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
    assert (mine.reason, mine.outcome_unknown) == ("TASK_STATE", unknown)
    assert mine.is_passing == (code is grpc.StatusCode.UNAVAILABLE)
    for trailers in ((), (details(other),), (details(),)):
        foreign = from_rpc_error(failed(code, "x", *trailers))
        assert (foreign.reason, foreign.outcome_unknown, foreign.is_passing) == ("", True, True)


def test_garbled_details_do_not_hide_the_status():
    error = from_rpc_error(failed(grpc.StatusCode.NOT_FOUND, "gone", (DETAILS_KEY, b"\xff\xff")))
    assert isinstance(error, client.NotFoundError)
    assert error.reason == ""


async def test_a_server_s_refusal_is_typed_and_names_what_is_wrong(alice: Agent):
    with pytest.raises(client.NotFoundError, match='agent "alicia" is not known here') as unknown:
        await alice.send("alicia", "hi")
    assert unknown.value.reason == "AGENT_NOT_FOUND"
    assert "alice" in unknown.value.metadata["nearest_ids"]
    with pytest.raises(client.InvalidArgumentError) as wrong:
        await alice.send("alice", "x", subject="s" * 513, thread_id=" ")
    assert {fault.field for fault in wrong.value.violations} == {"subject", "thread_id"}
    with pytest.raises(client.OutOfRangeError) as beyond:
        await alice.acknowledge(through=9)
    assert beyond.value.reason == "CURSOR_IN_FUTURE"
    assert beyond.value.address.startswith("127.0.0.1:")


async def test_an_error_shows_only_itself_and_keeps_grpc_s_own(alice: Agent):
    with pytest.raises(client.NotFoundError) as unknown:
        await alice.agent("alicia")
    shown = "".join(traceback.format_exception(unknown.value))
    assert "AioRpcError" not in shown
    assert "The above exception" not in shown
    assert isinstance(unknown.value.rpc_error, grpc.aio.AioRpcError)
    assert unknown.value.rpc_error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_server_that_is_not_there_is_named_with_what_to_do():
    address = f"127.0.0.1:{free_port()}"
    async with client.connect("alice", messaging=address, patience=0) as alice:
        with pytest.raises(client.UnavailableError) as lost:
            await alice.register()
        with pytest.raises(client.UnavailableError, match="Start it with: dovetail up"):
            await alice.ask("bob", "x")
    assert str(lost.value) == (
        f"no answer from {address} (Connection refused): is it running? Start it with: dovetail up"
    )
    assert "AioRpcError" not in "".join(traceback.format_exception(lost.value))
    far = client.connect("alice", messaging="no.such.host.invalid:1", patience=0)
    with pytest.raises(client.UnavailableError, match=r"is it running\?$"):
        await far.register()
    await far.close()


async def test_a_task_s_refusals_are_typed(alice: Agent, bob: Agent):
    task = await alice.tasks.create("x", task_id="mine", assignee_id="bob")
    with pytest.raises(client.AlreadyExistsError):
        await alice.tasks.create("x", task_id="mine")
    with pytest.raises(client.FailedPreconditionError) as state:
        await alice.tasks.complete("mine")
    assert state.value.reason == "TASK_STATE"
    assert "START" in state.value.metadata["allowed_verbs"]
    await bob.tasks.start("mine")
    with pytest.raises(client.AbortedError) as stale:
        await alice.tasks.cancel("mine", etag=task.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
