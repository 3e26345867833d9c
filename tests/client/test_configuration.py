"""What `connect()` reads that it is not given: the environment, the file, the defaults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.client import Agent, ConfigurationError, UnavailableError, connect
from dovetail.client.admin import connect_admin
from dovetail.server.runtime import RunningServer
from dovetail.settings import CLIENT

Configure = Callable[..., None]

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def in_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Write the [client] table of the configuration file."""

    def write(**values: str) -> None:
        file = tmp_path / "config.toml"
        lines = [f"{key} = {value!r}\n" for key, value in values.items()]
        file.write_text("".join(["[client]\n", *lines]))
        monkeypatch.setenv("DOVETAIL_CONFIG", str(file))

    return write


@pytest.fixture
def in_environment(monkeypatch: pytest.MonkeyPatch) -> Configure:
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"DOVETAIL_{name.upper()}", value)

    return set_all


async def called(agent: Agent) -> tuple[str, int]:
    """Who calls, as messaging knows it, and how many tasks its team has, as tasks knows it."""
    known = await agent.register()
    return known.agent_id, len([task async for task in agent.tasks.list()])


@pytest.mark.parametrize("place", ["in_environment", "in_file"])
async def test_nothing_needs_to_be_given(
    place: str, messaging: RunningServer, tasks: RunningServer, request: pytest.FixtureRequest
):
    configure: Configure = request.getfixturevalue(place)
    configure(agent="alice", team="red", messaging=messaging.address, tasks=tasks.address)
    async with connect() as alice:
        await alice.tasks.create("One")
        assert (alice.agent_id, await called(alice)) == ("alice", ("alice", 1))
    async with connect("bob", team_id="") as bob:
        assert await called(bob) == ("bob", 0)


async def test_an_argument_goes_before_the_environment_and_that_before_the_file(
    messaging: RunningServer, tasks: RunningServer, in_environment: Configure, in_file: Configure
):
    in_file(agent="file", messaging=NOWHERE, tasks=tasks.address)
    in_environment(agent="environment", messaging=messaging.address)
    async with connect() as agent:
        assert await called(agent) == ("environment", 0)
    async with connect("argument") as agent:
        assert await called(agent) == ("argument", 0)
    async with connect("argument", messaging=NOWHERE, patience=0) as agent:
        with pytest.raises(UnavailableError):
            await agent.register()


@pytest.mark.parametrize("place", ["in_environment", "in_file"])
async def test_patience_is_read_as_the_command_line_reads_it(
    place: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "dovetail.client.connection")
    configure: Configure = request.getfixturevalue(place)
    for patience, tries in (("0s", False), ("0.3s", True)):
        configure(patience=patience, messaging=NOWHERE, tasks=NOWHERE, agent="alice")
        async with connect() as agent:
            with pytest.raises(UnavailableError):
                await agent.register()
        assert (f"no answer from {NOWHERE} yet: trying for 1 s more" in caplog.messages) is tries
    async with connect_admin(token="x") as admin:
        caplog.clear()
        with pytest.raises(UnavailableError):
            await admin.create_team("red")
    assert f"no answer from {NOWHERE} yet: trying for 1 s more" in caplog.messages


async def test_a_variable_that_is_empty_says_nothing(in_environment: Configure, in_file: Configure):
    in_file(agent="file")
    in_environment(agent="", config="")
    async with connect() as agent:
        assert agent.agent_id == ""
    in_file(agent="file")
    async with connect() as agent:
        assert agent.agent_id == "file"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("timeout", "soon", "DOVETAIL_TIMEOUT: 'soon' is not a length of time"),
        ("timeout", "0", "DOVETAIL_TIMEOUT: must be at least 0.1s, is 0s"),
        ("timeout", "nan", "DOVETAIL_TIMEOUT: 'nan' is not a length of time"),
        ("tls", "maybe", "DOVETAIL_TLS: 'maybe' is neither on nor off"),
        ("client_insecure", "2", "DOVETAIL_CLIENT_INSECURE: '2' is neither on nor off"),
        ("config", "/no/such/file", "/no/such/file: cannot be read: No such file"),
        ("tls_ca", "/", "DOVETAIL_TLS_CA: File '/' is a directory"),
        ("tls_client_cert", "cert.pem", "a client certificate needs both: cert and key"),
    ],
)
async def test_a_wrong_value_is_named(name: str, value: str, said: str, in_environment: Configure):
    in_environment(**{name: value})
    for open_connection in (connect, connect_admin):
        with pytest.raises(ConfigurationError, match=said):
            async with open_connection():
                pass


async def test_a_wrong_file_is_named(in_file: Configure):
    in_file(teem="red")
    with pytest.raises(ConfigurationError, match="has no teem: did you mean team"):
        async with connect():
            pass


async def test_a_token_of_the_environment_goes_before_a_file_that_the_file_names(
    in_environment: Configure, in_file: Configure, tmp_path: Path
):
    in_file(token_file=str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=r"token file .*none: No such file"):
        async with connect():
            pass
    in_environment(token="dvt_1_of_the_environment")
    async with connect(), connect_admin():
        pass


async def test_the_timeout_is_a_setting_too(in_environment: Configure):
    in_environment(timeout="0.1", messaging=NOWHERE)
    async with connect("alice") as alice:
        with pytest.raises(UnavailableError):
            await alice.register()


def test_the_client_and_the_command_line_have_the_same_defaults():
    """Every setting of the client, as a process finds it that has none of them."""
    script = (
        "from dovetail.client.configuration import Configuration\n"
        "from dovetail.settings import CLIENT\n"
        "print({name: Configuration().value(name) for name in CLIENT})"
    )
    environment = {"DOVETAIL_CONFIG": "/dev/null"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    expected: dict[str, Any] = {name: setting.default for name, setting in CLIENT.items()}
    assert done.stdout.strip() == str(expected)


def test_the_client_loads_nothing_of_the_command_line():
    script = (
        "import sys, dovetail.client.blocking, dovetail.client.admin\n"
        "print(sorted({'click', 'rich', 'structlog', 'peewee'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
