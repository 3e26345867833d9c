"""What deploy/ says is valid by the schemas of those who read it, and agrees with the code."""

from __future__ import annotations

import re
import tomllib
import typing
from configparser import RawConfigParser
from importlib import import_module
from pathlib import Path
from typing import Any

import compose_spec
import dockerfile
import pytest
import yaml

from dovetail.cli.options.config_file import read_config
from dovetail.cli.servers.processes import STOP_SECONDS
from dovetail.cli.servers.up import LIMITS
from dovetail.server.config import DEFAULT_PORTS
from dovetail.settings import CLIENT, SERVER, converted
from support.deployments import (
    COMPOSE_FILES,
    DEPLOY,
    Deployed,
    compose,
    manifests,
    of_compose,
    of_kind,
    of_kubernetes,
)

ROOT = Path(__file__).parents[2]
PRODUCTION = ROOT / "docs" / "how-to" / "production.md"
SERVERS = [*(each for name in COMPOSE_FILES for each in of_compose(name)), *of_kubernetes()]
KINDS = {
    "ConfigMap": "core_v1",
    "Deployment": "apps_v1",
    "PodDisruptionBudget": "policy_v1",
    "Service": "core_v1",
}
DRAIN_SECONDS = SERVER["drain-seconds"].default + STOP_SECONDS


def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_a_compose_file_is_one_by_the_specification(name: str) -> None:
    found = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose(name)))
    found.validate()  # Also that volumes are declared.
    found.to_spec()


def test_a_fault_in_a_compose_file_is_found() -> None:
    given = compose("compose.yaml")
    given["services"]["messaging"]["readonly"] = True
    with pytest.raises(ValueError, match="readonly"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(given)).validate()


@pytest.mark.parametrize("given", manifests(), ids=lambda each: each["kind"])
def test_a_manifest_is_one_by_the_models_of_kubernetes(given: dict[str, Any]) -> None:
    models = import_module(f"lightkube.models.{KINDS[given['kind']]}")
    assert list(faults(given, getattr(models, given["kind"]), given["kind"])) == []


def test_a_fault_in_a_manifest_is_found() -> None:
    given = of_kind("Deployment")[0]
    given["spec"]["template"]["spec"]["containers"][0]["command"] = "dovetail"
    given["spec"]["replica"] = 2
    models = import_module("lightkube.models.apps_v1")
    assert list(faults(given, models.Deployment, "Deployment")) == [
        "Deployment.spec.replica",
        "Deployment.spec.template.spec.containers.command",
    ]


def faults(value: Any, kind: Any, path: str) -> typing.Iterator[str]:
    """Where a value is not what a type of the models says."""
    origin, within = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        found = [list(faults(value, each, path)) for each in within if each is not type(None)]
        yield from min(found, key=len)
    elif origin is list or origin is dict:
        if not isinstance(value, origin):
            yield path
            return
        for each in value.values() if isinstance(value, dict) else value:
            yield from faults(each, within[-1], path)
    elif hasattr(kind, "from_dict"):
        known = typing.get_type_hints(kind)
        yield from (f"{path}.{name}" for name in value.keys() - known.keys())
        for name in sorted(value.keys() & known.keys()):
            yield from faults(value[name], known[name], f"{path}.{name}")
    elif isinstance(kind, type) and not isinstance(value, kind):
        yield path


@pytest.mark.parametrize("server", SERVERS, ids=lambda each: each.service)
def test_a_server_is_started_probed_and_reached_at_the_port_of_its_service(
    server: Deployed,
) -> None:
    assert server.image == f"dovetail:{version()}"
    assert server.port == DEFAULT_PORTS[server.service]
    assert server.arguments == ["serve", server.service, "--listen", f"0.0.0.0:{server.port}"]
    assert server.probe == ["dovetail", "status", server.service]


@pytest.mark.parametrize("server", SERVERS, ids=lambda each: each.service)
def test_every_variable_of_a_server_is_a_setting_with_a_right_value(server: Deployed) -> None:
    known = {each.variable: each for each in (*SERVER.values(), *CLIENT.values())}
    ours = {name: value for name, value in server.settings.items() if name != "PGPASSWORD"}
    for name, value in ours.items():
        converted(known[name], value)
    files = [value for name, value in ours.items() if re.search("TLS_C|KEY|_FILE", name)]
    volume = {"/var/lib/dovetail"} | {each.target for each in server.mounts}
    assert all(str(Path(file).parent) in volume for file in files)


@pytest.mark.parametrize("server", SERVERS, ids=lambda each: each.service)
def test_a_server_has_the_limits_of_dovetail_up(server: Deployed) -> None:
    given = {key: SERVER[key.replace("_", "-")] for key in LIMITS}
    found = {key: converted(each, server.settings[each.variable]) for key, each in given.items()}
    assert found == LIMITS


def test_containers_may_take_as_long_to_stop_as_a_server_does() -> None:
    for name in COMPOSE_FILES:
        for given in compose(name)["services"].values():
            assert int(given["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] > DRAIN_SECONDS + pause


def test_labels_ports_and_images_of_the_manifests_agree() -> None:
    deployments = {each["metadata"]["name"]: each for each in of_kind("Deployment")}
    services = {each["metadata"]["name"]: each for each in of_kind("Service")}
    budgets = {each["metadata"]["name"]: each for each in of_kind("PodDisruptionBudget")}
    assert deployments.keys() == services.keys() == budgets.keys()
    for name, deployment in deployments.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert services[name]["spec"]["selector"] == labels
        assert budgets[name]["spec"]["selector"]["matchLabels"] == labels
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (port,) = services[name]["spec"]["ports"]
        assert {"name": port["targetPort"], "containerPort": port["port"]} in container["ports"]
        host = {"name": "DOVETAIL_TLS_SERVER_NAME", "value": name}
        assert host in container["env"]
    (kustomization,) = yaml.safe_load_all((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert {*kustomization["resources"], "kustomization.yaml"} == files
    assert kustomization["images"][0]["newTag"] == version()


def test_the_page_says_how_each_secret_is_made() -> None:
    page = PRODUCTION.read_text()
    text = "".join(path.read_text() for path in (DEPLOY / "kubernetes").glob("*.yaml"))
    wanted = set(re.findall(r"secretName: (\S+)", text)) | {"dovetail-store"}
    assert set(re.findall(r"kubectl create secret generic (\S+)", page)) == wanted


def test_the_dockerfile_copies_only_what_it_is_shown() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    shown = {line[1:] for line in lines if line.startswith("!")}
    steps = dockerfile.parse_file(str(DEPLOY / "Dockerfile"))
    copied = {
        source
        for step in steps
        if step.cmd == "COPY" and not step.flags
        for source in step.value[:-1]
    }
    assert copied == shown
    assert all((ROOT / source).exists() for source in copied)


@pytest.mark.parametrize("name", ["requirements.lock", "build.lock"])
def test_the_image_has_releases_of_our_own_lock(name: str) -> None:
    ours, its = (
        set(path.read_text().split()) for path in (ROOT / "requirements.lock", DEPLOY / name)
    )
    pinned = {word for word in its if "==" in word or word.startswith("--hash")}
    assert pinned
    assert pinned <= ours


@pytest.mark.parametrize("service", DEFAULT_PORTS)
def test_a_unit_starts_its_service_and_gives_it_time_to_stop(service: str) -> None:
    unit = RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read(DEPLOY / "systemd" / f"dovetail-{service}.service")
    run = unit["Service"]
    command = "/opt/dovetail/bin/dovetail --config /etc/dovetail/config.toml serve"
    assert run["ExecStart"] == f"{command} {service}"
    assert run["EnvironmentFile"] == f"-/etc/dovetail/{service}.env"
    assert run["Environment"] == f"{SERVER['data-dir'].variable}=/var/lib/{run['StateDirectory']}"
    assert int(run["TimeoutStopSec"]) > DRAIN_SECONDS
    assert (run["Restart"], run["KillMode"]) == ("on-failure", "mixed")
    user = (DEPLOY / "systemd/sysusers.conf").read_text()
    assert f"u {run['User']} " in user


def test_the_configuration_of_the_units_is_one_and_has_the_limits_of_dovetail_up() -> None:
    path = DEPLOY / "systemd/config.toml"
    found = {setting.key: value for setting, value in read_config(path).values.items()}
    assert found == LIMITS


def test_what_the_configuration_of_the_units_proposes_may_be_taken(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd/config.toml").read_text()
    proposed = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    file = tmp_path / "config.toml"
    file.write_text(proposed)
    file.chmod(0o600)
    settings = {setting.key for setting in read_config(file).values}
    assert {"store", "tls_cert", "tls_key", "credentials", *LIMITS} <= settings
