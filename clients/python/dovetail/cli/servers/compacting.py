"""`dovetail compact`: gives the room of what was removed back to the disk, while no server runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from dovetail.cli.options.formats import prints
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.printing import Output
from dovetail.cli.output.styled import Text
from dovetail.cli.servers.serve import store_url
from dovetail.settings import SERVER


@click.command()
@with_settings(SERVER["store"], SERVER["data-dir"])
@prints
def compact(store: str | None, data_dir: Path | None, output: Output) -> None:
    """Give free room of the store to the disk.

    Its file is written anew, as small as its content. Stop the servers first. Servers give room
    back by themselves; but the file of an older release must be written anew once, and doctor says
    so. It takes twice the room meanwhile.
    """
    from dovetail.server.main import StoreOpenError  # Slow to load.
    from dovetail.server.main import compact as write_anew

    try:
        done = write_anew(store_url(store, data_dir))
    except StoreOpenError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from error
    text = f"{done.bytes_before:,} bytes before, {done.bytes:,} bytes now"
    output.facts(asdict(done), lambda: Text(text))
