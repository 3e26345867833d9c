"""One turn of a scripted agent: it answers by its output, and works on tasks by commands.

It loads no library: the commands are what an agent has that only has a shell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

TRY_AGAIN = 75
REFUSED = 4


def main() -> None:
    """Read the messages, and print the reply."""
    given = json.load(sys.stdin)
    now = datetime.now(UTC)
    with open(os.environ["SEEN"], "a") as seen:
        for each in given["deliveries"]:
            waited = now - datetime.fromisoformat(each["message"]["create_time"])
            seen.write(
                f"{given['agent_id']} {each['receipt']['sequence']} {waited.total_seconds()}\n"
            )
    print("\n".join(line for each in given["deliveries"] for line in said(each["message"])))


def said(message: dict[str, Any]) -> Iterator[str]:
    """The lines with which it replies to a message."""
    verb, _, rest = message.get("body", "").partition(" ")
    notice = message.get("notice", {})
    if notice.get("verb") == "assign":
        yield work(notice["task_id"])
    elif verb == "question":
        yield f"answer {rest}"
    elif verb == "ask":
        other, _, number = rest.partition(" ")
        run("send", other, f"question {number}", "--request-id", f"question-{number}")
    elif verb == "answer":
        run("send", "lead", f"answer {rest}", "--request-id", f"answer-{rest}")


def work(task_id: str) -> str:
    """Do a task, unless it is done. One whose title ends so fails at first."""
    started = run("task", "start", task_id, "--lease", "3s", "--json", may_fail=True)
    if started is None:
        shown = json.loads(run("task", "show", task_id, "--json", "--fields", "state") or "")
        if shown["state"] != "completed":
            sys.exit(TRY_AGAIN)
        return f"report {task_id}"
    found = json.loads(started)
    task, lease = found["task"], ("--lease-token", found["lease_token"])
    if task["title"].endswith("!") and task["attempt"] == 1:
        run("task", "fail", task_id, "not at the first try", "--retryable", *lease)
        sys.exit(TRY_AGAIN)
    run("task", "complete", task_id, "done", *lease)
    return f"report {task_id}"


def run(*words: str, may_fail: bool = False) -> str | None:
    """What a command prints; None if it is refused."""
    command = [sys.executable, "-m", "dovetail.cli", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == REFUSED and may_fail:
        return None
    if done.returncode:
        sys.exit(TRY_AGAIN)
    return done.stdout


if __name__ == "__main__":
    main()
