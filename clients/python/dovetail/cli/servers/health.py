"""What `probe` finds at an address."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """The state of a service at an address."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    OTHER_SERVICE = "the other service"
    ANOTHER = "another program"
    BEHIND_PROXY = "no answer through a proxy"
    ENCRYPTED = "speaks TLS"
    UNTRUSTED = "not trusted"
    NOT_RUNNING = "not running"
    UNREACHABLE = "unreachable"


OTHERS = {"messaging": "tasks", "tasks": "messaging"}

EXPLANATIONS = {
    Health.SERVING: "",
    Health.NOT_SERVING: "its store does not respond, or it is stopping: its log says more",
    Health.OTHER_SERVICE: "{other} serves there: are --messaging and --tasks swapped?",
    Health.ANOTHER: "another program responds there, or one without TLS",
    Health.BEHIND_PROXY: "calls to other machines go through the proxy that http_proxy (or"
    " https_proxy, grpc_proxy) names, and there is no answer: name this host in no_proxy to call it"
    " directly",
    Health.ENCRYPTED: "it speaks TLS: name its authority, with --tls-ca FILE or --tls",
    Health.UNTRUSTED: "it speaks TLS, but this side does not trust its certificate (--tls-ca), or"
    " it requires a client certificate (--tls-client-cert)",
    Health.NOT_RUNNING: "nothing listens there. Start it with: dovetail up",
    Health.UNREACHABLE: "there is no way to this address",
}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The state of a service, and how long its response took."""

    service: str
    address: str
    health: Health
    seconds: float

    @property
    def explanation(self) -> str:
        """What that means, and what to do; empty if it serves."""
        return EXPLANATIONS[self.health].format(other=OTHERS[self.service])
