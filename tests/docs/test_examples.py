"""What the pages tell a reader to run works as it stands there, and prints what they show."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from docs.pages import (
    INSTALL,
    LANGUAGES,
    PAGES,
    READ,
    ROOT,
    RUN,
    SHOWN,
    Example,
    examples,
    fenced,
    pages_with,
)
from dovetail.cli.options.config_file import read_config
from support.fake_hosts import end_watchers
from support.processes import free_port, process_pair
from support.soak import only_in_soaks

GUARDED = "--credentials"
"""Servers that a page starts with this are the ones that it goes on with, in a new terminal."""
ANY_PORT = "127.0.0.1:0"
SERVER = re.compile(r"^(?:\.venv/bin/)?dovetail (up|serve)\b")
NOT_RUN = re.compile(r"^make [a-z-]+$")
"""Targets of make are run by CI, and by whoever works here: they do not nest."""

FOLLOWED = pages_with(*RUN)
ORDER = random.Random(12).sample(FOLLOWED, len(FOLLOWED))
"""In which the pages are read: any order must do, and this one is the same in every run."""

TEAM = re.compile(
    r"""DOVETAIL_TEAM=([\w-]+)|dovetail-team: ([\w-]+)|"dovetail-team", "([\w-]+)|--team ([\w-]+)"""
    r"""|team_id="([\w-]+)"""
)
"""Where an example says for which team it is."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Somebody who follows pages in one terminal, in one folder; `exported` is what it exports."""

    messaging: str
    tasks: str
    folder: Path
    exported: dict[str, str] = field(default_factory=lambda: {})

    def follow(self, page: str) -> None:
        """Run every example of a page, in order, and compare what it prints with what is shown."""
        reader = self
        with ExitStack() as stack:
            for example in examples(ROOT / page, *RUN):
                lines = example.text.splitlines()
                started = [line for line in lines if SERVER.match(line)]
                if not started:
                    printed = reader.runs(example)
                    assert example.prints(printed), f"{example.output}\n--- is not ---\n{printed}"
                    continue
                assert started == lines, "servers are started in a block of their own"
                for command in started:
                    if GUARDED in command:
                        reader = reader.guarded()
                        stack.enter_context(reader.started(command))
                    else:
                        with reader.started(command):
                            pass

    def runs(self, example: Example) -> str:
        """Run an example; what it prints."""
        if example.kind == "python":
            script = self.folder / "example.py"
            script.write_text(self._at_home(example.text))
            return self._run(sys.executable, str(script))
        commands = self._at_home(example.text).splitlines(keepends=True)
        script = "".join(line for line in commands if not NOT_RUN.match(line.strip()))
        if example.kind == "console fails":
            return self._run("bash", "-ec", script, fails=True)
        kept = self.folder / "exported"
        printed = self._run("bash", "-ec", f"{script}\nenv -0 > {shlex.quote(str(kept))}")
        self._keep(kept.read_text())
        return printed

    @contextmanager
    def started(self, command: str) -> Generator[None]:
        """Start servers, wait until they say that they serve, and stop them after the block."""
        words = [sys.executable, "-m", "dovetail.cli", *shlex.split(command)[1:]]
        words += ["--store", f"sqlite:///{self.folder}/started.db"]
        up = {"--messaging-listen": self.messaging, "--tasks-listen": self.tasks}
        listens = up if GUARDED in words else dict.fromkeys(up, ANY_PORT)
        if words[3] == "serve":
            listens = {"--listen": ANY_PORT}
        for listen in listens.items():  # of options given twice the last one counts
            words += listen
        with (self.folder / "log").open("wb") as log:
            server = subprocess.Popen(
                words,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
            )
        assert server.stdout is not None
        first = server.stdout.readline()
        try:
            yield
        finally:
            server.terminate()
            server.communicate(timeout=60)
        assert server.returncode == 0, (self.folder / "log").read_text()
        assert re.search("ready|serving", first), first

    def guarded(self) -> Reader:
        """The same reader in a new terminal, before servers of their own."""
        addresses = (f"127.0.0.1:{free_port()}" for _ in range(2))
        return replace(self, messaging=next(addresses), tasks=next(addresses), exported={})

    def _keep(self, environment: str) -> None:
        """What the next example finds in its environment, as in one shell."""
        found = dict(each.split("=", 1) for each in environment.split("\0") if "=" in each)
        ours = {key: value for key, value in found.items() if key.startswith("DOVETAIL_")}
        self.exported.clear()
        self.exported.update(ours)

    def _run(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if fails else subprocess.PIPE,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode != 0) is fails, (words[-1], done.stdout, done.stderr)
        return done.stdout

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if key != "COLUMNS"},
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "DOVETAIL_MESSAGING": self.messaging,
            "DOVETAIL_TASKS": self.tasks,
            "DOVETAIL_DATA_DIR": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            **self.exported,
        }

    def _at_home(self, text: str) -> str:
        """The example with this reader's servers."""
        text = text.replace("127.0.0.1:50051", self.messaging)
        return text.replace("127.0.0.1:50052", self.tasks)


@contextmanager
def new_reader(folder: Path) -> Generator[Reader]:
    """A reader in a folder with what a clone has, before servers with an empty store."""
    (folder / "protos").symlink_to(ROOT / "protos")
    (folder / ".venv").symlink_to(sys.prefix)
    with process_pair(f"sqlite:///{folder}/store.db", folder) as (messaging, tasks):
        yield Reader(messaging=messaging.address, tasks=tasks.address, folder=folder)
        end_watchers(folder)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Generator[Reader]:
    with new_reader(tmp_path_factory.mktemp("reader")) as reader:
        yield reader


@pytest.mark.parametrize("page", ORDER)
def test_the_examples_of_a_page_run_after_those_of_other_pages_on_the_same_servers(
    page: str, reader: Reader
) -> None:
    replace(reader, exported={}).follow(page)  # In a terminal of its own.


@only_in_soaks
@pytest.mark.soak
@pytest.mark.parametrize("page", FOLLOWED)
def test_the_examples_of_a_page_run_on_an_empty_store(page: str, tmp_path: Path) -> None:
    with new_reader(tmp_path) as reader:
        reader.follow(page)


def test_no_two_pages_use_the_same_team() -> None:
    # Teams never see each other. So a page whose team no other page uses finds on any store what it
    # would find on an empty one; the test above shows the same the long way.
    pages: dict[str, str] = {}
    for page in FOLLOWED:
        text = "".join(example.text for example in examples(ROOT / page, *RUN))
        for team in {name for found in TEAM.findall(text) for name in found if name}:
            assert team not in pages, f"{team}: {page} and {pages[team]}"
            pages[team] = page
    # They make certificates, or the configuration of a host, and call no server.
    alone = {"docs/how-to/tls.md", "docs/how-to/setup.md"}
    assert set(pages.values()) == {*FOLLOWED} - alone


def test_the_program_in_the_readme_tells_of_the_message_the_task_and_the_report(
    reader: Reader,
) -> None:
    (program,) = examples(ROOT / "README.md", "python")
    alone = replace(reader, exported={"DOVETAIL_TEAM": "program"})
    message, report = alone.runs(program).splitlines()
    assert message == "alice Can you look at the parser?"
    assert report.startswith("1 0:00:0")


def test_every_block_is_either_run_or_only_shown() -> None:
    for page in PAGES:
        kinds = {kind for kind, _ in fenced(page)}
        assert kinds <= {*RUN, *INSTALL, *LANGUAGES, *READ, *SHOWN}, page.name


@pytest.mark.parametrize("page", pages_with(*READ))
def test_every_configuration_file_is_one(page: str, tmp_path: Path) -> None:
    for example in examples(ROOT / page, *READ):
        file = tmp_path / "config.toml"
        file.write_text(example.text)
        assert read_config(file).values


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page.name
