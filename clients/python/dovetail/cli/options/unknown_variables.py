"""Environment variables that look like settings but are not."""

from __future__ import annotations

import os
import re

from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.output.text import escape_controls
from dovetail.settings import CONFIG, PREFIX, PROFILE, SETTINGS, nearest

OTHERS = re.compile(
    "SOAK|LOGS"  # read by the project's own tests
    "|TASK_ID|TASK_TITLE|TASK_ATTEMPT|LEASE_TOKEN|PROGRESS"  # set by a worker for its programs
    # Set by Kubernetes in every container for a Service whose name begins with dovetail.
    r"|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)"
)
"""Other names with the prefix of settings, which are no mistake."""


def unknown_variables() -> list[str]:
    """A warning for each of them."""
    known = {setting.variable.removeprefix(PREFIX) for setting in (*SETTINGS, CONFIG, PROFILE)}
    names = sorted(name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    return [
        f"{escape_controls(PREFIX + name)} is in the environment but is not a setting"
        f"{nearest(name, known, PREFIX)}"
        for name in names
        if name not in known and not OTHERS.fullmatch(name)
    ]


def refuse_unknown_variables() -> None:
    """Refuse to serve with them: a mistyped one may have been meant to restrict access."""
    if found := unknown_variables():
        raise CommandError("; ".join(found), MISUSED)
