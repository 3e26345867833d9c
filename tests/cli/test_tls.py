"""`dovetail tls dev`: an authority and certificates, and the commands to go on with."""

from __future__ import annotations

import os
import shlex
import ssl
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from cli.shell import PROGRAM, Finished
from dovetail.client import Tls
from dovetail.client.security import channel_credentials
from support.processes import process_pair

FILES = ["ca.key", "ca.pem", "server.key", "server.pem"]


def run(*words: str, **environment: str) -> Finished:
    done = subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )
    return Finished(exit_code=done.returncode, out=done.stdout, error=done.stderr)


def dev(folder: Path, *words: str) -> str:
    """What `tls dev` prints that succeeds."""
    done = run("tls", "dev", "--dir", str(folder), *words)
    assert (done.exit_code, done.error) == (0, ""), done
    return done.out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_their_owners_alone(tmp_path: Path):
    folder = tmp_path / "new" / "tls"
    dev(folder, "--client", "alice")
    assert sorted(contents(folder)) == sorted([*FILES, "client-alice.key", "client-alice.pem"])
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.glob("*.key")} == {0o600}


def test_the_commands_that_it_prints_work_as_they_are(tmp_path: Path):
    said = dev(tmp_path / "tls files", "--client", "alice").splitlines()
    servers = [shlex.split(line) for line in said if line.startswith("  dovetail up")]
    clients = [shlex.split(line) for line in said if line.startswith("  dovetail status")]
    assert (len(servers), len(clients)) == (2, 2)
    tls = Tls(
        ca=tmp_path / "tls files" / "ca.pem",
        cert=tmp_path / "tls files" / "client-alice.pem",
        key=tmp_path / "tls files" / "client-alice.key",
    )
    for number, server in enumerate(servers):
        options = tuple(server[2:])
        credentials = channel_credentials(tls)
        store = f"sqlite:///{tmp_path}/{number}.db"
        serving = process_pair(store, tmp_path, options, credentials=credentials)
        with serving as (messaging, tasks):
            where = ("--messaging", messaging.address, "--tasks", tasks.address)
            ended = [run(*client[1:], *where).exit_code for client in clients]
        admitted_without_a_certificate = "--tls-client-ca" not in options
        assert ended == [0 if admitted_without_a_certificate else 6, 0], server


def test_a_server_is_trusted_at_the_hosts_that_are_named_too(tmp_path: Path):
    dev(tmp_path, "--host", "127.0.0.2", "--host", "dove.example")
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    for host in ("localhost", "127.0.0.1", "::1", "127.0.0.2", "dove.example"):
        shake_hands(context, server, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(context, server, "owl.example")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """Have a client call a server by a name."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    calling = client.wrap_bio(to_client, to_server, server_hostname=host)
    called = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (calling, called, calling):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert calling.version()


def test_the_authority_is_kept_and_the_certificates_are_made_anew(tmp_path: Path):
    dev(tmp_path)
    before = contents(tmp_path)
    dev(tmp_path)
    after = contents(tmp_path)
    assert {name for name in FILES if before[name] == after[name]} == {"ca.key", "ca.pem"}


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("nobody")])
def test_half_an_authority_is_left_alone(tmp_path: Path, name: str, damage):
    dev(tmp_path)
    damage(tmp_path / name)
    before = contents(tmp_path)
    done = run("tls", "dev", "--dir", str(tmp_path))
    assert (done.exit_code, done.out) == (1, "")
    assert "are not an authority and its key" in done.error
    assert contents(tmp_path) == before


def test_the_data_folder_is_where_it_writes_unless_told_otherwise(tmp_path: Path):
    assert run("tls", "dev", XDG_DATA_HOME=str(tmp_path), DOVETAIL_DATA_DIR="").exit_code == 0
    assert sorted(contents(tmp_path / "dovetail" / "tls")) == FILES
    assert run("tls", "dev", DOVETAIL_DATA_DIR=str(tmp_path / "data")).exit_code == 0
    assert sorted(contents(tmp_path / "data" / "tls")) == FILES


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path):
    tmp_path.chmod(0o755)
    dev(tmp_path)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "a b"), "--host: not a host name or an address"),
        (("--host", ""), "--host: not a host name or an address"),
        (("--client", "../alice"), "'../alice' names a file"),
        (("--client", ""), "'' names a file"),
        (("--dir", __file__), "is a file"),
    ],
)
def test_a_wrong_command_line_is_explained(words: tuple[str, ...], says: str, tmp_path: Path):
    done = run("tls", "dev", "--dir", str(tmp_path / "tls"), *words)
    assert (done.exit_code, done.out) == (2, "")
    assert says in done.error


def test_without_its_library_it_says_what_to_install(tmp_path: Path):
    (tmp_path / "trustme.py").write_text("raise ImportError('hidden')")
    done = run("tls", "dev", "--dir", str(tmp_path / "tls"), PYTHONPATH=str(tmp_path))
    assert done.exit_code == 1
    assert done.error.startswith("dovetail: certificates are created by trustme: pip install")
    assert "'dovetail[tls]'" in done.error
