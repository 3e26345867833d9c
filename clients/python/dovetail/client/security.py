"""Security on the client's side: the caller's token, and TLS of the channel."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import ssl
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from dovetail.client.forked import keep_in_children, prepare_core
from dovetail.settings import CLIENT
from dovetail.settings.exposure import Exposure, exposure

TOKEN_FILE_BYTES_MAX = 4096
_TOKEN, _TOKEN_FILE = (CLIENT[name].variable for name in ("token", "token-file"))

_SCHEME = re.compile("dns:(///)?|ipv[46]:")
"""The prefixes by which gRPC recognizes a kind of address."""

_TLS_FAULT_SIGNS = {
    "WRONG_VERSION_NUMBER": "the server speaks no TLS",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not by an authority that is trusted"
    " here, or is out of date: name its authority (Tls(ca=…), command line: --tls-ca FILE)",
    "Hostname Verification": "the server's certificate is for another host name",
}

Metadata = tuple[tuple[str, str | bytes], ...]


class ConfigurationError(ValueError):
    """An argument or setting of `connect` is wrong. Nothing was sent; the text names the fix."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """How a channel is encrypted, as paths of PEM files.

    `ca` has the authorities that may sign the server's certificate (default: those that the system
    trusts). `cert` and `key` are for servers that require a client certificate. `server_name` is
    the name that the server's certificate must have (default: the host of the address); servers on
    several hosts must have one name in common.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""


class Token:
    """A caller's bearer token, or none. A token in a file may be replaced while it is used."""

    def __init__(self, text: str = "", file: Path | str | None = None) -> None:
        """Use this token, or the one in a file."""
        if text and file:
            raise ConfigurationError(
                "there is a token and a token file, and only one can be meant: give one of them"
                f" (in the environment: unset one of {_TOKEN} and {_TOKEN_FILE})"
            )
        self._file = Path(file) if file else None
        self._text = read_token(self._file) if self._file else text and _token(text, "the token")

    @property
    def metadata(self) -> Metadata:
        """The metadata that carries the token."""
        return (("authorization", f"Bearer {self._text}"),) if self._text else ()

    def read_again(self) -> None:
        """Read the file again. Keeps the old token if that raises ConfigurationError."""
        if self._file:
            self._text = read_token(self._file)


def read_token(path: Path) -> str:
    """Read a token from a file that only its owner may read. No error shows its content."""
    try:
        # Checked once it is open, so that the file checked is the file read; a pipe does not block.
        with open(path, "rb", opener=_open_nonblocking) as file:
            _refuse_exposed(path, file.fileno())
            content = file.read(TOKEN_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"token file {path}: {error.strerror}") from None
    if len(content) > TOKEN_FILE_BYTES_MAX:
        raise ConfigurationError(f"token file {path}: it is too long for a token")
    return _token(content.decode("utf-8", "replace").strip(), f"token file {path}")


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _refuse_exposed(path: Path, number: int) -> None:
    status, open_to = os.fstat(number), exposure(number)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"token file {path}: it is not a regular file")
    if open_to is Exposure.ANOTHER_OWNER:
        raise ConfigurationError(
            f"token file {path}: it belongs to another user (uid {status.st_uid}), who may change"
            " it: copy it to a file of your own, or have root own it (chown root)"
        )
    if open_to is Exposure.OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigurationError(
            f"token file {path}: others may open it (mode {mode:04o}). Close it to them:"
            f" chmod 600 {shlex.quote(str(path))}"
        )


def _token(text: str, where: str) -> str:
    """Check that a text can be a token. An error does not show it: it may be part of a token."""
    if not text:
        raise ConfigurationError(f"{where}: it is empty")
    if len(text.splitlines()) > 1:
        raise ConfigurationError(f"{where}: it has several lines, a token is one")
    if not all("!" <= character <= "~" for character in text):
        raise ConfigurationError(f"{where}: it has characters that no token has")
    return text


def channel_opener(
    target: str, tls: Tls | None, options: Sequence[tuple[str, Any]] = ()
) -> Callable[[], grpc.aio.Channel]:
    """Prepare to open a channel, encrypted if there is `tls`. Raises ConfigurationError.

    The files of `tls` are read here. The returned function opens the channel: gRPC binds it to the
    event loop that runs then.
    """
    prepare_core()
    credentials = channel_credentials(tls) if tls else None
    if credentials:
        keep_in_children(credentials)

    def open_channel() -> grpc.aio.Channel:
        if credentials:
            channel = grpc.aio.secure_channel(target, credentials, options=options)
        else:
            channel = grpc.aio.insecure_channel(target, options=options)
        keep_in_children(channel)
        return channel

    return open_channel


def channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """The TLS credentials of a channel; reads the files now. Raises ConfigurationError."""
    if bool(tls.cert) != bool(tls.key):
        raise ConfigurationError("a client certificate needs both: cert and key")
    _check_authorities(tls.ca)
    _check_pair(tls.cert, tls.key)
    return grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca or _trusted_by_the_system()),
        private_key=_content(tls.key),
        certificate_chain=_content(tls.cert),
    )


def _check_authorities(ca: Path | None) -> None:
    if content := _content(ca):
        try:
            ssl.create_default_context(cadata=content.decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            raise ConfigurationError(f"{ca}: there is no certificate in it (PEM)") from None


def _check_pair(cert: Path | None, key: Path | None) -> None:
    """Check the key and its certificate: gRPC would only report a failed handshake."""
    if not (cert and key):
        return
    if b"ENCRYPTED" in (_content(key) or b""):
        raise ConfigurationError(f"{key}: it is encrypted; only a key without passphrase works")
    _check_authorities(cert)
    try:
        ssl.create_default_context().load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError):
        raise ConfigurationError(f"{key}: it is not the private key of {cert} (PEM)") from None


def _content(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def _trusted_by_the_system() -> Path | None:
    """The CA file that OpenSSL trusts here, or SSL_CERT_FILE; None: gRPC's own list applies."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file) if file else None


def tls_fault(details: str, tls: Tls | None) -> str:
    """The meaning of gRPC's text for a lost connection, if TLS may be the cause; else empty."""
    for sign, meaning in _TLS_FAULT_SIGNS.items():
        if sign in details:
            return meaning
    if details.endswith("Socket closed"):
        if tls is None:
            return (
                "the connection was closed; if the server asks for TLS, use TLS"
                " (tls=Tls(…), command line: --tls-ca FILE)"
            )
        if tls.cert is None:
            return "the connection was closed; the server may ask for a client's certificate"
    return ""


def refuse_clear_text(addresses: Iterable[str]) -> None:
    """Raise ConfigurationError if the token would go to another machine without TLS."""
    for address in addresses:
        if not is_local(address):
            raise ConfigurationError(
                f"{address} may be another machine, and without TLS everyone on the way there can"
                " read the token. Use TLS (tls=Tls(…), command line: --tls-ca FILE), or say"
                " insecure=True (command line: --insecure) where the network itself keeps"
                " strangers out"
            )


def is_local(address: str) -> bool:
    """Whether an address is certainly on this machine."""
    if address.startswith("unix:"):
        return True
    host = _SCHEME.sub("", address).rpartition(":")[0].strip("[]")
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
