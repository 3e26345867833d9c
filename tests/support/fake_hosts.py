"""Hosts of models that obey the published contracts of hooks, and run a script in place of a model.

As far as `dovetail.bridges.hooks` says it: which hooks run when, with which fields; what is read of
what they print; that claude ends a turn after eight holds and cursor after loop_limit; that only
claude is woken by the end of a background process. The others are started again for each wake, as
`codex exec resume` does it: by a loop around `dovetail watch`.
"""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from cli.shell import PROGRAM
from dovetail.bridges.hooks.call import BY_HOOK
from support.background import Background
from support.scripted_model import Model

POLL_SECONDS = 0.05
FIELDS = {
    "claude": ("PostToolUse", "Stop", "session_id"),
    "codex": ("PostToolUse", "Stop", "session_id"),
    "cursor": ("postToolUse", "stop", "conversation_id"),
    "gemini": ("AfterTool", "AfterAgent", "session_id"),
}
HOLDS_MAX = {"claude": 8, "codex": 1_000, "cursor": 5, "gemini": 1_000}
"""After so many the host ends the turn, whatever a hook says."""


class FakeHost:
    """A session of a host with one agent. `run` lives until it is stopped."""

    def __init__(self, host: str, model: Model) -> None:
        """Run the script in this host."""
        self.host = host
        self.model = model
        self.turns = self.holds = self.shown = self.wakes = 0
        self.model.used = self._after_tool
        self._tool, self._stop, self._session = FIELDS[host]
        self._stopped = threading.Event()
        self._watcher: Background | None = None
        self.fault: BaseException | None = None

    def run(self) -> None:
        """A turn for each wake."""
        try:
            while not self._stopped.is_set():
                if self.host == "claude":  # Its model was told to start it in the background.
                    self._watch()
                self._turn()
                if self.host != "claude":
                    self._watch()
                self._until_woken()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.fault = error
        finally:
            if self._watcher:
                self._watcher.__exit__()

    def stop(self) -> None:
        """End after this turn."""
        self._stopped.set()

    def kill_watcher(self) -> None:
        """kill -9 of whatever waits for this session."""
        if self._watcher:
            self._watcher.kill()

    def _watch(self) -> None:
        self._watcher = Background(("watch",), self.model.shell.environment)

    def _until_woken(self) -> None:
        watcher = self._watcher
        assert watcher is not None
        while watcher.is_running and not self._stopped.wait(POLL_SECONDS):
            pass
        self.wakes += not watcher.is_running

    def _turn(self) -> None:
        """The model works; where a hook holds the end of its turn, it goes on."""
        self.turns += 1
        for count in range(HOLDS_MAX[self.host] + 1):
            self.model.work()
            facts = {"stop_hook_active": count > 0, "loop_count": count, "status": "completed"}
            said = self._hook(self._stop, facts)
            reason = said.get("reason") or said.get("followup_message")
            if not reason:
                return
            assert said.get("decision") in ("block", "deny", None)
            self.holds += 1

    def _after_tool(self) -> bool:
        said = self._hook(self._tool, {"tool_name": "shell", "tool_response": "…"})
        self.shown += bool(said)
        return bool(said)

    def _hook(self, event: str, facts: dict[str, Any]) -> dict[str, Any]:
        """Run a hook; what a host reads of it."""
        said = {self._session: f"{self.host} of {self.model.agent_id}", "hook_event_name": event}
        done = subprocess.run(
            [*PROGRAM, "hook", self.host, event],
            input=json.dumps(said | facts),
            capture_output=True,
            text=True,
            env=self.model.shell.environment,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return json.loads(done.stdout or "{}")


def end_watchers(runtime: Path) -> None:
    """End the watchers that hooks started in a runtime folder."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.environ().get("XDG_RUNTIME_DIR") == str(runtime)
            if is_ours and BY_HOOK in process.cmdline():
                process.kill()
