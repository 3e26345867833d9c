"""What a server needs to know to run."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
DEFAULT_PORTS = {"messaging": 50051, "tasks": 50052}


class ConfigError(Exception):
    """A setting is wrong; the text says which, and what would be right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """One server: which service, over which store, at which address.

    `listen` is HOST:PORT (port 0: any free one) or unix:PATH. `store` is sqlite:///PATH or
    postgresql://…. `drain_seconds` is how long calls may take to finish when the server stops.
    """

    service: str
    store: str
    listen: str
    insecure: bool = False
    drain_seconds: float = 10.0
    heartbeat_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.service not in DEFAULT_PORTS:
            raise ConfigError(f"no service {self.service!r}: use messaging or tasks")
        if not self.listen.startswith("unix:"):
            host, _, port = self.listen.rpartition(":")
            if not host or not port.isdecimal() or int(port) > 65_535:
                raise ConfigError(f"--listen {self.listen!r} is not HOST:PORT or unix:PATH")
            if not self.insecure and not is_loopback(host):
                raise ConfigError(
                    f"--listen {self.listen} can be reached from other machines, and this server"
                    " asks for no credentials: listen on 127.0.0.1, or say --insecure"
                )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
