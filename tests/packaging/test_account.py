"""A user of this machine who has nothing but the wheel, and a folder of what it depends on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.strangers import AS_STRANGER, USER_ID, needs_root

ROOT = Path(__file__).parents[2]


@needs_root
def test_a_user_with_an_empty_home_installs_it_offline_and_receives_the_first_message(
    wheel: Path, wheelhouse: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, USER_ID, USER_ID)
    environment = home / "dovetail"
    _run(home, sys.executable, "-m", "venv", "--without-pip", environment)
    install = ("install", "--no-index", "--find-links", wheelhouse, "--disable-pip-version-check")
    _run(home, sys.executable, "-m", "pip", "--python", environment, *install, wheel)
    said = _run(home, sys.executable, ROOT / "scripts" / "first_message.py", environment / "bin")
    assert "message #1 received" in said
    assert {path.stat().st_uid for path in home.rglob("dovetail*")} == {USER_ID}
    assert (home / ".local/share/dovetail/dovetail.db").exists()


def _run(home: Path, *command: str | Path) -> str:
    done = subprocess.run(
        [*AS_STRANGER, *map(str, command)],
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
