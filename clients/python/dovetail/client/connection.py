"""A caller's connection to one service: the channel, deadlines, repeats."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import os
import weakref
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Concatenate, TypeVar

import grpc

from dovetail.client.errors import (
    DovetailError,
    UnavailableError,
    from_rpc_error,
)
from dovetail.client.forked import refuse_in_child
from dovetail.client.reconnecting import (
    BACKOFF_OPTIONS,
    RETRY_SECONDS_MAX,
    ChannelWatch,
    pauses,
)
from dovetail.client.security import (
    ConfigurationError,
    Metadata,
    Tls,
    Token,
    channel_opener,
    is_local,
    refuse_clear_text,
    tls_fault,
)

Request = TypeVar("Request")
Response = TypeVar("Response")

log = logging.getLogger(__name__)

RECEIVE_LIMIT = 16 * 1024 * 1024

LAST_ATTEMPT_SECONDS = 0.1
"""How much of its patience a call keeps for a last attempt, whose error says what is wrong now."""

OPTIONS = (
    # Above everything that a server sends: a page has up to 1 MiB, or a single item.
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    ("grpc.max_send_message_length", RECEIVE_LIMIT),
    # Notice within 15 s that a peer is gone. The servers allow a ping every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    *BACKOFF_OPTIONS,
)

SEVERAL_SERVERS_OPTIONS = (
    *OPTIONS,
    # Each call goes to the next server that is up and reports itself healthy.
    (
        "grpc.service_config",
        json.dumps(
            {
                "loadBalancingConfig": [{"round_robin": {}}],
                "healthCheckConfig": {"serviceName": ""},
            }
        ),
    ),
)

NO_PROXY_OPTION = ("grpc.enable_http_proxy", 0)
"""Servers on this machine are not called through a proxy, which would see the token.

Other machines are, by gRPC's rules: grpc_proxy, https_proxy, http_proxy, and the exceptions of
no_proxy.
"""

Addresses = str | Iterable[str]
"""One address, or those of several servers over one store: a list, or separated by commas."""


def caller_metadata(team_id: str, agent_id: str) -> Metadata:
    """The metadata that names the caller. The binary keys can carry ids beyond ASCII."""
    pairs = (("dovetail-team-bin", team_id), ("dovetail-agent-bin", agent_id))
    return tuple((key, value.encode()) for key, value in pairs if value)


def split_addresses(addresses: Addresses) -> tuple[str, ...]:
    """The addresses as a tuple, without blanks."""
    parts = addresses.split(",") if isinstance(addresses, str) else addresses
    return tuple(address.strip() for address in parts if address.strip())


def target(addresses: tuple[str, ...]) -> str:
    """The gRPC target of these addresses. gRPC resolves a host name only if it is the only one."""
    if not addresses:
        raise ValueError("a server's address is missing")
    for address in addresses:
        _check_port(address)
    if len(addresses) == 1:
        return addresses[0]
    versions = {_ip_version(address) for address in addresses}
    if len(versions) > 1:
        raise ValueError(f"several addresses must be all IPv4 or all IPv6: {', '.join(addresses)}")
    return f"ipv{versions.pop()}:{','.join(addresses)}"


def _check_port(address: str) -> None:
    """Raise ValueError for what gRPC would try to reach for as long as a call may take."""
    scheme, slashes, _ = address.partition("://")
    if slashes and scheme != "dns":
        raise ValueError(f"the address {address!r} must be HOST:PORT, without {scheme}://")
    host, colon, port = address.rpartition(":")
    is_named = address.startswith(("dns:", "unix:", "unix-abstract:"))
    if not is_named and not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"the address {address!r} must be HOST:PORT, with a port up to 65535")


def _ip_version(address: str) -> int:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        raise ValueError(
            f"of several addresses each must be an IP address and a port, not {address!r};"
            " a name must stand alone, and may have several addresses"
        ) from None


def channel_to(addresses: Addresses, tls: Tls | None) -> grpc.aio.Channel:
    """Open a channel to servers; every call uses one. Raises ConfigurationError."""
    return _opener(split_addresses(addresses), tls)()


def _opener(addresses: tuple[str, ...], tls: Tls | None) -> Callable[[], grpc.aio.Channel]:
    return channel_opener(target(addresses), tls, _options(addresses, tls))


def _options(addresses: tuple[str, ...], tls: Tls | None) -> tuple[tuple[str, Any], ...]:
    """The options of a channel to these addresses."""
    server_name = tls.server_name if tls else ""
    if tls and len(addresses) > 1:
        server_name = server_name or _common_host(addresses)
    return (
        *(SEVERAL_SERVERS_OPTIONS if len(addresses) > 1 else OPTIONS),
        *([NO_PROXY_OPTION] if all(map(is_local, addresses)) else []),
        *([("grpc.default_authority", server_name)] if server_name else []),
    )


def _common_host(addresses: tuple[str, ...]) -> str:
    """The host of all addresses: with several, gRPC checks certificates for one name only."""
    hosts = {address.rpartition(":")[0] for address in addresses}
    if len(hosts) > 1:
        raise ConfigurationError(
            "servers on several hosts need one name that is in the certificate of each:"
            " Tls(server_name=…)"
        )
    return hosts.pop()


def tell_of_repeat(address: str, seconds: float, fault: str = "") -> None:
    """Log that a call is made again; the command line shows the first of these at a terminal."""
    why = f" ({fault})" if fault else ""
    log.info("no answer from %s yet%s: trying for %d s more", address, why, math.ceil(seconds))


@dataclass(frozen=True, kw_only=True)
class Access:
    """The caller, the kind of channel and the persistence that both services are called with.

    `insecure` allows the token to be sent to another machine without TLS.
    """

    ids: Metadata
    token: Token
    tls: Tls | None
    insecure: bool
    timeout: float
    patience: float


_open = weakref.WeakSet["Connection"]()


async def close_all() -> None:
    """Close every connection that was opened on the running event loop."""
    loop = asyncio.get_running_loop()
    for connection in list(_open):
        if connection.loop is loop:
            await connection.close()


class Connection:
    """A channel to one server, or several over one store: calls go to each in turn that is up.

    It connects at the first call, and reconnects when necessary. A call takes at most `timeout`
    seconds. While no server can be reached, calls wait for up to `patience` seconds.
    """

    def __init__(self, addresses: Addresses, access: Access) -> None:
        """Prepare to call the servers at `addresses`."""
        each = split_addresses(addresses)
        if access.token.metadata and not (access.tls or access.insecure):
            refuse_clear_text(each)
        self.address = ",".join(each)
        self._pid = os.getpid()
        self.closed = False
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop on which the channel was opened."""
        self._open_channel = _opener(each, access.tls)
        self.timeout = access.timeout
        self._patience = min(access.patience, access.timeout)
        self._ids = access.ids
        self._token = access.token
        self._tls = access.tls

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        """The channel. The first call opens it, because it belongs to the loop of that call."""
        self.refuse_unusable()
        self.loop = asyncio.get_running_loop()
        _open.add(self)
        return self._open_channel()

    @cached_property
    def watch(self) -> ChannelWatch:
        """Wakes those who wait until the channel is connected."""
        return ChannelWatch(self.channel)

    @property
    def metadata(self) -> Metadata:
        """The caller's ids and its current token. Every call reads it again."""
        self.refuse_unusable()
        return (*self._ids, *self._token.metadata)

    async def call(
        self,
        method: Callable[Concatenate[Request, ...], Awaitable[Response]],
        request: Request,
        *,
        wait: float = 0.0,
    ) -> Response:
        """Make a call that is safe to repeat. Raises a DovetailError.

        `wait` is how long the server may wait on purpose; it extends the deadline.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + wait + self.timeout
        give_up = clock() + (self._patience and wait + self._patience)
        for pause in pauses(RETRY_SECONDS_MAX):
            try:
                return await self._attempt(method, request, end)
            except grpc.aio.AioRpcError as error:
                failure = self.failure(error)
                pause = max(pause, failure.retry_after or 0.0)
                if not failure.is_passing or clock() + pause > give_up:
                    raise failure from None  # Its `rpc_error` is this one.
                fault = failure.tls_fault if isinstance(failure, UnavailableError) else ""
                tell_of_repeat(self.address, give_up - clock(), fault)
            await asyncio.sleep(pause)
            await self.watch.wait(give_up - clock() - LAST_ATTEMPT_SECONDS)
        raise AssertionError("pauses never end")

    async def _attempt(
        self,
        method: Callable[Concatenate[Request, ...], Awaitable[Response]],
        request: Request,
        end: float,
    ) -> Response:
        """Make a call; if it is refused for its token and there is a new one, make it once more."""
        clock = asyncio.get_running_loop().time
        used = self.metadata
        try:
            return await method(request, timeout=end - clock(), metadata=used)
        except grpc.aio.AioRpcError as error:
            if not self.has_new_token(error, used):
                raise
        return await method(request, timeout=end - clock(), metadata=self.metadata)

    def has_new_token(self, error: grpc.aio.AioRpcError, used: Metadata) -> bool:
        """Whether the token file has a new token, after a call was refused for the old one."""
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return False
        try:
            self._token.read_again()
        except ConfigurationError as fault:
            error.add_note(str(fault))
        return self.metadata != used

    def failure(self, error: grpc.aio.AioRpcError) -> DovetailError:
        """The typed error of a call."""
        failure = from_rpc_error(error)
        failure.address = self.address
        for note in getattr(error, "__notes__", ()):  # A fault of the token file.
            failure.add_note(note)
        if isinstance(failure, UnavailableError) and not failure.reason:
            failure.tls_fault = tls_fault(str(failure), self._tls)
            failure.args = (self._no_answer(failure),)
        return failure

    def _no_answer(self, failure: UnavailableError) -> str:
        """What to say of a server that cannot be reached: why, and what to do next."""
        if failure.tls_fault:
            return f"no answer from {self.address}: {failure.tls_fault}"
        why = str(failure).rpartition(": ")[2].rstrip("]")
        local = all(map(is_local, self.address.split(",")))
        advice = "is it running? Start it with: dovetail up" if local else "is it running?"
        return f"no answer from {self.address} ({why}): {advice}"

    def refuse_unusable(self) -> None:
        """Raise RuntimeError in a forked child, or if this connection is closed."""
        refuse_in_child(self._pid)
        if self.closed:
            raise RuntimeError("this client is closed: call connect() again")

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled. Closing again does nothing."""
        self.closed = True
        if self._pid != os.getpid():
            return  # In a forked child it belongs to the parent, and stays open.
        _open.discard(self)
        if self.loop:
            self.watch.close()
            await self.channel.close()
