"""`dovetail up`: both servers on this machine, in one command."""

from __future__ import annotations

from typing import Any

import click

from dovetail.cli.options.formats import json_option
from dovetail.cli.options.settings import SERVING, with_settings
from dovetail.cli.options.unknown_variables import refuse_unknown_variables
from dovetail.cli.servers.serve import data_folder, served_store
from dovetail.settings import SERVER

LIMITS = {"loop_hops": 64, "loop_thread_hour": 150, "loop_depth": 16, "away_seconds": 900.0}
"""What `dovetail up` sets where nothing is set: agents that only answer each other are stopped.

Of 18 real logs of teams the longest chain has 40 hops and a depth of 5, and the longest thread 42
messages; nine agents in a circle are stopped after 17 to 19 (docs/decisions/0063-loops.md).
"""


@click.command()
@with_settings(*(SERVER[f"{name}-listen"] for name in ("messaging", "tasks", "web")), *SERVING)
@json_option
def up(
    messaging_listen: str, tasks_listen: str, web_listen: str, as_json: bool, **settings: Any
) -> None:
    """Run both servers on this machine, and the page for people where dovetail[web] is installed.

    At Ctrl-C or SIGTERM they finish open calls, and stop; they stop however this command ends. If
    one ends by itself, this command stops the other and fails.
    """
    refuse_unknown_variables()
    settings |= {key: value for key, value in LIMITS.items() if settings[key] is None}
    folder = (settings.pop("data_dir") or data_folder()).absolute()
    store = served_store(settings.pop("store"), folder)
    from dovetail.cli.servers import together  # Slow to load: not for --help.

    plan = together.Plan(
        store=store,
        logs=folder,
        messaging_listen=messaging_listen,
        tasks_listen=tasks_listen,
        web_listen=web_listen,
        settings=settings,
    )
    together.run(plan, as_json)
