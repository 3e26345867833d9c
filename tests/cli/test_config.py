"""Settings: by flag, by environment, by file, by default, in this order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.shell import PROGRAM, Finished, read_json
from dovetail.settings import CONFIG, PREFIX, PROFILE, SETTINGS, without_password
from support.children import SECONDS, child

TOKEN = "dovetail_" + "x" * 43


def run(folder: Path, *words: str, **variables: str) -> Finished:
    """Run a command whose home is a folder, and which has no other settings than these."""
    done = subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(folder, **variables),
    )
    return Finished(exit_code=done.returncode, out=done.stdout, error=done.stderr)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name != "COLUMNS"
    }
    return kept | {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)} | variables


def usual(folder: Path, text: str) -> Path:
    """Write the file that is read when none is named."""
    file = folder / "dovetail" / "config.toml"
    file.parent.mkdir()
    file.write_text(text)
    return file


def effective(folder: Path, *words: str, **variables: str) -> dict[str, dict[str, Any]]:
    """What `dovetail config` says of each setting."""
    done = run(folder, *words, "config", "--json", **variables)
    assert (done.exit_code, done.error) == (0, "")
    lines = read_json(done.out)
    return {f"{line['section']}.{line['key']}": line for line in lines}


def tasks(settings: dict[str, dict[str, Any]]) -> tuple[str, str]:
    return settings["client.tasks"]["value"], settings["client.tasks"]["source"]


def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(
    tmp_path: Path,
):
    assert tasks(effective(tmp_path)) == ("127.0.0.1:50052", "default")
    usual(tmp_path, '[client]\ntasks = "file:1"')
    assert tasks(effective(tmp_path)) == ("file:1", "file")
    assert tasks(effective(tmp_path, DOVETAIL_TASKS="variable:1")) == ("variable:1", "environment")
    done = run(tmp_path, "config", "--tasks", "flag:1", "--json", DOVETAIL_TASKS="variable:1")
    (line,) = [each for each in read_json(done.out) if each["key"] == "tasks"]
    assert (line["value"], line["source"]) == ("flag:1", "flag")


def test_commands_obey_the_same_order(tmp_path: Path):
    nobody = "127.0.0.1:1"
    listing = ("task", "list", "--patience", "0")
    usual(tmp_path, '[client]\ntasks = "file.invalid:1"')
    assert "no answer from file.invalid:1" in run(tmp_path, *listing).error
    variable = {"DOVETAIL_TASKS": "variable.invalid:1"}
    assert "no answer from variable.invalid:1" in run(tmp_path, *listing, **variable).error
    done = run(tmp_path, *listing, "--tasks", nobody, **variable)
    assert f"no answer from {nobody}" in done.error


def test_the_environment_turns_off_what_the_file_turns_on(tmp_path: Path):
    usual(tmp_path, "[server]\ncredentials = true")
    assert effective(tmp_path)["server.credentials"]["value"] is True
    off = effective(tmp_path, DOVETAIL_CREDENTIALS="0")
    assert (off["server.credentials"].get("value", False), off["server.credentials"]["source"]) == (
        False,
        "environment",
    )


def test_a_named_file_is_read_instead_of_the_usual_one(tmp_path: Path):
    usual(tmp_path, '[client]\ntasks = "usual:1"')
    other = tmp_path / "other.toml"
    other.write_text('[client]\ntasks = "other:1"')
    assert tasks(effective(tmp_path, "--config", str(other))) == ("other:1", "file")
    assert tasks(effective(tmp_path, DOVETAIL_CONFIG=str(other))) == ("other:1", "file")


def test_what_opens_a_server_does_not_let_clients_send_tokens_in_the_clear(tmp_path: Path):
    settings = effective(tmp_path, DOVETAIL_INSECURE="1")
    assert (
        settings["server.insecure"]["value"],
        settings["client.insecure"].get("value", False),
    ) == (
        True,
        False,
    )


def test_a_path_in_the_file_begins_at_the_folder_of_the_file(tmp_path: Path):
    usual(tmp_path, '[client]\ntoken_file = "token"\ntls_ca = "~/ca.pem"')
    settings = effective(tmp_path, HOME="/home/me")
    assert settings["client.token_file"]["value"] == f"{tmp_path}/dovetail/token"
    assert settings["client.tls_ca"]["value"] == "/home/me/ca.pem"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[client]\ntimout = 3", "[client] has no timout: did you mean timeout?"),
        ("[client]\nstore = 'x'", "[client] has no store: it belongs below [server]"),
        ("[server]\nfrobnicate = 3", "[server] has no frobnicate"),
        ("[sever]\n", "there is no sever: did you mean server?"),
        ("timeout = 3", "there is no timeout: it belongs below [client]"),
        ("[frobnicate]\n", "there is no frobnicate: use [server] or [client]"),
        ("client = 3", "client must be a table: [client]"),
        ("[client]\ntimeout = 'soon'", "[client] timeout: 'soon' is not a length of time"),
        ("[client]\ntimeout = nan", "[client] timeout: nan is not a length of time"),
        ("[client]\ntimeout = true", "[client] timeout must be a number of seconds, or"),
        ("[client]\ntimeout = 0", "[client] timeout: must be at least 0.1s, is 0s"),
        ("[server]\nworkers = 1.5", "[server] workers must be a whole number, not 1.5"),
        ("[server]\nworkers = 0", "[server] workers: 0 is not in the range 1<=x<=64"),
        ("[server]\ninsecure = 'no'", "[server] insecure must be true or false, not 'no'"),
        ("[server]\ntls_cert = 3", '[server] tls_cert must be a text in "quotes", not 3'),
        ("[server]\ntls_cert = '/'", "[server] tls_cert: File '/' is a directory"),
        ("[client\n", "is not TOML: "),
        ("[client]\nteam = '\xff'", "is not TOML: "),
    ],
)
def test_a_fault_of_the_file_is_named_and_nothing_is_done(text: str, says: str, tmp_path: Path):
    file = tmp_path / "faulty.toml"
    file.write_bytes(text.encode("latin-1"))
    done = run(tmp_path, "--config", str(file), "serve", "tasks")
    assert (done.exit_code, done.out) == (2, "")
    assert done.error.startswith(f"dovetail: {file}: ")
    assert says in done.error
    assert done.error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path):
    for words, variables in (
        (("--config", f"{tmp_path}/no.toml"), {}),
        ((), {"DOVETAIL_CONFIG": f"{tmp_path}/no.toml"}),
    ):
        done = run(tmp_path, *words, "task", "list", **variables)
        assert done.exit_code == 2
        assert f"{tmp_path}/no.toml: cannot be read: No such file" in done.error


def test_a_wrong_value_in_the_environment_is_named(tmp_path: Path):
    done = run(tmp_path, "task", "list", DOVETAIL_TIMEOUT="soon")
    assert done.exit_code == 2
    assert "DOVETAIL_TIMEOUT" in done.error
    assert "'soon' is not a length of time" in done.error


def test_a_token_in_the_file_is_refused_and_not_repeated(tmp_path: Path):
    usual(tmp_path, f'[client]\ntoken = "{TOKEN}"')
    done = run(tmp_path, "config")
    assert done.exit_code == 2
    assert "name that in token_file" in done.error
    assert TOKEN not in done.out + done.error


def test_a_file_with_a_password_in_it_must_be_its_owners_alone(tmp_path: Path):
    file = usual(tmp_path, '[server]\nstore = "postgresql://me:pa:ss@word@db/x"')
    file.chmod(0o640)
    done = run(tmp_path, "config")
    assert (done.exit_code, f"chmod 600 {file}" in done.error) == (2, True)
    file.chmod(0o600)
    assert effective(tmp_path)["server.store"]["value"] == "postgresql://me:…@db/x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db/x", "postgresql://me:…@db/x"),
        ("postgresql://me@db/x?password=secret&port=3", "postgresql://me@db/x?password=…&port=3"),
        ("postgresql://me@db:5432/x", "postgresql://me@db:5432/x"),
        ("postgresql://me:@/x?host=/run", "postgresql://me:@/x?host=/run"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
    ],
)
def test_passwords_are_left_out_of_addresses(url: str, shown: str):
    assert without_password(url) == shown


def test_a_token_in_the_environment_is_known_and_never_shown(tmp_path: Path):
    assert "value" not in effective(tmp_path)["client.token"]
    told = effective(tmp_path, DOVETAIL_TOKEN=TOKEN)["client.token"]
    assert (told["source"], "option" in told) == ("environment", False)
    for words in (("config",), ("config", "--json"), ("config", "--template")):
        done = run(tmp_path, *words, DOVETAIL_TOKEN=TOKEN)
        assert done.exit_code == 0
        assert TOKEN not in done.out + done.error


def test_a_variable_that_is_no_setting_is_warned_of(tmp_path: Path):
    done = run(tmp_path, "config", DOVETAIL_TASK="x", DOVETAIL_ZZZZZZ="x", DOVETAIL_CONFIG="")
    assert done.exit_code == 0
    assert done.error == (
        "dovetail: DOVETAIL_TASK is in the environment but is not a setting:"
        " did you mean DOVETAIL_TASKS?\n"
        "dovetail: DOVETAIL_ZZZZZZ is in the environment but is not a setting\n"
    )


@pytest.mark.parametrize("words", [("serve", "tasks"), ("up",)])
def test_no_server_starts_beside_a_variable_that_is_none(words: tuple[str, ...], tmp_path: Path):
    done = run(tmp_path, *words, DOVETAIL_CREDENTAILS="1", DOVETAIL_ZZZZZZ="1")
    assert (done.exit_code, done.out) == (2, "")
    assert done.error == (
        "dovetail: DOVETAIL_CREDENTAILS is in the environment but is not a setting: did you mean"
        " DOVETAIL_CREDENTIALS?; DOVETAIL_ZZZZZZ is in the environment but is not a setting\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_others_call_like_a_setting_is_let_be(tmp_path: Path):
    others = ("PORT", "SERVICE_HOST", "PORT_50051_TCP_ADDR", "TASKS_SERVICE_PORT_GRPC", "SOAK")
    variables = {PREFIX + name: "x" for name in others}
    assert run(tmp_path, "config", **variables).error == ""
    done = run(tmp_path, "serve", "tasks", "--listen", "nonsense", **variables)
    assert "is not HOST:PORT" in done.error


@pytest.mark.parametrize("words", [("task", "list"), ("status",), ("up",)])
def test_the_file_is_named_before_the_command(words: tuple[str, ...], tmp_path: Path):
    done = run(tmp_path, *words, "--config", "c.toml")
    assert done.exit_code == 2
    assert "Write it before the command: dovetail --config FILE …" in done.error


def test_a_password_on_the_command_line_is_warned_of(tmp_path: Path):
    url = "postgresql://me:secret@db/x"
    for words in (("config",), ("serve", "tasks", "--listen", "nonsense"), ("doctor",)):
        given = run(tmp_path, *words, "--store", url).error
        assert "warning: the password in --store can be read" in given
        assert "DOVETAIL_STORE" in given
        assert "secret" not in given
        assert "warning" not in run(tmp_path, *words, DOVETAIL_STORE=url).error
    assert run(tmp_path, "config", "--store", "postgresql://me:@db/x").error == ""


def test_a_token_and_its_file_at_once_are_refused_with_the_way_out(tmp_path: Path):
    both = {"DOVETAIL_TOKEN": TOKEN, "DOVETAIL_TOKEN_FILE": str(tmp_path / "token")}
    done = run(tmp_path, "task", "list", **both)
    assert done.exit_code == 2
    assert "unset one of DOVETAIL_TOKEN and DOVETAIL_TOKEN_FILE" in done.error


def test_a_token_in_the_clear_is_refused_with_the_options_that_help(tmp_path: Path):
    words = ("task", "list", "--tasks", "dove.example:1")
    done = run(tmp_path, *words, DOVETAIL_TOKEN=TOKEN)
    assert done.exit_code == 2
    assert "command line: --tls-ca FILE" in done.error
    assert "command line: --insecure" in done.error


def test_people_see_every_setting_and_the_file(tmp_path: Path):
    file = usual(tmp_path, "[server]\ninsecure = true\n[client]\ntimeout = 5")
    done = run(tmp_path, "config", DOVETAIL_TEAM="red")
    assert (done.exit_code, done.error) == (0, "")
    assert done.out.startswith(f"file: {file}\n")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["server.insecure", "on", "file"] in rows
    assert ["client.timeout", "5.0", "file"] in rows
    assert ["client.team", "red", "environment", "DOVETAIL_TEAM"] in rows
    assert [f"{one.section}.{one.key}" for one in SETTINGS] == [row[0] for row in rows[3:]]


def uncommented(template: str) -> str:
    return re.sub(r"^#(?=[a-z])", "", template, flags=re.MULTILINE)


def test_the_template_loads_as_it_is_and_with_every_key_set(tmp_path: Path):
    template = run(tmp_path, "config", "--template").out
    file = usual(tmp_path, template)
    assert {each["source"] for each in effective(tmp_path).values()} == {"default"}
    file.write_text(uncommented(template))
    settings = effective(tmp_path)
    assert {key for key, each in settings.items() if each["source"] != "file"} == {"client.token"}
    for setting in SETTINGS:
        if setting.default not in (None, ""):
            told = settings[f"{setting.section}.{setting.key}"]
            assert told.get("value", type(setting.default)()) == setting.default


def test_no_two_settings_have_a_name_in_common():
    variables = [setting.variable for setting in (*SETTINGS, CONFIG, PROFILE)]
    assert len(set(variables)) == len(variables)
    assert len({(setting.section, setting.key) for setting in SETTINGS}) == len(SETTINGS)


@pytest.fixture
def up_by_file(tmp_path: Path) -> Iterator[tuple[dict[str, str], list[list[str]]]]:
    """What `up` said whose settings all stand in a file, and its children's command lines."""
    usual(tmp_path, "[server]\nheartbeat_seconds = 99")  # Nobody is to read this one.
    file = tmp_path / "own.toml"
    file.write_text(
        '[server]\ndata_dir = "data"\nmessaging_listen = "127.0.0.1:0"\n'
        'tasks_listen = "127.0.0.1:0"\nweb_listen = "127.0.0.1:0"\ndrain_seconds = 3\n'
        'audit_log = "audit.log"\n'
        '[client]\ntoken_file = "none"'
    )
    command = [*PROGRAM, "--config", str(file), "up", "--json"]
    variables = environment(tmp_path, DOVETAIL_TOKEN=TOKEN)
    with child(command, stdout=subprocess.PIPE, env=variables) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        children = psutil.Process(process.pid).children()
        lines = [each.cmdline() for each in children]
        assert sum("web" in line for line in lines) == 1
        yield said, [line for line in lines if "serve" in line]
        tokens = [TOKEN in str(each.environ()) for each in children]
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert tokens == [False, False, False]


def test_up_takes_its_settings_from_the_file_and_hands_them_to_both_servers(
    up_by_file: tuple[dict[str, str], list[list[str]]], tmp_path: Path
):
    said, lines = up_by_file
    assert said["data_dir"] == f"{tmp_path}/data"
    assert said["store"] == f"sqlite:///{tmp_path}/data/dovetail.db"
    assert {line[4] for line in lines} == {"messaging", "tasks"}
    for line in lines:
        words = " ".join(line)
        assert "--drain-seconds 3.0" in words
        assert f"--audit-log {tmp_path}/audit.log" in words
        assert "--heartbeat-seconds 30.0" in words
        assert TOKEN not in words


@pytest.mark.parametrize("service", ["messaging", "tasks"])
def test_up_names_its_own_options_when_an_address_is_wrong(service: str, tmp_path: Path):
    ports = {"messaging": "127.0.0.1:0", "tasks": "127.0.0.1:0", service: "0.0.0.0:0"}
    words = [word for name, port in ports.items() for word in (f"--{name}-listen", port)]
    done = run(tmp_path, "up", *words)
    assert (done.exit_code, done.out) == (2, "")
    assert done.error.startswith(f"dovetail: --{service}-listen 0.0.0.0:0 can be reached")
    assert " --listen" not in done.error
