"""What the wheel holds, and what an environment has of it."""

from __future__ import annotations

import tarfile
import tomllib
from configparser import ConfigParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from support.environments import Distribution, Environment

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"


@pytest.fixture
def names(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        return archive.namelist()


def test_it_and_the_sdist_are_fit_to_be_published(distribution: Distribution) -> None:
    assert "twine finds no fault in them" in distribution.said
    assert "the sdist builds the same wheel" in distribution.said


def test_the_sdist_has_what_a_packager_needs(distribution: Distribution) -> None:
    with tarfile.open(distribution.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "Makefile", "requirements.lock"} <= names
    assert {"scripts/dist.py", "tests/packaging/test_wheel.py", "docs/README.md"} <= names


def test_the_extra_all_has_every_other_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    others = sorted(extras.keys() - {"all"})
    assert extras["all"] == [f"{project['name']}[{','.join(others)}]"]


def test_it_puts_no_name_but_dovetail_at_the_top(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"dovetail", info}
    assert "dovetail/__init__.py" not in names


def test_every_package_says_that_it_is_typed(names: list[str]) -> None:
    places = {name.split("/")[1] for name in names if name.startswith("dovetail/")}
    packages = places - {"__main__.py"}
    assert packages == {
        "admin",
        "bridges",
        "cli",
        "client",
        "messaging",
        "server",
        "settings",
        "tasks",
        "types",
    }
    assert {f"dovetail/{package}/py.typed" for package in packages} <= set(names)


def test_the_protos_stand_beside_the_code_made_from_them(names: list[str]) -> None:
    protos = [path.relative_to(PROTOS) for path in PROTOS.rglob("*.proto")]
    assert len(protos) == 4
    for proto in protos:
        assert str(proto) in names
        for ending in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            assert f"{proto.with_suffix('')}{ending}" in names


def test_it_offers_the_command_dovetail(wheel: Path, names: list[str]) -> None:
    (listing,) = (name for name in names if name.endswith("entry_points.txt"))
    scripts = ConfigParser()
    with ZipFile(wheel) as archive:
        scripts.read_string(archive.read(listing).decode())
    assert dict(scripts["console_scripts"]) == {"dovetail": "dovetail.cli.entry:main"}


def test_what_is_installed_is_whole(installed: Environment) -> None:
    modules = "dovetail.client.blocking, dovetail.server.main, dovetail.cli.main"
    files = installed.run(
        "python", "-W", "error", "-c", f"import {modules}; print(*dovetail.__path__)"
    ).split()
    assert len(files) == 1
    assert Path(files[0]).is_relative_to(installed.folder)


def test_its_command_runs(installed: Environment) -> None:
    assert "serve" in installed.run("dovetail", "--help")
    assert "serve" in installed.run("python", "-m", "dovetail", "--help")


def test_the_client_says_its_version(installed: Environment, wheel: Path) -> None:
    said = installed.run("python", "-c", "import dovetail.client as it; print(it.__version__)")
    assert said.strip() == wheel.name.split("-")[1]
