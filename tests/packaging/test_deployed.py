"""What deploy/ says is run: the image, its containers, and the units under a real systemd.

There is no container engine: `support.images` runs the steps of the Dockerfile, and the containers.
All of it stands in one file, so that the image is built once.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.certificates import Authority
from support.databases import new_postgres
from support.deployments import DEPLOY, Deployed, of_compose, of_kubernetes
from support.images import Container, Image, Mount, container
from support.roots import Root, needs_namespaces
from support.systemd import Manager, manager, needs_systemd
from support.waiting import until

USER = 10_001
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

pytestmark = needs_namespaces


@pytest.fixture
def volume(image: Image) -> str:
    """A new volume: it has the owner and the mode of the image's folder, as engines see to."""
    roots = image.root.roots
    path = roots.new_folder()
    os.chown(roots.seen(path), USER, USER)
    roots.seen(path).chmod(0o700)
    return path


def test_the_image_has_the_locked_releases_and_no_tools_to_build_or_install(image: Image) -> None:
    folder = image.root.seen / "opt/dovetail"
    installed = {path.name.split("-")[0].lower() for path in folder.rglob("*.dist-info")}
    assert {"dovetail", "grpcio", "psycopg", "uvloop"} <= installed
    assert not {"pip", "hatchling", "pytest", "twine"} & installed
    assert not (image.root.seen / "source").exists()
    assert image.user == f"{USER}:{USER}"
    assert image.ports == ["50051", "50052"]
    assert image.volumes == [image.environment["DOVETAIL_DATA_DIR"]] == ["/var/lib/dovetail"]


def test_what_compose_runs_on_one_machine_sends_a_message_and_stops_at_sigterm(
    image: Image, volume: str
) -> None:
    inbox = ""
    for _ in range(2):  # The second time on what the first left.
        with ExitStack() as stack:
            messaging, tasks = _started(stack, image, of_compose("compose.yaml"), {"store": volume})
            assert (
                b"\0serve\0messaging\0" in Path(f"/proc/{messaging.first_pid}/cmdline").read_bytes()
            )
            assert messaging.run("id", "-u").stdout == f"{USER}\n"
            _says(messaging, "dovetail", "status")
            _says(messaging, "dovetail", "send", "--as", "alice", "alice", "hello")
            _says(tasks, "dovetail", "task", "create", "--as", "alice", "x", "--assignee", "alice")
            refused = messaging.run("touch", "/opt/dovetail/x")
            assert "Read-only file system" in refused.stderr
            # The image's own check knows the service that runs here.
            assert tasks.run("sh", "-c", image.health_command).returncode == 0
            inbox = _says(messaging, "dovetail", "inbox", "--as", "alice", "--brief")
            assert (messaging.stop(), tasks.stop()) == (0, 0)
    assert inbox.count("hello") == 2
    seen = image.root.roots.seen(volume)
    assert {path.stat().st_uid for path in seen.iterdir()} == {USER}


def test_a_worker_that_was_killed_is_started_again_and_none_is_left_behind(
    image: Image, volume: str
) -> None:
    (service, _) = of_compose("compose.yaml")
    command = [*service.arguments, "--workers", "2"]
    mounts = [Mount(source=volume, target="/var/lib/dovetail")]
    with container(image, command, mounts, service.settings) as running:
        first, _ = _children(running.first_pid)
        os.kill(first, signal.SIGKILL)
        assert running.process.stderr is not None
        until_again = (line for line in running.process.stderr if "started again" in line)
        assert "signal 9" in next(until_again)
        assert running.stop() == 0


async def test_what_compose_runs_over_postgresql_asks_for_tokens_over_tls(
    image: Image, volume: str
) -> None:
    roots = image.root.roots
    tls = roots.new_folder()
    _certificates(roots.seen(tls), ("server.pem", "server.key", "ca.pem"))
    for file in roots.seen(tls).iterdir():
        os.chown(file, USER, USER)
    sources = {"state": volume, "./tls": tls}
    with new_postgres() as postgres, ExitStack() as stack:
        services = of_compose("compose.postgres.yaml")
        messaging, tasks = _started(stack, image, services, sources, postgres.url)
        refused = messaging.run("dovetail", "agent", "list")
        assert "CREDENTIAL_REQUIRED" in refused.stderr
        token = "/var/lib/dovetail/admin.token"
        _says(tasks, "dovetail", "team", "create", "red", "--token-file", token)
        assert "red" in _says(messaging, "dovetail", "team", "list", "--token-file", token)
        assert (messaging.stop(), tasks.stop()) == (0, 0)


async def test_what_kubernetes_runs_loads_certificates_of_its_secrets_without_a_restart(
    image: Image,
) -> None:
    roots = image.root.roots
    tls, admin = roots.new_folder(), roots.new_folder()
    names = ("tls.crt", "tls.key", "ca.crt")
    old = _secret(roots.seen(tls), names)
    (roots.seen(admin) / "token").write_text(f"dovetail_{secrets.token_urlsafe(32)}\n")
    for each in (roots.seen(tls), roots.seen(admin)):
        _as_kubernetes_mounts(each)
    sources = {"dovetail-tls": tls, "dovetail-admin": admin}
    with new_postgres() as postgres, ExitStack() as stack:
        messaging, tasks = _started(stack, image, of_kubernetes(), sources, postgres.url)
        token = ("--token-file", "/etc/dovetail/admin/token")
        assert "admin" in _says(tasks, "dovetail", "token", "list", *token)
        new = _secret(roots.seen(tls), names)
        _as_kubernetes_mounts(roots.seen(tls))
        await until(lambda: messaging.is_healthy(["CMD", "dovetail", "status", "messaging"]))
        trusts_old = f"DOVETAIL_TLS_CA=/etc/dovetail/tls/{old}/ca.crt"
        assert new != old
        done = messaging.run("env", trusts_old, "dovetail", "status", "messaging")
        assert "does not trust its certificate" in done.stderr
        assert (messaging.stop(), tasks.stop()) == (0, 0)


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


@needs_systemd
def test_systemd_finds_no_fault_in_them_and_little_exposure(root: Root) -> None:
    paths = [f"/etc/systemd/system/{unit}" for unit in UNITS]
    assert root.run("systemd-analyze", "verify", "--man=no", *paths) == ""
    limit = f"--threshold={10 * EXPOSURE_MAX:.0f}"
    root.run("systemd-analyze", "security", "--offline=yes", "--no-pager", limit, *paths)


@needs_systemd
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


@needs_systemd
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


def _started(
    stack: ExitStack,
    image: Image,
    services: Iterable[Deployed],
    sources: Mapping[str, str],
    store: str = "",
) -> list[Container]:
    """Containers of these services, which serve; `sources` are what their volumes are named for."""
    running: list[Container] = []
    for service in services:
        mounts = [
            Mount(source=sources[each.source], target=each.target, read_only=each.read_only)
            for each in service.mounts
        ]
        settings = dict(service.settings)
        if store:
            # The database's socket: containers have no other way to the machine.
            folder = store.rpartition("=")[2]
            socket = Path(folder, ".s.PGSQL.5432")
            socket.chmod(0o777)
            mounts.append(Mount(source=str(socket), target=f"/srv/{socket.name}"))
            settings["DOVETAIL_STORE"] = store.replace(folder, "/srv")
        found = stack.enter_context(container(image, service.arguments, mounts, settings))
        assert found.is_healthy(["CMD", *service.probe]), found.run(*service.probe)
        running.append(found)
    return running


def _says(running: Container, *words: str) -> str:
    done = running.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _certificates(folder: Path, names: tuple[str, str, str]) -> None:
    """Write a new certificate, its key and its authority by these names."""
    cert, key, ca = names
    authority = Authority(folder=folder / ".new")
    pair = authority.server(hosts=("127.0.0.1", "dovetail-messaging", "dovetail-tasks"))
    pair.cert.rename(folder / cert)
    pair.key.rename(folder / key)
    authority.ca.rename(folder / ca)
    (folder / ".new").rmdir()


def _secret(folder: Path, names: tuple[str, str, str]) -> str:
    """Put certificates there as Kubernetes does: in a folder, to which a link is switched."""
    version = f"..{secrets.token_hex(4)}"
    (folder / version).mkdir()
    _certificates(folder / version, names)
    draft = folder / "..data_tmp"
    draft.symlink_to(version)
    draft.rename(folder / "..data")
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    return version


def _as_kubernetes_mounts(folder: Path) -> None:
    """Give files the owner and the mode of secrets for a pod's fsGroup."""
    for path in folder.rglob("*"):
        os.chown(path, 0, USER, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o440)


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
