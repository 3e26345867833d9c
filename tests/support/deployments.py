"""What the files in deploy/ say of each server: its command line, settings, mounts and probes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE_FILES = ("compose.yaml", "compose.postgres.yaml")


@dataclass(frozen=True, kw_only=True)
class Mounted:
    """A volume, by the name of what provides it, and where it is in the container."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """One server as a file has it run. A setting from a secret has its name as its value."""

    service: str
    image: str
    arguments: list[str]
    settings: Mapping[str, str]
    mounts: list[Mounted]
    port: int
    probe: list[str]


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file, with anchors and merges resolved."""
    return list(yaml.safe_load_all(path.read_text()))


def compose(name: str) -> dict[str, Any]:
    """A compose file."""
    (found,) = documents(DEPLOY / name)
    return found


def of_compose(name: str) -> Iterator[Deployed]:
    """Each of Dovetail's servers in a compose file."""
    for service, given in compose(name)["services"].items():
        if "build" not in given:
            continue
        (published,) = given["ports"]
        (kind, *probe) = given["healthcheck"]["test"]
        assert kind == "CMD"
        yield Deployed(
            service=service,
            image=given["image"],
            arguments=given["command"],
            settings=given["environment"],
            mounts=list(map(_mounted, given["volumes"])),
            port=int(published.rpartition(":")[2]),
            probe=probe,
        )


def _mounted(line: str) -> Mounted:
    source, target, *mode = line.split(":")
    return Mounted(source=source, target=target, read_only=mode == ["ro"])


def manifests() -> list[dict[str, Any]]:
    """Every object of the manifests for Kubernetes."""
    paths = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [each for path in paths if path.name != "kustomization.yaml" for each in documents(path)]


def of_kind(kind: str) -> list[dict[str, Any]]:
    """The objects of a kind."""
    return [each for each in manifests() if each["kind"] == kind]


def of_kubernetes() -> Iterator[Deployed]:
    """Each of Dovetail's servers in the manifests."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind("ConfigMap")}
    for deployment in of_kind("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (given,) = pod["containers"]
        settings: dict[str, str] = {}
        for each in given["envFrom"]:
            settings |= maps[each["configMapRef"]["name"]]
        for each in given["env"]:
            secret = each.get("valueFrom", {}).get("secretKeyRef", {})
            settings[each["name"]] = each.get("value", secret.get("name"))
        volumes = {each["name"]: each for each in pod["volumes"]}
        (port,) = given["ports"]
        yield Deployed(
            service=given["name"],
            image=given["image"],
            arguments=given["args"],
            settings=settings,
            mounts=[
                Mounted(
                    source=volumes[each["name"]]["secret"]["secretName"],
                    target=each["mountPath"],
                    read_only=each["readOnly"],
                )
                for each in given["volumeMounts"]
                if "secret" in volumes[each["name"]]
            ],
            port=port["containerPort"],
            probe=given["readinessProbe"]["exec"]["command"],
        )
