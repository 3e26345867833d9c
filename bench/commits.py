"""Checkouts of Dovetail whose servers are measured: this one, and one of another commit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.trials import MARK

ROOT = Path(__file__).parent.parent
NAMESPACE_ROOTS = ("services", "generated/python", "clients/python")
FILL = """
import asyncio, sys
from bench import fill
name, store_url, *texts, count = sys.argv[1:]
asyncio.run(getattr(fill, name)(store_url, *texts, int(count)))
"""


@dataclass(frozen=True, kw_only=True)
class Code:
    """A checkout, and the Python that runs its servers. `mark` ends the names of its targets."""

    folder: Path = ROOT
    python: str = sys.executable
    mark: str = ""

    async def fill(self, function: str, store_url: str, *arguments: object) -> None:
        """Fill a store by the checkout's own `bench.fill`, which knows the tables of its store.

        The last argument is a count. Functions there must keep their parameters, or a commit from
        before cannot be measured.
        """
        command = (self.python, "-c", FILL, function, store_url, *map(str, arguments))
        # Not this checkout's bench, which the command line's folder is.
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        program = await asyncio.create_subprocess_exec(*command, cwd=self.folder, env=environment)
        if await program.wait():
            raise RuntimeError(f"cannot fill a store by the code in {self.folder}")


@contextmanager
def checked_out(commit: str, folder: Path) -> Generator[Code]:
    """Check a commit out into `folder`, for servers on the packages that are installed here."""
    short = _git("rev-parse", "--short", f"{commit}^{{commit}}")
    tree = folder / "tree"
    _git("worktree", "add", "--detach", "--quiet", str(tree), short)
    try:
        yield Code(folder=tree, python=_python_of(tree, folder / "venv"), mark=MARK + short)
    finally:
        _git("worktree", "remove", "--force", str(tree))


def _python_of(tree: Path, home: Path) -> str:
    """Make an environment with the code of a checkout, and with our packages but not our code."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    base = {"base": str(home), "platbase": str(home)}
    # `dovetail` is merged from all its roots, so ours must not be found. They are named in a file
    # in our site-packages, and such files are read only there where Python itself looks.
    paths = [*(str(tree / root) for root in NAMESPACE_ROOTS), sysconfig.get_path("purelib")]
    listed = Path(sysconfig.get_path("purelib", vars=base)) / "dovetail.pth"
    listed.write_text("\n".join(paths) + "\n")
    return str(home / "bin" / "python")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
