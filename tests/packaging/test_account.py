"""A user of this machine who has nothing but the wheel, and a folder of what it depends on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import INSTALL, ROOT, examples
from support.strangers import AS_STRANGER, USER_ID, needs_root

pytestmark = needs_root
FIRST_MESSAGE = ROOT / "scripts" / "first_message.py"


@pytest.fixture
def home(wheel: Path, tmp_path: Path) -> Path:
    """A home with nothing in it but a clone's folder with the wheel."""
    home = tmp_path / "home"
    (home / "dist").mkdir(parents=True)
    shutil.copy(wheel, home / "dist")
    for path in (home, *home.rglob("*")):
        os.chown(path, USER_ID, USER_ID)
    home.chmod(0o700)
    return home


def test_the_commands_of_the_readme_install_it_for_a_user_with_an_empty_home(
    home: Path, wheelhouse: Path
) -> None:
    ((build, *install, up),) = (
        each.text.splitlines() for each in examples(ROOT / "README.md", *INSTALL)
    )
    assert (build, up) == ("make build", "~/dovetail/bin/dovetail up")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse)}
    _run(home, "sh", "-ec", "\n".join(install), **offline)
    # It starts both services by `dovetail up`, on other ports.
    said = _run(home, sys.executable, FIRST_MESSAGE, home / "dovetail" / "bin")
    assert "message #1 received" in said
    assert {path.stat().st_uid for path in home.rglob("dovetail*")} == {USER_ID}
    assert (home / ".local/share/dovetail/dovetail.db").exists()


def test_uv_installs_it_as_a_tool(home: Path, wheelhouse: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    offline = {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheelhouse)}
    _run(home, "sh", "-ec", f"{uv} tool install dist/dovetail-*.whl", **offline)
    tool = home / ".local" / "bin" / "dovetail"
    assert "messaging" in _run(home, tool, "serve", "--help")


def _run(home: Path, *command: str | Path, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*AS_STRANGER, *map(str, command)],
        cwd=home,
        env={"PATH": path, "HOME": str(home), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
