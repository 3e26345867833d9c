"""The image of deploy/Dockerfile, built step by step, and its containers, run as deploy/ says.

There is no container engine: `support.images` runs the steps of the file, and the containers.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.certificates import Authority
from support.databases import new_postgres
from support.deployments import Deployed, of_compose, of_kubernetes
from support.images import Container, Image, Mount, container
from support.roots import needs_namespaces
from support.waiting import until

USER = 10_001
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
