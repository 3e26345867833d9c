"""`dovetail token`: the credentials of callers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

import click
from click.core import ParameterSource

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.admins import Administration, administers
from dovetail.cli.options.calling import DEFAULT_TEAM
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.settings import FILE, with_settings
from dovetail.cli.options.values import LENGTH, Word
from dovetail.cli.output.exit_codes import REFUSED, CommandError
from dovetail.cli.output.json_values import fields
from dovetail.settings import CLIENT

ROLES = ("agent", "operator", "observer", "admin")
ROLE = Word(ROLES)
TEAM = CLIENT["team"]

Created: TypeAlias = "tuple[late.admin.Credential, str]"


@click.group(cls=LazyGroup)
def token() -> None:
    """Manage credentials (admins)."""


expires_option = click.option(
    "--expires", "lifetime", type=LENGTH, help="It expires after 90s, 12h, 30d, …"
)
out_option = click.option(
    "--out",
    "path",
    type=FILE,
    help="Write the token to this file (mode 0600). Default: standard output.",
)


@token.command()
@with_settings(TEAM, is_folded=False)
@click.option("--agent", "agent_id", default="", help="The agent that calls with it.")
@click.option("--role", type=ROLE, help="What it allows; with --agent alone: agent.")
@expires_option
@click.option("--note", "description", default="", help="A note for people.")
@out_option
@administers
async def create(
    session: Administration,
    team: str,
    agent_id: str,
    role: str | None,
    path: Path | None,
    **options: Any,
) -> None:
    """Create a credential and print its token, which is not shown again.

    Only the token is written to standard output, or with --out to a new file. An admin has no team.
    """
    if not (role or agent_id):
        raise click.UsageError("name its owner: --agent AGENT, or --role operator, ...")
    create = partial(
        session.admin.create_token,
        role=_role(role or "agent"),
        team_id=_team(role, team),
        agent_id=agent_id,
        **options,
    )
    await _deliver(session, create, path, draft=path)


@token.command("list")
@click.option("--team", "team_id", default="", help="Only of this team.")
@click.option("--agent", "agent_id", default="", help="Only of this agent.")
@click.option("--role", type=ROLE, help="Only with this role.")
@click.option("--all", "include_ended", is_flag=True, help="Also ended ones.")
@administers
@paged
async def list_(session: Administration, role: str | None, part: Part, **chosen: Any) -> None:
    """List credentials, the oldest first, without their tokens."""
    chosen["role"] = _role(role) if role else late.admin_pb2.ROLE_UNSPECIFIED
    found = session.admin.credentials(page_token=part.page_token, **chosen)
    await session.out.rows(part.of(found), late.lists.CREDENTIALS)
    part.tell(session.out, found)


@token.command()
@click.argument("credential_id", metavar="ID")
@click.option("--grace", type=LENGTH, help="The old one stays valid this long.  [default: 0s]")
@expires_option
@out_option
@administers
async def rotate(
    session: Administration, credential_id: str, path: Path | None, **options: Any
) -> None:
    """Replace a credential by a new one and print its token, which is not shown again.

    Only the token is written to standard output, or with --out to a file, which is replaced.
    Without --expires it has the lifetime of the old one.
    """
    rotate = partial(session.admin.rotate, credential_id, **options)
    draft = path and path.with_name(f".{path.name}.{os.getpid()}")
    await _deliver(session, rotate, path, draft=draft)


@token.command()
@click.argument("credential_id", metavar="ID")
@administers
async def revoke(session: Administration, credential_id: str) -> None:
    """Revoke a credential, and end its streams and waiting calls within 5 s."""
    revoked = await session.admin.revoke(credential_id)
    session.out.item(revoked, lambda each: late.lists.CREDENTIALS([each]))


def _role(name: str) -> late.admin_pb2.Role.ValueType:
    return late.admin_pb2.Role.Value(f"ROLE_{name.upper()}")


def _team(role: str | None, team: str) -> str:
    """The team of the credential. For an admin only a team on the command line counts."""
    if role != "admin":
        return team or DEFAULT_TEAM
    source = click.get_current_context().get_parameter_source(TEAM.key)
    return team if source is ParameterSource.COMMANDLINE else ""


async def _deliver(
    session: Administration,
    create: Callable[[], Awaitable[Created]],
    out: Path | None,
    *,
    draft: Path | None,
) -> None:
    """Create a token, and write it. Its file is opened first: a token is returned only once."""
    if not (out and draft):
        _print(session, *await create())
        return
    with _private_file(draft, out) as file:
        credential, token = await create()
        try:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise CommandError(
                f"the token of {credential.credential_id} could not be written to {out}"
                f" ({error.strerror}) and is lost: revoke it and create another"
            ) from error
    session.out.item(credential, lambda each: late.lists.CREDENTIALS([each]))


def _print(session: Administration, credential: late.admin.Credential, token: str) -> None:
    """Print only the token on standard output, so that a shell can capture it."""
    session.out.facts({**fields(credential.proto), "token": token}, lambda: token, lambda _: token)
    if session.out.for_people:
        click.echo(late.render.credential(credential.proto), err=True)


@contextmanager
def _private_file(draft: Path, path: Path) -> Generator[IO[str]]:
    """A new file that only its owner can read, moved to `path` if the block succeeds."""
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(
            f"--out {draft} already exists: name another file, or remove it", REFUSED
        ) from error
    except OSError as error:
        raise CommandError(f"--out {path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(number, "w") as file:
            yield file
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    try:
        draft.replace(path)
    except OSError as error:
        # The draft is kept: it has the only copy of the token.
        raise CommandError(
            f"--out {path} cannot be replaced ({error.strerror}). The new token is in {draft}:"
            " move it from there"
        ) from error
