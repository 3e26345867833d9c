"""The wheel, and a fresh environment in which nothing but it is installed."""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from collections.abc import Generator
from pathlib import Path

import pytest

from support.deployments import DEPLOY
from support.environments import Distribution, Environment, run
from support.images import Builder, Image
from support.roots import new_roots
from support.wheelhouse import make_wheelhouse

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """The wheel and the sdist, built and checked."""
    folder = tmp_path_factory.mktemp("dist")
    said = run(sys.executable, ROOT / "scripts" / "dist.py", "--folder", folder, folder=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distribution(wheel=wheel, sdist=sdist, said=said)


@pytest.fixture(scope="session")
def wheel(distribution: Distribution) -> Path:
    return distribution.wheel


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: all that the wheel and the image need, to install without a network."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = (*project["dependencies"], *extras["fast"], *extras["postgres"], "hatchling", "pip")
    make_wheelhouse(folder, needed)
    return folder


@pytest.fixture(scope="session")
def image(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Image]:
    """The image of deploy/Dockerfile, for tests that need namespaces."""
    with new_roots(tmp_path_factory.mktemp("roots")) as roots:
        yield Builder(roots, ROOT, wheelhouse).build(DEPLOY / "Dockerfile")


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment with the wheel in it."""
    environment = Environment(folder=tmp_path_factory.mktemp("environment"))
    folder = environment.folder
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder)
    install = ("install", "--no-deps", "--no-index", "--disable-pip-version-check", wheel)
    run(sys.executable, "-m", "pip", "--python", environment.python, *install, folder=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment
