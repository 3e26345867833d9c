"""The wheel, and a fresh environment in which nothing but it is installed."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from support.environments import Environment, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make build` makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=ROOT)
    (built,) = folder.glob("*.whl")
    return built


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
