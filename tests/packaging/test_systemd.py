"""The units of deploy/systemd, run by a real systemd, with every restriction that they set."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from support.deployments import DEPLOY
from support.images import Image
from support.roots import Root, needs_namespaces
from support.systemd import Manager, manager, needs_systemd

UNITS = ("dovetail-messaging.service", "dovetail-tasks.service")
LOG = "var/log/dovetail.log"
HERE = f"""
[Service]
# There is no journal in this small system.
StandardError=append:/{LOG}
# For a Python whose library is beside it.
Environment=LD_LIBRARY_PATH=/opt/python/lib
"""

EXPOSURE_MAX = 2.0
"""Of 10, by the weights of systemd-analyze; a unit without restrictions has 9.6."""

pytestmark = [needs_namespaces, needs_systemd]


@pytest.fixture(scope="module")
def root(image: Image) -> Root:
    """A machine on which the files were put where the page for production says."""
    root = image.root.roots.new_root()
    shutil.copytree(image.root.seen / "opt/dovetail", root.seen / "opt/dovetail", symlinks=True)
    _move_python(root)
    for unit in UNITS:
        shutil.copy(DEPLOY / "systemd" / unit, root.seen / "etc/systemd/system")
    here = root.seen / "etc/systemd/system/dovetail-.service.d/here.conf"
    here.parent.mkdir()
    here.write_text(HERE)
    (root.seen / "etc/dovetail").mkdir()
    shutil.copy(DEPLOY / "systemd/config.toml", root.seen / "etc/dovetail")
    (root.seen / "etc/sysusers.d").mkdir(exist_ok=True)
    shutil.copy(DEPLOY / "systemd/sysusers.conf", root.seen / "etc/sysusers.d/dovetail.conf")
    root.run("systemd-sysusers")
    root.run("chgrp", "dovetail", "/etc/dovetail/config.toml")
    (root.seen / "etc/dovetail/config.toml").chmod(0o640)
    return root


@pytest.fixture(scope="module")
def systemd(root: Root) -> Generator[Manager]:
    with manager(root) as running:
        yield running


def test_systemd_finds_no_fault_in_them_and_little_exposure(root: Root) -> None:
    paths = [f"/etc/systemd/system/{unit}" for unit in UNITS]
    assert root.run("systemd-analyze", "verify", "--man=no", *paths) == ""
    limit = f"--threshold={10 * EXPOSURE_MAX:.0f}"
    root.run("systemd-analyze", "security", "--offline=yes", "--no-pager", limit, *paths)


def test_they_serve_under_their_restrictions_write_only_their_state_and_stop(
    systemd: Manager,
) -> None:
    systemd.control("start", *UNITS)
    dovetail = ("setpriv", "--reuid=dovetail", "--regid=dovetail", "--clear-groups")
    dovetail += ("/opt/dovetail/bin/dovetail",)
    _until_serving(systemd, dovetail)
    assert systemd.run(*dovetail, "send", "--as", "alice", "alice", "hello").returncode == 0
    assert "hello" in systemd.run(*dovetail, "inbox", "--as", "alice").stdout
    state = systemd.root.seen / "var/lib/dovetail"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in state.iterdir()} == {0}
    for unit in UNITS:
        assert systemd.shows(unit, "NoNewPrivileges") == "yes"
        pid = int(systemd.shows(unit, "MainPID"))
        status = systemd.run("cat", f"/proc/{pid}/status").stdout
        assert "CapBnd:\t0000000000000000" in status
        assert "Seccomp:\t2" in status
    systemd.control("stop", *UNITS)
    for unit in UNITS:
        assert systemd.shows(unit, "Result") == "success"
        assert systemd.shows(unit, "ExecMainStatus") == "0"


def test_a_server_that_was_killed_is_started_again(systemd: Manager) -> None:
    unit = UNITS[0]
    systemd.control("start", unit)
    before = systemd.shows(unit, "MainPID")
    systemd.control("kill", "--signal=KILL", unit)
    while systemd.shows(unit, "NRestarts") == "0":
        assert systemd.shows(unit, "Result") in ("success", "signal")
    assert systemd.shows(unit, "NRestarts") == "1"
    assert systemd.shows(unit, "MainPID") != before
    systemd.control("stop", unit)


def _move_python(root: Root) -> None:
    """Have the environment's Python where ProtectHome does not hide it."""
    (root.seen / "opt/python").mkdir()
    root.roots.run("mount", "--bind", sys.base_prefix, f"{root.path}/opt/python")
    environment = root.seen / "opt/dovetail"
    python = environment / "bin/python"
    name = Path(os.readlink(python)).name
    python.unlink()
    python.symlink_to(f"/opt/python/bin/{name}")
    configuration = environment / "pyvenv.cfg"
    configuration.write_text(configuration.read_text().replace(sys.base_prefix, "/opt/python"))


def _until_serving(systemd: Manager, dovetail: tuple[str, ...]) -> None:
    """Wait until both serve: systemd calls a unit active as soon as its program is started."""
    while systemd.run(*dovetail, "status").returncode:
        active = [systemd.shows(unit, "ActiveState") for unit in UNITS]
        assert active == ["active", "active"], (systemd.root.seen / LOG).read_text()
