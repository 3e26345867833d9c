"""What the pages tell a reader to run works as it stands there, and prints what they show."""

from __future__ import annotations

import os
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
from support.processes import ServerProcess, free_port, process_pair

PROGRAM = Path(__file__).with_name("program.py")
GUARDED = "--credentials"
"""Servers that a page starts with this are the ones that it goes on with."""
ANY_PORT = "127.0.0.1:0"
EXPORT = re.compile(r"^export (DOVETAIL_\w+)=(\S*)$", re.MULTILINE)
SERVER = re.compile(r"^(?:\.venv/bin/)?dovetail (up|serve)\b")
NOT_RUN = re.compile(r"^make [a-z-]+$")
"""Targets of make are run by CI, and by whoever works here: they do not nest."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Somebody who follows a page, in a team and a folder of their own."""

    messaging: str
    tasks: str
    team: str
    folder: Path
    exported: dict[str, str] = field(default_factory=lambda: {})

    def runs(self, example: Example) -> str:
        """Run an example; what it prints."""
        if example.kind == "python":
            script = self.folder / "example.py"
            script.write_text(self._at_home(example.text))
            return self._run(sys.executable, str(PROGRAM), str(script))
        commands = self._at_home(example.text).splitlines(keepends=True)
        script = "".join(line for line in commands if not NOT_RUN.match(line.strip()))
        return self._run("bash", "-ec", script, fails=example.kind == "console fails")

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

    def exports(self, example: Example) -> None:
        """Keep what an example exports for those after it, as a shell does."""
        self.exported.update(EXPORT.findall(example.text))

    def guarded(self) -> Reader:
        """The same reader before servers of their own, where a token says which team it is."""
        addresses = (f"127.0.0.1:{free_port()}" for _ in range(2))
        return replace(self, messaging=next(addresses), tasks=next(addresses), team="")

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
            "DOVETAIL_TEAM": self.team,
            "DOVETAIL_DATA_DIR": str(self.folder),
            **self.exported,
        }

    def _at_home(self, text: str) -> str:
        """The example with this reader's servers, and this reader's team where it names none."""
        text = text.replace("127.0.0.1:50051", self.messaging)
        text = text.replace("127.0.0.1:50052", self.tasks)
        return text.replace("buf curl ", f"buf curl -H 'dovetail-team: {self.team}' ")


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[tuple[ServerProcess, ServerProcess]]:
    folder = tmp_path_factory.mktemp("servers")
    store = f"sqlite:///{folder}/store.db"
    with process_pair(store, folder) as servers:
        yield servers


@pytest.fixture
def reader(
    servers: tuple[ServerProcess, ServerProcess], tmp_path: Path, request: pytest.FixtureRequest
) -> Reader:
    messaging, tasks = servers
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    team = re.sub(r"[^a-z]+", "-", request.node.name.lower())
    return Reader(messaging=messaging.address, tasks=tasks.address, team=team, folder=tmp_path)


@pytest.mark.parametrize("page", pages_with("console", "console fails"))
def test_the_commands_of_a_page_run_one_after_the_other(page: str, reader: Reader) -> None:
    with ExitStack() as stack:
        for example in examples(ROOT / page, "console", "console fails"):
            lines = example.text.splitlines()
            if started := [line for line in lines if SERVER.match(line)]:
                assert started == lines, "servers are started in a block of their own"
                for command in started:
                    if GUARDED in command:
                        reader = reader.guarded()
                        stack.enter_context(reader.started(command))
                    else:
                        with reader.started(command):
                            pass
            else:
                printed = reader.runs(example)
                assert example.prints(printed), f"{example.output}\n--- is not ---\n{printed}"
                reader.exports(example)


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_programs_of_a_page_run_one_after_the_other(page: str, reader: Reader) -> None:
    for example in examples(ROOT / page, "python"):
        printed = reader.runs(example)
        assert example.prints(printed), f"{example.output}\n--- is not ---\n{printed}"


def test_the_program_in_the_readme_tells_of_the_message_the_task_and_the_report(
    reader: Reader,
) -> None:
    (program,) = examples(ROOT / "README.md", "python")
    message, report = reader.runs(program).splitlines()
    assert message == "alice Can you look at the parser?"
    assert report.startswith("1 0:00:0")


def test_every_block_is_either_run_or_only_shown() -> None:
    for page in PAGES:
        kinds = {kind for kind, _ in fenced(page)}
        assert kinds <= {*RUN, *LANGUAGES, *READ, *SHOWN}, page.name


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
