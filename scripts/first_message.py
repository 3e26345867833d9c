"""Uses an installed Dovetail as its user does, up to the first message, and says how long it took.

    python first_message.py FOLDER

FOLDER has the commands of the installation: `dovetail` and `python`. The servers' data is where the
caller's HOME says. It needs nothing but the standard library, and runs as any user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

TEXT = "The first message"
PUBLIC_NAMES = """
import dovetail.client
from dovetail.client.blocking import Agent, connect
for name in dovetail.client.__all__:
    getattr(dovetail.client, name)
print(dovetail.client.__version__)
"""
STOP_SECONDS = 30
OUTSIDE = {
    key: value for key, value in os.environ.items() if not key.startswith(("DOVETAIL_", "PYTHON"))
}


def main() -> None:
    commands = Path(sys.argv[1]).absolute()
    begin = time.perf_counter()
    version = say_version(commands)
    with servers(commands) as addresses:
        sequence = send_and_receive(commands, addresses)
    seconds = time.perf_counter() - begin
    print(f"dovetail {version}: servers up, message #{sequence} received, down: {seconds:.1f} s")


def say_version(commands: Path) -> str:
    """The version, which the command, the module and the client library must agree on."""
    said = {
        run(commands / "dovetail", "--version").split()[-1],
        run(commands / "python", "-m", "dovetail", "--version").split()[-1],
        run(commands / "python", "-W", "error", "-c", PUBLIC_NAMES).strip(),
    }
    (version,) = said
    return version


@contextmanager
def servers(commands: Path) -> Generator[dict[str, str]]:
    """Run `dovetail up`; the settings with which its clients find it."""
    listen = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
    line = [str(commands / "dovetail"), "up", "--json", *listen]
    with subprocess.Popen(line, env=OUTSIDE, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            facts = json.loads(up.stdout.readline())
            yield {"DOVETAIL_MESSAGING": facts["messaging"], "DOVETAIL_TASKS": facts["tasks"]}
        finally:
            up.terminate()
            code = up.wait(STOP_SECONDS)
    if code:
        sys.exit(f"dovetail up ended with exit code {code}")


def send_and_receive(commands: Path, addresses: dict[str, str]) -> int:
    """Send a message; its sequence, as its recipient sees it."""
    dovetail = commands / "dovetail"
    run(dovetail, "status", **addresses)
    run(dovetail, "agent", "register", "bob", **addresses)
    run(dovetail, "send", "--as", "alice", "bob", TEXT, **addresses)
    line = run(dovetail, "inbox", "--as", "bob", "--json", **addresses)
    (delivery,) = json.loads(line)
    if delivery["message"]["body"] != TEXT:
        sys.exit(f"another message came: {line}")
    return int(delivery["receipt"]["sequence"])


def run(*command: str | Path, **settings: str) -> str:
    """What a command prints; it must end well."""
    line = list(map(str, command))
    done = subprocess.run(
        line, env=OUTSIDE | settings, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(line)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
