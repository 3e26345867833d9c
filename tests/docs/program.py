"""Runs a program as it stands on a page; where it names no servers and no team, a test does."""

import os
import runpy
import sys
from typing import Any, cast

from dovetail.client import connect

if __name__ == "__main__":
    cast(Any, connect).__kwdefaults__.update(
        messaging=os.environ["DOVETAIL_MESSAGING"],
        tasks=os.environ["DOVETAIL_TASKS"],
        team_id=os.environ["DOVETAIL_TEAM"],
    )
    runpy.run_path(sys.argv[1], run_name="__main__")
