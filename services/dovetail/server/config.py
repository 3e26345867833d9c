"""The settings of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from dovetail.server.retention import DEFAULT, HOUR_MICROS, MICROS, Retention, read_retention

LOOPBACK = "127.0.0.1"
DEFAULT_PORTS = {"messaging": 50051, "tasks": 50052}


class ConfigError(Exception):
    """A setting is wrong; the text says which, and what would be right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One server: its service, its store, its address, and what it requires of callers.

    `listen` is HOST:PORT (port 0: any free one) or unix:PATH. `store` is sqlite:///PATH or
    postgresql://…. With `credentials` every caller must send a token; `admin_token_file` holds that
    of the first admin, or is created with it. With `tls_client_ca` clients must show a certificate
    that it signed. Certificates are read again whenever their files change. `audit_log` is a file
    for changes of rights and for refusals (default: the log). `drain_seconds` is how long calls may
    take to finish when the server stops, `request_seconds` how long a request may take to arrive
    once its call has begun, `stall_seconds` how long a stream that does not read a large message
    may delay others, `presence_seconds` how long until others see what an agent has open.
    `shortest_lease_seconds` is the minimum for the lease of a task. `loop_hops`, `loop_thread_hour`
    and `loop_depth` limit what agents say to each other in teams that set no limits, and after
    `away_seconds` of an asked agent's absence, seen every `away_look_seconds`, the asker is told;
    None or 0: never. `metrics_listen` is where Prometheus asks (HOST:PORT; empty: nowhere), for
    which the store is read at most every `figures_seconds`. `retention` is what teams keep that say
    nothing themselves, as `read_retention` reads it; nothing that is younger than `kept_seconds` is
    removed, and every `cleaning_seconds` is looked for what may be. `worker` is this process's
    number among those that share `listen`; 0: it has the address for itself. With `has_parent`
    another process decides how long it may take to stop.
    """

    service: str
    store: str
    listen: str
    insecure: bool = False
    credentials: bool = False
    admin_token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    audit_log: Path | None = None
    drain_seconds: float = 10.0
    heartbeat_seconds: float = 30.0
    request_seconds: float = 20.0
    stall_seconds: float = 10.0
    presence_seconds: float = 10.0
    shortest_lease_seconds: float = 10.0
    loop_hops: int | None = None
    loop_thread_hour: int | None = None
    loop_depth: int | None = None
    away_seconds: float | None = None
    away_look_seconds: float = 30.0
    retention: str = ""
    kept_seconds: float = HOUR_MICROS / MICROS
    cleaning_seconds: float = 60.0
    metrics_listen: str = ""
    figures_seconds: float = 5.0
    worker: int = 0
    has_parent: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.service not in DEFAULT_PORTS:
            raise ConfigError(f"no service {self.service!r}: use messaging or tasks")
        self._check_together()
        try:
            read_retention(self.retention)
        except ValueError as error:
            raise ConfigError(f"--retention {self.retention!r}: {error}") from error
        if not self.listen.startswith("unix:"):
            host = _host(self.listen)
            if not host:
                raise ConfigError(f"--listen {self.listen!r} is not HOST:PORT or unix:PATH")
            if not is_loopback(host):
                self._check_reachable()
        if self.metrics_listen:
            self._check_metrics()

    @property
    def rules(self) -> Retention:
        """What teams keep that say nothing themselves."""
        return read_retention(self.retention).over(DEFAULT)

    def _check_together(self) -> None:
        """Raise ConfigError for settings that need others."""
        if bool(self.tls_cert) != bool(self.tls_key):
            given, missing = ("cert", "key") if self.tls_cert else ("key", "cert")
            raise ConfigError(f"--tls-{given} needs --tls-{missing} beside it")
        if self.tls_client_ca and not self.tls_cert:
            raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")
        if self.admin_token_file and not self.credentials:
            raise ConfigError("--admin-token-file needs --credentials: nobody is asked for a token")

    def _check_metrics(self) -> None:
        """Raise ConfigError unless strangers are kept from the metrics, which ask for no token."""
        host = _host(self.metrics_listen)
        if not host:
            raise ConfigError(f"--metrics-listen {self.metrics_listen!r} is not HOST:PORT")
        if not is_loopback(host) and not self.insecure:
            raise ConfigError(
                f"--metrics-listen {self.metrics_listen} can be reached from other machines, and"
                " metrics know neither TLS nor credentials. Say --insecure where the network itself"
                " keeps strangers out; 127.0.0.1 does not need it"
            )

    def _check_reachable(self) -> None:
        """Raise ConfigError if anybody could call, or tokens could be read on their way."""
        missing = [
            *(["TLS (--tls-cert and --tls-key)"] if not self.tls_cert else []),
            *(["credentials (--credentials)"] if not self.credentials else []),
        ]
        if missing and not self.insecure:
            raise ConfigError(
                f"--listen {self.listen} can be reached from other machines. Either add"
                f" {' and '.join(missing)}, or say --insecure where the network itself keeps"
                " strangers out; 127.0.0.1 needs neither"
            )


def _host(listen: str) -> str:
    """The host of HOST:PORT; empty if it is not that."""
    host, _, port = listen.rpartition(":")
    return host if port.isdecimal() and int(port) <= 65_535 else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
