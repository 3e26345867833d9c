"""The commands that `dovetail up` proposes: short ones, by a profile that it writes."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dovetail.cli.servers.children import Plan
from dovetail.cli.servers.tls import CA
from dovetail.settings import CLIENT, MESSAGING, TASKS
from dovetail.settings.profiles import current_name, write

COMMENT = "Written by `dovetail up` for its servers, each time it starts: keep changes elsewhere."
TOKEN_FILE = CLIENT["token-file"].flag


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How to reach the servers: values for a profile, and options that a person must fill in."""

    values: Mapping[str, str]
    missing: tuple[str, ...]

    @property
    def options(self) -> str:
        """All of it as options that are not the default."""
        usual = {"messaging": MESSAGING, "tasks": TASKS}
        given = (
            f" {CLIENT[key.replace('_', '-')].flag} {shlex.quote(value)}"
            for key, value in self.values.items()
            if value != usual.get(key) and key != "token_file"
        )
        return "".join((*given, *self.missing))


def next_commands(plan: Plan, addresses: Mapping[str, str]) -> list[str]:
    """Commands to paste, for the servers at these addresses."""
    own = plan.logs / "me.token"
    admin = _admin_token(plan)
    found = reach(plan, addresses, own if own.exists() or admin else None)
    name = _written(plan.messaging_listen, found)
    if name is None:
        options, first = found.options, []
    else:
        options = "".join(found.missing)
        is_needed = bool(found.options) or bool(current_name()) or "token_file" in found.values
        first = [f"{program()} config use {name}"] if is_needed else []
    if not plan.settings["credentials"]:
        return [*first, _hello(f"--as me{options}")]
    if "token_file" not in found.values:
        return [*first, _hello(f"--as me {TOKEN_FILE} FILE{options}")]
    token = "" if name else f" {TOKEN_FILE} {shlex.quote(str(own))}"
    hello = _hello(f"--as me{token}{options}")
    if own.exists() or admin is None:
        return [*first, hello]
    admins = f"{TOKEN_FILE} {shlex.quote(str(admin))}{options}"
    make = f"token create --agent me --out {shlex.quote(str(own))} {admins}"
    return [*first, f"{program()} team create default {admins} && {program()} {make}", hello]


def program() -> str:
    """The name of this program, for commands to paste."""
    if shutil.which("dovetail"):
        return "dovetail"
    if sys.argv[0].endswith("dovetail"):
        return shlex.quote(sys.argv[0])
    return f"{shlex.quote(sys.executable)} -m dovetail.cli"


def _admin_token(plan: Plan) -> Path | None:
    """The file of the first admin's token, if the servers have one.

    If an admin's credential already existed, they have not created the file.
    """
    admin: Path | None = plan.settings["admin_token_file"]
    return admin.absolute() if admin and admin.exists() else None


def reach(plan: Plan, addresses: Mapping[str, str], token_file: Path | None = None) -> Reach:
    """How this machine reaches the servers at these addresses; the token is for those that ask."""
    values = {service: _near(addresses[service]) for service in ("messaging", "tasks")}
    missing: list[str] = []
    if plan.settings["credentials"] and token_file:
        values["token_file"] = str(token_file)
    certificate: Path | None = plan.settings["tls_cert"]
    if certificate:
        ca = certificate.absolute().with_name(CA)
        if ca.exists():
            values["tls_ca"] = str(ca)
        else:
            missing.append(f" {CLIENT['tls-ca'].flag} FILE")
        if plan.settings["tls_client_ca"]:
            missing += [f" {CLIENT[f'tls-client-{part}'].flag} FILE" for part in ("cert", "key")]
    return Reach(values=values, missing=tuple(missing))


def _written(listen: str, reach: Reach) -> str | None:
    """Write the profile; its name, or None if there is no place for it."""
    port = listen.rpartition(":")[2]
    place = port if port.isdecimal() else "socket"
    name = "local" if port == MESSAGING.rpartition(":")[2] else f"local-{place}"
    try:
        return name if write(name, COMMENT, reach.values) else None
    except OSError:
        return None


def _hello(options: str) -> str:
    return f"{program()} send {options} me 'Hello, inbox' && {program()} inbox {options}"


def _near(address: str) -> str:
    """The address at which this machine reaches a server that listens on all addresses."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else address
