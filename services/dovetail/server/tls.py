"""The server's certificate: read from files, and read again whenever they change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any, cast

import grpc
import structlog

from dovetail.server.access.exposure import Exposure, exposure
from dovetail.server.config import ConfigError, ServerConfig

Contents = tuple[bytes | str, ...]
"""The content of each file, or the reason why it cannot be read."""

log = structlog.get_logger("dovetail.server")


def server_credentials(config: ServerConfig) -> grpc.ServerCredentials | None:
    """The credentials of a server with TLS; None: no TLS.

    Raises ConfigError for files that cannot be used.
    """
    if not (config.tls_cert and config.tls_key):
        return None
    certificates = Certificates(config.tls_cert, config.tls_key, config.tls_client_ca)
    _warn_of_an_open_key(config.tls_key)
    return grpc.dynamic_ssl_server_credentials(
        certificates.configuration(),
        cast(Any, certificates.renewed),  # The stubs do not know that it may return None.
        require_client_authentication=config.tls_client_ca is not None,
    )


class Certificates:
    """A certificate, its key, and the authority for clients: always a set that belongs together.

    The files are renewed one by one, and not always by rename: until certificate and key belong
    together, the old ones are served. The files are small, and a handshake costs a hundred times as
    much, so they are read and compared at each new connection. That finds every change, while the
    times that a file system keeps could hide one.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files. Raises ConfigError for files that cannot be used."""
        self._cert, self._key = cert, key
        self._files = {"--tls-cert": cert, "--tls-key": key}
        if client_ca:
            self._files["--tls-client-ca"] = client_ca
        self._seen, fault = self._look()
        if fault:
            raise ConfigError(fault)

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The files as they were last read, for gRPC."""
        cert, key, *client_ca = cast("tuple[bytes, ...]", self._seen)
        return grpc.ssl_server_certificate_configuration(
            [(key, cert)], root_certificates=client_ca[0] if client_ca else None
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """For gRPC, before each handshake: a new configuration; None: keep the old one."""
        if self._read() == self._seen:
            return None
        self._seen, fault = self._look()
        if fault:
            log.warning("keeping the old certificate", fault=fault)
            return None
        log.info("serving a new certificate", cert=str(self._cert))
        return self.configuration()

    def _look(self) -> tuple[Contents, str]:
        """The contents, and what is wrong with them, at a moment without a write in between."""
        while True:
            contents = self._read()
            fault = self._fault(contents)
            if self._read() == contents:
                return contents, fault

    def _read(self) -> Contents:
        return tuple(map(_content, self._files.values()))

    def _fault(self, contents: Contents) -> str:
        for (flag, path), content in zip(self._files.items(), contents, strict=True):
            fault = content if isinstance(content, str) else _fault_alone(flag, content)
            if fault:
                return f"{flag} {path}: {fault}"
        return self._fault_together()

    def _fault_together(self) -> str:
        """Python's ssl takes a key only by its path, so the files are read once more here."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._cert, self._key, password="")  # Or it would ask for one.
        except OSError as error:
            why = getattr(error, "reason", None) or error.strerror
            return f"--tls-key {self._key}: it is not the key of --tls-cert {self._cert} ({why})"
        return ""


def _fault_alone(flag: str, content: bytes) -> str:
    """What is wrong with one file by itself; else empty."""
    if flag == "--tls-key":
        if b"PRIVATE KEY" not in content:
            return "there is no private key in it (PEM)"
        encrypted = b"ENCRYPTED" in content
        return "it is encrypted, and a server cannot ask for a passphrase" if encrypted else ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=content.decode("ascii", "replace")
        )
    except (ssl.SSLError, ValueError):
        return "there is no certificate in it (PEM)"
    return ""


def _content(path: Path) -> bytes | str:
    try:
        return path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)


def _warn_of_an_open_key(key: Path) -> None:
    with key.open("rb") as file:
        mode, open_to = os.fstat(file.fileno()).st_mode & 0o777, exposure(file.fileno())
    if open_to is not Exposure.NOBODY:
        log.warning(
            "others on this machine may read the private key", key=str(key), mode=f"{mode:04o}"
        )
