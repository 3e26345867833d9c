"""What a server offers beside its own methods: reflection, health, long quiet connections."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as t
from support.callers import Inbox
from support.pair import Pair, identity, running
from support.refusals import failure
from wire.reflected import ask, methods, services

MESSAGING = "dovetail.messaging.v1.MessagingService"
TASKS = "dovetail.tasks.v1.TaskService"
ADMIN = "dovetail.admin.v1.AdminService"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
COMMON = {ADMIN, "grpc.health.v1.Health", *REFLECTION}

QUIET_SECONDS = 20.0
PINGING = (
    ("grpc.keepalive_time_ms", 5_500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


async def test_reflection_names_the_services_of_each_server(shared: Pair) -> None:
    assert await services(shared.messaging_channel) == {MESSAGING, *COMMON}
    assert await services(shared.tasks_channel) == {TASKS, *COMMON}


async def test_reflection_describes_every_method(shared: Pair) -> None:
    for channel, file in (
        (shared.messaging_channel, m.DESCRIPTOR),
        (shared.tasks_channel, t.DESCRIPTOR),
    ):
        expected = [
            (f"/{service.full_name}/{method.name}", method.server_streaming)
            for each in (file, a.DESCRIPTOR)
            for service in each.services_by_name.values()
            for method in service.methods
        ]
        assert sorted(await methods(channel)) == sorted(expected)


@pytest.mark.parametrize("version", REFLECTION)
async def test_reflection_finds_methods_in_both_versions(shared: Pair, version: str) -> None:
    channel = shared.messaging_channel
    asked = {"file_containing_symbol": f"{MESSAGING}.SendMessage"}
    file = (await ask(channel, version, **asked)).file_descriptor_response.file_descriptor_proto[0]
    assert FileDescriptorProto.FromString(file).name == m.DESCRIPTOR.name
    for name in (f"{MESSAGING}.Nonsense", "nothing", ""):
        answer = await ask(channel, version, file_containing_symbol=name)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_a_method_of_the_other_service_or_of_none_is_unimplemented(shared: Pair) -> None:
    channel = shared.messaging_channel
    for path in (f"/{TASKS}/GetTask", f"/{MESSAGING}/Nonsense", "/nothing/Nothing"):
        error = await failure(channel.unary_unary(path)(b""))  # type: ignore[arg-type]
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(("service", "other"), [(MESSAGING, TASKS), (TASKS, MESSAGING)])
async def test_health_is_told_for_each_service_and_the_whole(
    shared: Pair, service: str, other: str
) -> None:
    channel = shared.messaging_channel if service == MESSAGING else shared.tasks_channel
    health: Any = cast(Any, health_pb2_grpc).HealthStub(channel)
    for name in ("", service, *COMMON):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for name in (other, "nonsense"):
        error = await failure(health.Check(health_pb2.HealthCheckRequest(service=name)))
        assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_quiet_stream_lives_though_its_client_pings(sqlite_url: str) -> None:
    async with (
        running("messaging", sqlite_url) as server,
        grpc.aio.insecure_channel(server.address, options=PINGING) as channel,
    ):
        stub = messaging_pb2_grpc.MessagingServiceStub(channel)
        await stub.RegisterAgent(m.RegisterAgentRequest(), metadata=identity("bob"))
        call = stub.SubscribeInbox(m.SubscribeInboxRequest(), metadata=identity("bob"))
        inbox = Inbox(call)
        assert await inbox.backlog() == []
        reading = asyncio.create_task(inbox.take(1))
        done, _ = await asyncio.wait([reading], timeout=QUIET_SECONDS)
        assert not done
        await stub.SendMessage(
            m.SendMessageRequest(recipient_ids=["bob"]), metadata=identity("alice")
        )
        assert len(await reading) == 1
        call.cancel()
