"""Real logs of teams of LLM agents, read as who said what to whom."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(
    os.environ.get("DOVETAIL_LOGS")
    or Path(__file__).parents[3] / "shared" / "data" / "who_and_when"
)
PERSON = "human"
ROLE = re.compile(r"(?P<speaker>.+?) \((?:-> (?P<addressee>.+)|(?P<aside>.+))\)")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One thing said. A thought is a note to oneself."""

    speaker: str
    addressee: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """One run of a team: the question of a person, and the turns that it took."""

    name: str
    question: str
    turns: tuple[Turn, ...]

    @property
    def worker(self) -> str:
        """The first agent to speak, who has the question to answer."""
        return next(turn.speaker for turn in self.turns if turn.speaker != PERSON)

    @property
    def participants(self) -> set[str]:
        """Everyone who speaks or is spoken to, and the person."""
        return {PERSON, *(id_ for turn in self.turns for id_ in (turn.speaker, turn.addressee))}


def read_all() -> list[Log]:
    """All logs of the folder, in order of name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.json"))]


def _read(path: Path) -> Log:
    content = json.loads(path.read_text(encoding="utf-8"))
    said = [
        (*_who(turn.get("name") or turn["role"]), turn["content"]) for turn in content["history"]
    ]
    following = [speaker for speaker, _, _ in said[1:]] + [PERSON]
    turns = tuple(
        Turn(speaker=speaker, addressee=addressee or next_speaker, text=text)
        for (speaker, addressee, text), next_speaker in zip(said, following, strict=True)
    )
    return Log(name=path.stem, question=content["question"], turns=turns)


def _who(name: str) -> tuple[str, str]:
    """The speaker, and the addressee where the name tells it: "Orchestrator (-> WebSurfer)"."""
    match = ROLE.fullmatch(name)
    if match is None:
        return name, ""
    speaker = match["speaker"]
    return speaker, speaker if match["aside"] == "thought" else match["addressee"] or ""
