"""One pair of servers for all tests of the command line; each test has a team of its own."""

from __future__ import annotations

import uuid
from collections.abc import Generator

import grpc
import pytest

from cli.shell import Shell
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import caller
from support.processes import ServerProcess

SHORT_LEASES = ("--shortest-lease-seconds", "0.5")


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[ServerProcess, ServerProcess]]:
    folder = tmp_path_factory.mktemp("servers")
    store = f"sqlite:///{folder}/store.db"
    with (
        ServerProcess("messaging", store, folder / "messaging.log") as messaging,
        ServerProcess("tasks", store, folder / "tasks.log", options=SHORT_LEASES) as tasks,
    ):
        yield messaging, tasks


@pytest.fixture
def shell(servers: tuple[ServerProcess, ServerProcess]) -> Shell:
    """A shell in a new team that has the agents alice and bob."""
    messaging, tasks = servers
    shell = Shell(
        messaging=messaging.address, tasks=tasks.address, team=f"team {uuid.uuid4().hex[:8]}"
    )
    with grpc.insecure_channel(messaging.address) as channel:
        register = messaging_pb2_grpc.MessagingServiceStub(channel).RegisterAgent
        for agent_id in ("alice", "bob"):
            register(pb.RegisterAgentRequest(agent_id=agent_id), metadata=caller("", shell.team))
    return shell
