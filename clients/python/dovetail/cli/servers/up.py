"""`dovetail up`: both servers on this machine, in one command."""

from __future__ import annotations

from typing import Any

import click

from dovetail.cli.options.formats import json_option
from dovetail.cli.options.settings import SERVING, with_settings
from dovetail.cli.options.unknown_variables import refuse_unknown_variables
from dovetail.cli.servers.serve import data_folder, served_store
from dovetail.settings import SERVER


@click.command()
@with_settings(SERVER["messaging-listen"], SERVER["tasks-listen"], *SERVING)
@json_option
def up(messaging_listen: str, tasks_listen: str, as_json: bool, **settings: Any) -> None:
    """Run both servers on this machine.

    At Ctrl-C or SIGTERM they finish open calls, and stop; they stop however this command ends. If
    one ends by itself, this command stops the other and fails.
    """
    refuse_unknown_variables()
    folder = (settings.pop("data_dir") or data_folder()).absolute()
    store = served_store(settings.pop("store"), folder)
    from dovetail.cli.servers import together  # Slow to load: not for --help.

    plan = together.Plan(
        store=store,
        logs=folder,
        messaging_listen=messaging_listen,
        tasks_listen=tasks_listen,
        settings=settings,
    )
    together.run(plan, as_json)
