"""Samples of a profiler, read and added up: by part of the program, and by function."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

FRAME = re.compile(r"(?P<function>.+) \((?P<file>.*?)(?::\d+)?\)")
ENTRANCE = "/dovetail/cli/"
LOOP = "run_until_complete"
THREAD = re.compile(r"thread \(\d+\): (.+)")
OURS = "/dovetail/"
PARTS = (
    ("/grpc/", "grpc"),
    ("/google/", "protobuf"),
    ("peewee", "peewee and SQLite"),
    ("playhouse", "peewee and SQLite"),
    ("psycopg", "psycopg"),
    ("/asyncio/", "asyncio"),
    ("threading", "threads"),
)
REST = "python and the system"


@dataclass
class Profile:
    """How many samples each thread, part and function had; a function's own, and with callees."""

    samples: int = 0
    threads: Counter[str] = field(default_factory=Counter[str])
    parts: Counter[str] = field(default_factory=Counter[str])
    alone: Counter[str] = field(default_factory=Counter[str])
    ours: Counter[str] = field(default_factory=Counter[str])
    by_thread: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])


def read(lines: Iterable[str]) -> Profile:
    """Add up collapsed stacks: `thread;frame;frame;… count`, the outermost frame first.

    What the main thread does before it serves does not count.
    """
    profile = Profile()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        thread, *frames = stack.split(";")
        if frames and (LOOP in stack or ENTRANCE not in stack):
            _add(profile, _thread(thread), [_frame(frame) for frame in frames], int(number))
    return profile


def _add(profile: Profile, thread: str, frames: list[tuple[str, str]], number: int) -> None:
    profile.samples += number
    profile.threads[thread] += number
    profile.parts[_part(frames)] += number
    names = [_name(function, file) for function, file in frames]
    profile.alone[names[-1]] += number
    for name in {name for name, (_, file) in zip(names, frames, strict=True) if OURS in file}:
        profile.ours[name] += number
        profile.by_thread.setdefault(thread, Counter())[name] += number


def _thread(text: str) -> str:
    found = THREAD.fullmatch(text)
    name = found[1] if found else text
    return "event loop" if name == "MainThread" else re.sub(r"[-_]\d+$", "", name)


def _frame(text: str) -> tuple[str, str]:
    found = FRAME.fullmatch(text)
    return (found["function"], found["file"]) if found else (text, "")


def _part(frames: list[tuple[str, str]]) -> str:
    """The part that the innermost frame with a known file belongs to.

    C code has no frames: what the event loop itself seems to run is gRPC's.
    """
    if frames[-1][0] == "Handle._run":
        return "grpc"
    for _, file in reversed(frames):
        if OURS in file:
            return _module(file)
        for place, part in PARTS:
            if place in file:
                return part
    return REST


def _module(file: str) -> str:
    return "dovetail." + file.rpartition(OURS)[2].removesuffix(".py").replace("/", ".")


def _name(function: str, file: str) -> str:
    place = _module(file) if OURS in file else file.rpartition("/")[2]
    return f"{function} ({place})" if place else function
