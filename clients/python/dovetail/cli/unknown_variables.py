"""Environment variables that look like settings and are none."""

from __future__ import annotations

import os
import re

from dovetail.cli.exit_codes import MISUSED, CommandError
from dovetail.cli.text import escape_controls
from dovetail.settings import CONFIG, PREFIX, SETTINGS, nearest

OTHERS = re.compile(
    "SOAK|LOGS"  # what the project's own tests read
    "|TASK_ID|TASK_TITLE|TASK_ATTEMPT|LEASE_TOKEN|PROGRESS"  # what a worker tells its programs
    # What Kubernetes tells every container of a Service whose name begins with dovetail.
    r"|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)"
)
"""What else begins like a setting, and is nobody's mistake."""


def unknown_variables() -> list[str]:
    """What to say of each."""
    known = {setting.variable.removeprefix(PREFIX) for setting in (*SETTINGS, CONFIG)}
    names = sorted(name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    return [
        f"{escape_controls(PREFIX + name)} is in the environment and no setting"
        f"{nearest(name, known, PREFIX)}"
        for name in names
        if name not in known and not OTHERS.fullmatch(name)
    ]


def refuse_unknown_variables() -> None:
    """Refuse to serve with them: what was meant may have been to keep strangers out."""
    if found := unknown_variables():
        raise CommandError("; ".join(found), MISUSED)
