"""`dovetail tls dev`: an authority and certificates for development."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.servers.serve import data_folder
from dovetail.settings import SERVER
from dovetail.settings.replacing import replace_file

if TYPE_CHECKING:
    import trustme

HOSTS = ("localhost", "127.0.0.1", "::1")
ORGANIZATION = "Dovetail development"
CA, CA_KEY = "ca.pem", "ca.key"


class _Name(click.ParamType[str]):
    name = "NAME"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(value)):
            self.fail(f"{value!r} names a file: use letters, digits, '.', '_', '-'", param, ctx)
        return str(value)


@click.group(cls=LazyGroup)
def tls() -> None:
    """Create certificates."""


@tls.command()
@with_settings(SERVER["data-dir"])
@click.option(
    "--dir",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files are written.  [default: tls in the data folder]",
)
@click.option(
    "--host",
    "hosts",
    metavar="NAME_OR_IP",
    multiple=True,
    help="A host name of the server, beside localhost; may be given several times.",
)
@click.option(
    "--client",
    "clients",
    type=_Name(),
    multiple=True,
    help="Also create a client's certificate; may be given several times.",
)
def dev(
    data_dir: Path | None, folder: Path | None, hosts: tuple[str, ...], clients: tuple[str, ...]
) -> None:
    """Create an authority, and certificates signed by it, for development.

    An existing authority is reused, so that clients keep trusting it. The certificates are renewed;
    running servers load them automatically.
    """
    folder = (folder or (data_dir or data_folder()) / "tls").absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(folder)
        _write_pair(folder / "server", _issue(authority, *dict.fromkeys((*HOSTS, *hosts))))
        for name in clients:
            leaf = authority.issue_cert(common_name=name, organization_name=ORGANIZATION)
            _write_pair(folder / f"client-{name}", leaf)
    except OSError as error:
        raise CommandError(f"{error.filename or folder}: {error.strerror}") from error
    click.echo(_next_steps(folder, clients))


def _authority(folder: Path) -> trustme.CA:
    """The authority in the folder; a new one if there is none."""
    try:
        import trustme  # an extra, and slow to load
    except ImportError as error:
        raise CommandError(
            f"certificates are created by trustme: pip install 'dovetail[tls]' ({error})"
        ) from error
    cert, key = folder / CA, folder / CA_KEY
    if cert.exists() or key.exists():
        try:
            return trustme.CA.from_pem(cert.read_bytes(), key.read_bytes())
        except (ValueError, OSError) as error:
            raise CommandError(
                f"{cert} and {key} are not an authority and its key: move them away for a new one"
            ) from error
    authority = trustme.CA(organization_name=ORGANIZATION)
    replace_file(key, authority.private_key_pem.bytes(), 0o600)
    replace_file(cert, authority.cert_pem.bytes(), 0o644)
    return authority


def _issue(authority: trustme.CA, *hosts: str) -> trustme.LeafCert:
    try:
        return authority.issue_cert(*hosts, organization_name=ORGANIZATION)
    except ValueError as error:
        raise click.UsageError(f"--host: not a host name or an address: {error}") from error


def _write_pair(path: Path, leaf: trustme.LeafCert) -> None:
    """Write a certificate with its chain, and its key. A server waits until both are new."""
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    replace_file(path.with_name(f"{path.name}.key"), leaf.private_key_pem.bytes(), 0o600)
    replace_file(path.with_name(f"{path.name}.pem"), chain, 0o644)


def _next_steps(folder: Path, clients: tuple[str, ...]) -> str:
    def flag(name: str, file: str) -> str:
        return f" --{name} {shlex.quote(str(folder / file))}"

    pair = flag("tls-cert", "server.pem") + flag("tls-key", "server.key")
    lines = [
        f"Certificates are in {folder}. They are for development: keep {CA_KEY} secret.",
        "",
        "Servers:",
        f"  dovetail up{pair}",
    ]
    if clients:
        lines += ["  or, to admit only clients with a certificate:"]
        lines += [f"  dovetail up{pair}{flag('tls-client-ca', CA)}"]
    lines += ["", "Clients:", f"  dovetail status{flag('tls-ca', CA)}"]
    for name in clients:
        shown = flag("tls-client-cert", f"client-{name}.pem")
        shown += flag("tls-client-key", f"client-{name}.key")
        lines += [f"  dovetail status{flag('tls-ca', CA)}{shown}"]
    return "\n".join(lines)
