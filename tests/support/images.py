"""Builds an image from a Dockerfile without a container engine, and runs containers of it.

The base image is replaced by a root over this machine's own, and the registry by a folder of
wheels; the steps are those of the file. What is not used in our file is not understood here.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import dockerfile

from support.roots import WITH_US, Root, Roots

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEELS = "/mnt"
START = """
set -e
mkdir "$OWN/upper" "$OWN/work"
mount -t overlay overlay -o "lowerdir=$UPPER:/,upperdir=$OWN/upper,workdir=$OWN/work" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/tmp"
chmod 1777 "$ROOT/tmp"
hostname "$HOST"
while [ "$1" != -- ]; do
  # Engines make what the image has not.
  if [ -d "$1" ]; then mkdir -p "$ROOT$2"; else : > "$ROOT$2"; fi
  mount --bind "$1" "$ROOT$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$ROOT$2"
  shift 3
done
shift
mount -o remount,ro "$ROOT"
exec chroot "$ROOT" "$@"
"""


@dataclass(kw_only=True)
class Image:
    """What a stage of a Dockerfile makes."""

    root: Root
    environment: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health_command: str = ""
    ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


class Builder:
    """Builds images of the files in `context`, with the wheels in a folder."""

    def __init__(self, roots: Roots, context: Path, wheels: Path) -> None:
        """Build in `roots`."""
        self._roots, self._context, self._wheels = roots, context, wheels
        self._stages: dict[str, Image] = {}
        self._image: Image | None = None

    def build(self, file: Path) -> Image:
        """Run every step of a Dockerfile; the image of its last stage."""
        steps: dict[str, Callable[[Sequence[str], Sequence[str]], None]] = {
            "ARG": lambda values, flags: None,
            "LABEL": lambda values, flags: None,
            "FROM": self._from,
            "COPY": self._copy,
            "RUN": self._run,
        }
        for step in dockerfile.parse_file(str(file)):
            if step.cmd in steps:
                steps[step.cmd](step.value, step.flags)
            else:
                self._set(step.cmd, list(step.value))
        return self._current

    @property
    def _current(self) -> Image:
        assert self._image is not None
        return self._image

    def _from(self, values: Sequence[str], flags: Sequence[str]) -> None:
        root = self._roots.new_root()
        # The base image's Python is that of the tests.
        path = f"{Path(sys.base_prefix, 'bin')}:{SYSTEM_PATH}"
        self._image = Image(root=root, environment={"PATH": path})
        self._roots.run("mount", "--bind", str(self._wheels), f"{root.path}{WHEELS}")
        if len(values) > 1:
            self._stages[values[2]] = self._image

    def _copy(self, values: Sequence[str], flags: Sequence[str]) -> None:
        *sources, target = values
        image = self._current
        stage = next((self._stages[flag.removeprefix("--from=")] for flag in flags), None)
        base = stage.root.seen if stage else self._context
        place = image.root.seen / str(Path(image.folder, target)).lstrip("/")
        for source in (base / source.lstrip("/") for source in sources):
            aim = place / source.name if target.endswith("/") else place
            aim.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, aim, symlinks=True, dirs_exist_ok=True)
            elif source.suffix == ".lock":
                aim.write_text(self._with_hashes_of_wheels(source.read_text()))
            else:
                shutil.copy(source, aim)

    def _with_hashes_of_wheels(self, lock: str) -> str:
        """The same releases, with the hashes of the wheels that stand in for the registry's."""
        lines: list[str] = []
        for name, release, marker in re.findall(
            r"^([\w.-]+)==([\w.]+)(.*?) \\$", lock, re.MULTILINE
        ):
            stem = f"{re.sub('[-_.]+', '_', name)}-{release}-"
            for wheel in self._wheels.iterdir():
                if wheel.name.lower().startswith(stem):
                    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
                    lines.append(f"{name}=={release}{marker} --hash=sha256:{digest}")
        assert lines
        return "\n".join(lines)

    def _run(self, values: Sequence[str], flags: Sequence[str]) -> None:
        image = self._current
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS}
        command = ("/bin/sh", "-c", *values)
        image.root.run(*command, folder=image.folder, **image.environment, **offline)

    def _set(self, name: str, values: list[str]) -> None:
        image = self._current
        match name:
            case "ENV":
                for key, value in zip(values[::2], values[1::2], strict=True):
                    image.environment[key] = Template(value).substitute(image.environment)
            case "WORKDIR":
                image.folder = values[0]
                (image.root.seen / values[0].lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = values[0]
            case "ENTRYPOINT":
                image.entrypoint = values
            case "CMD":
                image.command = values
            case "HEALTHCHECK":
                image.health_command = values[1]
            case "EXPOSE":
                image.ports = values
            case "VOLUME":
                image.volumes = values
            case _:
                raise AssertionError(f"a step that is not understood here: {name}")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder of the namespaces, or a file, in a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running container; `environment` is that of its processes."""

    image: Image
    process: subprocess.Popen[str]
    environment: Mapping[str, str]

    @property
    def first_pid(self) -> int:
        """The process that is number 1 in there, by its number here."""
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as health checks do."""
        spaces = ("--mount", "--pid", "--net", "--uts", "--root")
        line = ["nsenter", f"--target={self.first_pid}", *spaces, "--"]
        line += _as_user(self.image, self.environment)
        return subprocess.run(
            [*line, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def is_healthy(self, test: Sequence[str]) -> bool:
        """Whether a health check succeeds."""
        kind, *words = test
        assert kind == "CMD"
        return self.run(*words).returncode == 0

    def stop(self) -> int:
        """Stop it as engines do; how it ended."""
        os.kill(self.first_pid, signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def container(
    image: Image,
    command: Sequence[str],
    mounts: Sequence[Mount] = (),
    settings: Mapping[str, str] | None = None,
) -> Generator[Container]:
    """Run a container with a read-only root and no capabilities, until it has printed a line."""
    roots = image.root.roots
    root, own = roots.new_folder(), roots.new_folder()
    environment = {**image.environment, **(settings or {})}
    start = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
    line = roots.inside(
        "env",
        f"UPPER={image.root.upper}",
        f"OWN={own}",
        f"ROOT={root}",
        f"HOST={Path(root).name}",
    )
    line += [*start, "sh", "-c", START, "sh"]
    for each in mounts:
        line += [each.source, each.target, "ro" if each.read_only else "rw"]
    # The kernel forgets by a change of user with whom a process is to end.
    line += [
        "--",
        *_as_user(image, environment, *WITH_US),
        *image.entrypoint,
        *(command or image.command),
    ]
    with subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        running = Container(image=image, process=process, environment=environment)
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, process.communicate(timeout=30)
            yield running
        finally:
            if process.poll() is None:
                process.kill()


def _as_user(image: Image, environment: Mapping[str, str], *first: str) -> list[str]:
    user, _, group = image.user.partition(":")
    own = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--inh-caps=-all")
    variables = (f"{key}={value}" for key, value in environment.items())
    bounds = ("--bounding-set=-all", "--no-new-privs")
    return [*own, *bounds, *first, "env", "-i", f"--chdir={image.folder}", *variables]
