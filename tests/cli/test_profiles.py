"""Profiles: how to connect to one pair of servers, chosen by a name, and never mixed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.shell import PROGRAM, Finished, Shell
from cli.test_config import environment, usual
from cli.test_config import run as run_patiently
from dovetail.client import ConfigurationError, connect
from support.children import child

TOKEN = "dovetail_" + "x" * 43


def run(folder: Path, *words: str, **variables: str) -> Finished:
    """Run a command, which may call servers that are not there."""
    return run_patiently(folder, *words, **variables, DOVETAIL_PATIENCE="0")


Profiled = Callable[..., Path]


@pytest.fixture
def profiled(tmp_path: Path) -> Profiled:
    """Write a profile."""

    def write(name: str, **values: str) -> Path:
        file = tmp_path / "dovetail" / "profiles" / f"{name}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
        file.write_text("".join(["[client]\n", *lines]))
        return file

    return write


def token_in(folder: Path) -> str:
    file = folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return str(file)


def sources(done: Finished) -> dict[str, tuple[object, str]]:
    assert done.exit_code == 0, done
    return {each["key"]: (each.get("value"), each["source"]) for each in json.loads(done.out)}


def test_a_profile_is_used_until_none_is_and_the_persons_own_file_stays(
    shell: Shell, profiled: Profiled, tmp_path: Path
):
    own = '# mine\n[client]\ntasks = "file.invalid:1"\nteam = "red"\n'
    profiled("here", messaging=shell.messaging, tasks=shell.tasks)
    profiled("far", messaging="far.invalid:1", tasks="far.invalid:2")
    (tmp_path / "dovetail" / "config.toml").write_text(own)
    assert "no answer from file.invalid:1" in run(tmp_path, "task", "list").error
    assert run(tmp_path, "config", "use", "here").out == "  far\n* here\n"
    assert run(tmp_path, "task", "list").out == "no tasks\n"
    assert run(tmp_path, "config", "use", "--brief").out == "far\nhere\n"
    found = sources(run(tmp_path, "config", "--json"))
    assert found["tasks"] == (shell.tasks, "profile")
    assert found["team"] == ("red", "file")  # It says nothing of how to connect.
    said = run(tmp_path, "config").out
    assert f"profile: here ({tmp_path}/dovetail/profiles/here.toml), chosen by" in said
    for words, variables in (
        (("--profile", "far"), {}),
        ((), {"DOVETAIL_PROFILE": "far"}),
    ):
        assert (
            "no answer from far.invalid:2"
            in run(tmp_path, *words, "task", "list", **variables).error
        )
    assert "file.invalid:1" in run(tmp_path, "--profile", "none", "task", "list").error
    assert run(tmp_path, "config", "use", "--none").out == "  far\n  here\n"
    assert "no answer from file.invalid:1" in run(tmp_path, "task", "list").error
    assert (tmp_path / "dovetail" / "config.toml").read_text() == own


def test_the_environment_goes_before_the_current_profile_as_a_whole(
    profiled: Profiled, tmp_path: Path
):
    profiled("far", messaging="far.invalid:1", tasks="far.invalid:2", token_file=token_in(tmp_path))
    run(tmp_path, "config", "use", "far")
    found = sources(run(tmp_path, "config", "--json", DOVETAIL_TASKS="variable.invalid:1"))
    assert found["tasks"] == ("variable.invalid:1", "environment")
    assert found["messaging"] == ("127.0.0.1:50051", "default")
    assert found["token_file"][1] == "default"
    # And a profile that an option names goes before the environment, as a whole.
    words = ("--profile", "far", "config", "--json")
    found = sources(
        run(tmp_path, *words, DOVETAIL_TASKS="variable.invalid:1", DOVETAIL_TOKEN=TOKEN)
    )
    assert found["tasks"] == ("far.invalid:2", "profile")
    assert found["token"][1] == "default"
    both = {"DOVETAIL_PROFILE": "far", "DOVETAIL_TOKEN": TOKEN}
    done = run(tmp_path, "task", "list", **both)
    assert done.exit_code == 2
    assert "DOVETAIL_PROFILE and DOVETAIL_TOKEN are both in the environment" in done.error


def test_the_token_of_a_profile_goes_to_no_other_servers(profiled: Profiled, tmp_path: Path):
    profiled("far", messaging="127.0.0.1:1", tasks="127.0.0.1:2", token_file=token_in(tmp_path))
    done = run(tmp_path, "--profile", "far", "task", "list", "--tasks", "127.0.0.1:3")
    assert done.exit_code == 2
    assert (
        "the token of the profile far is for its own servers, and 127.0.0.1:3 is none" in done.error
    )
    assert "--profile none" in done.error
    words = ("--tasks", "127.0.0.1:3", "--token-file", token_in(tmp_path))
    done = run(tmp_path, "--profile", "far", "task", "list", *words)
    assert "no answer from 127.0.0.1:3" in done.error


def test_a_profile_that_is_unknown_or_wrong_is_named_with_those_that_exist(
    profiled: Profiled, tmp_path: Path
):
    assert "there is none: dovetail up writes one" in run(tmp_path, "config", "use", "x").error
    assert run(tmp_path, "config", "use").out == "no profiles: dovetail up writes one\n"
    profiled("here", tasks="here.invalid:1")
    profiled("there", tasks="there.invalid:1")
    for words in (("--profile", "her", "task", "list"), ("config", "use", "her")):
        done = run(tmp_path, *words)
        assert (done.exit_code, done.out) == (2, "")
        assert done.error == "dovetail: no profile 'her': there are here, there\n"
    run(tmp_path, "config", "use", "here")
    file = profiled("here", tasks="x")
    file.write_text("[server]\nworkers = 2\n")
    assert (
        f"{file}: a profile has [client] alone, not [server]" in run(tmp_path, "task", "list").error
    )
    file.unlink()
    assert "Use none: dovetail config use --none" in run(tmp_path, "task", "list").error
    assert "there" in run(tmp_path, "config", "use", "--none").out
    assert "127.0.0.1:50052" in run(tmp_path, "config").out
    wrong = run(tmp_path, "inbox", "--profile", "there")
    assert "Write it before the command: dovetail --profile NAME" in wrong.error


def test_profiles_are_beside_the_file_that_is_named_and_without_a_home_there_are_none(
    profiled: Profiled, tmp_path: Path
):
    profiled("here", tasks="here.invalid:1")
    named = tmp_path / "dovetail" / "own.toml"
    named.write_text("")
    other = tmp_path / "other"
    done = run(other, "config", "use", "here", DOVETAIL_CONFIG=str(named))
    assert done.out == "* here\n"
    assert "no profiles" in run(tmp_path, "config", "use", DOVETAIL_CONFIG="/dev/null").out


async def test_the_python_client_uses_the_same_profile(
    shell: Shell, profiled: Profiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("DOVETAIL_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    profiled("here", messaging=shell.messaging, tasks=shell.tasks, team=shell.team, agent="alice")
    run(tmp_path, "config", "use", "here")
    async with connect() as alice:
        assert (await alice.register()).agent_id == "alice"
    profiled("far", tasks="far.invalid:2", token_file=token_in(tmp_path))
    monkeypatch.setenv("DOVETAIL_PROFILE", "far")
    with pytest.raises(ConfigurationError, match="is for its own servers"):
        async with connect(messaging=shell.messaging):
            pass
    monkeypatch.setenv("DOVETAIL_PROFILE", "fra")
    with pytest.raises(ConfigurationError, match="no profile 'fra': there are far, here"):
        async with connect():
            pass


def test_up_writes_a_profile_so_that_its_next_commands_are_short(tmp_path: Path):
    ports = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
    guarded = ("--credentials", "--admin-token-file", f"{tmp_path}/admin.token")
    up = [*PROGRAM, "up", "--data-dir", f"{tmp_path}/data", *ports, *guarded]
    own = usual(tmp_path, '[client]\ntasks = "mine:1"\n')
    with child(up, stdout=subprocess.PIPE, env=environment(tmp_path)) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        proposed = said.partition("in another terminal:\n")[2].partition("\n\n")[0].splitlines()
        assert proposed[0].endswith("config use local-0")
        assert not any("--messaging" in line for line in proposed)
        done = subprocess.run(
            "\n".join(("set -e", *proposed)),
            shell=True,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(tmp_path),
            check=False,
        )
        assert (done.returncode, "Hello, inbox" in done.stdout) == (0, True), done
        process.terminate()
    profile = tmp_path / "dovetail" / "profiles" / "local-0.toml"
    assert profile.stat().st_mode & 0o777 == 0o600
    assert f'token_file = "{tmp_path}/data/me.token"' in profile.read_text()
    assert own.read_text() == '[client]\ntasks = "mine:1"\n'


def test_up_keeps_a_profile_that_a_person_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dovetail.settings import profiles

    monkeypatch.setenv("DOVETAIL_CONFIG", str(tmp_path / "config.toml"))
    values = {"messaging": "a:1", "tasks": "a:2"}
    assert profiles.write("local", "By up.", values) == tmp_path / "profiles" / "local.toml"
    (tmp_path / "profiles" / "local.toml").write_text("# Mine.\n")
    assert profiles.write("local", "By up.", values) is None
    assert (tmp_path / "profiles" / "local.toml").read_text() == "# Mine.\n"
