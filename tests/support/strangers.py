"""Commands of a user whom this machine does not know, as containers have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

USER_ID = 123_456

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can become a user without an entry in passwd, by setpriv",
)


# It may read what root may, for the interpreter may stand there; it may write its own alone.
CAPABILITY = "-all,+dac_read_search"
AS_STRANGER = (
    *("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"),
    *(f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}"),
)
"""What stands before a command of that user."""


def run_as_stranger(
    *words: str, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of Dovetail's in a folder of that user, with these variables alone."""
    os.chown(folder, USER_ID, USER_ID)
    return subprocess.run(
        [*AS_STRANGER, sys.executable, "-m", "dovetail.cli", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **variables},
        timeout=60,
        check=False,
    )
