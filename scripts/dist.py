"""Builds the wheel and the sdist into dist/, and checks that both are fit to be published.

With --install it also installs the wheel, with what it depends on, into empty environments of the
oldest and the newest Python of this machine, and uses it there up to the first message.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
IMPORTS = "import connectrpc, mcp, prometheus_client, psycopg, trustme, uvicorn, uvloop"
"""What the extras bring."""

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""The releases of Python that are looked for."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Build and check the wheel and the sdist.")
    parser.add_argument("--install", action="store_true", help="install it as well")
    parser.add_argument("--folder", type=Path, default=ROOT / "dist", help="where to build")
    arguments = parser.parse_args()
    wheel, sdist = build(arguments.folder.absolute())
    run(BIN / "twine", "--no-color", "check", "--strict", wheel, sdist)
    print("twine finds no fault in them")
    check_sdist(sdist, wheel)
    if arguments.install:
        install(wheel)


def build(folder: Path) -> tuple[Path, Path]:
    """Build both, in place of what is in the folder."""
    run(BIN / "hatchling", "build", "--clean", "-d", folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    for each in (wheel, sdist):
        print(f"{each.name}: {each.stat().st_size:,} bytes")
    return wheel, sdist


def check_sdist(sdist: Path, wheel: Path) -> None:
    """Exit unless the sdist, unpacked where nothing else is, builds the same wheel."""
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(sdist) as archive:
            archive.extractall(scratch, filter="data")
        (source,) = Path(scratch).iterdir()
        run(BIN / "hatchling", "build", "-t", "wheel", "-d", scratch, folder=source)
        different = contents(wheel) ^ contents(Path(scratch, wheel.name))
    if different:
        names = sorted({name for name, _ in different})
        sys.exit(f"the sdist builds another wheel; these files differ: {', '.join(names)}")
    print("the sdist builds the same wheel")


def contents(wheel: Path) -> set[tuple[str, bytes]]:
    """Every file of a wheel, and its bytes."""
    with ZipFile(wheel) as archive:
        return {(name, archive.read(name)) for name in archive.namelist()}


def install(wheel: Path) -> None:
    """Install the wheel as users of the oldest and the newest Python would, and use it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {version: python for version in VERSIONS if (python := find_python(version))}
    for version in VERSIONS:
        print(f"Python {version}: {found.get(version, 'not on this machine')}")
    if not found:
        sys.exit(f"no Python was found in which to install it: {', '.join(VERSIONS)}")
    for version in dict.fromkeys((min(found, key=_key), max(found, key=_key))):
        with tempfile.TemporaryDirectory() as scratch:
            install_for(found[version], Path(scratch), wheel, project["optional-dependencies"])


def install_for(python: Path, scratch: Path, wheel: Path, extras: dict[str, list[str]]) -> None:
    """Install the wheel into an empty environment and use it; then the extras, all at once."""
    environment, home = scratch / "environment", scratch / "home"
    home.mkdir()
    run(python, "-m", "venv", environment)
    pip = (environment / "bin" / "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, wheel)
    used = run(
        sys.executable, ROOT / "scripts" / "first_message.py", environment / "bin", home=home
    )
    release = run(environment / "bin" / "python", "--version").strip()
    print(f"{release}: {used.strip()}")
    run(*pip, f"{wheel}[all]")
    run(environment / "bin" / "dovetail", "tls", "dev", "--dir", home / "tls", home=home)
    run(environment / "bin" / "python", "-c", IMPORTS)
    print(f"{release}: installed with the extras {', '.join(sorted(extras.keys() - {'all'}))}")


def find_python(version: str) -> Path | None:
    """A Python of a release on this machine, found without downloading one."""
    name = f"python{version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", Path.home() / ".local/share/uv/python"))
    places = [Path(found) for found in (shutil.which(name), f"/usr/bin/{name}") if found]
    for folder in (pyenv, uv):
        places += sorted(folder.glob(f"*{version}.*/bin/{name}"))
    return next((place for place in places if _runs(place)), None)


def _runs(python: Path) -> bool:
    """Whether it can make environments. A shim of pyenv fails where its release is not chosen."""
    line = [str(python), "-c", "import ensurepip, venv"]
    return python.exists() and not subprocess.run(line, capture_output=True, check=False).returncode


def _key(version: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", version)))


def run(*command: str | Path, folder: Path = ROOT, home: Path | None = None) -> str:
    """What a command prints; it must end well."""
    line = list(map(str, command))
    environment = os.environ | ({"HOME": str(home)} if home else {})
    done = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(line)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
