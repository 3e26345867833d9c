"""One pair of servers for all tests of the command line; each test has a team of its own."""

from __future__ import annotations

from collections.abc import Generator

import grpc
import pytest

from cli.shell import Shell
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import identity
from support.processes import ServerProcess, process_pair
from support.teams import new_team_id

SHORT_LEASES = ("--shortest-lease-seconds", "0.5")


@pytest.fixture(scope="session")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[ServerProcess, ServerProcess]]:
    folder = tmp_path_factory.mktemp("servers")
    store = f"sqlite:///{folder}/store.db"
    with process_pair(store, folder, SHORT_LEASES) as servers:
        yield servers


@pytest.fixture
def shell(servers: tuple[ServerProcess, ServerProcess]) -> Shell:
    """A shell in a new team that has the agents alice and bob."""
    messaging, tasks = servers
    shell = Shell(messaging=messaging.address, tasks=tasks.address, team=new_team_id())
    with grpc.insecure_channel(messaging.address) as channel:
        register = messaging_pb2_grpc.MessagingServiceStub(channel).RegisterAgent
        for agent_id in ("alice", "bob"):
            register(pb.RegisterAgentRequest(agent_id=agent_id), metadata=identity("", shell.team))
    return shell
