"""Authorities and certificates for tests, in files."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import trustme

from dovetail.client import Tls

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its key, in files."""

    cert: Path
    key: Path

    def replace(self, other: Pair) -> None:
        """Have these files say what others say: first the one, then the other."""
        self.cert.write_bytes(other.cert.read_bytes())
        self.key.write_bytes(other.key.read_bytes())


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Signs certificates, and keeps them in a folder of its own."""

    folder: Path
    _ca: trustme.CA = field(default_factory=trustme.CA)

    @cached_property
    def ca(self) -> Path:
        """What clients or servers are told to trust."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "ca.pem"
        self._ca.cert_pem.write_to_path(path)
        return path

    @property
    def tls(self) -> Tls:
        """How a client trusts this authority."""
        return Tls(ca=self.ca)

    def server(self, name: str = "server", hosts: tuple[str, ...] = HOSTS) -> Pair:
        """A server's certificate."""
        return self._written(name, self._ca.issue_cert(*hosts))

    def client(self, name: str) -> Tls:
        """How a client trusts this authority, and is trusted by whom trusts it."""
        pair = self._written(name, self._ca.issue_cert(common_name=name))
        return Tls(ca=self.ca, cert=pair.cert, key=pair.key)

    def _written(self, name: str, leaf: trustme.LeafCert) -> Pair:
        folder = self.ca.parent
        pair = Pair(cert=folder / f"{name}.pem", key=folder / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(pair.cert)
        leaf.private_key_pem.write_to_path(pair.key)
        pair.key.chmod(0o600)
        return pair


def served(address: str, authority: Authority) -> str:
    """The certificate that a server shows to a new connection, as its file has it."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=authority.ca)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
        assert shown is not None
        return ssl.DER_cert_to_PEM_cert(shown)
