"""Questions about tasks and their answers, as values with the checks of their fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.server.edge.validation import Checks, shown
from dovetail.server.store.tables.input_options import InputOption
from dovetail.server.store.transaction import MICROS
from dovetail.server.tasks.requests import CONTENT_BYTES_MAX, TEXT_BYTES_MAX

OPTIONS_MAX = 20
DESCRIPTION_CHARACTERS_MAX = 512
DEFAULT_CHARACTERS_MAX = 1_024
WAIT_MICROS_MIN = MICROS
WAIT_MICROS_MAX = 30 * 24 * 3600 * MICROS


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question to an agent; empty: to the task's creator. `data_json` is for programs.

    If there is no answer `within` so many microseconds, the answer is `default_answer`.
    """

    agent_id: str
    text: str
    data_json: str | None = None
    options: Sequence[InputOption] = ()
    within: int | None = None
    default_answer: str = ""

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        check.optional_id("agent_id", self.agent_id)
        check.text_bytes("text", self.text, TEXT_BYTES_MAX)
        check.text_bytes("data", self.data_json or "", CONTENT_BYTES_MAX)
        if not self.text:
            check.refuse("text", "must say what is asked")
        if check.at_most("options", self.options, OPTIONS_MAX):
            self._check_options(check)
        self._check_default(check)

    def _check_options(self, check: Checks) -> None:
        seen: set[str] = set()
        for index, option in enumerate(self.options):
            field = f"options[{index}]"
            check.id(f"{field}.name", option.name)
            if option.name in seen:
                check.refuse(f"{field}.name", f"another option has the name {shown(option.name)}")
            seen.add(option.name)
            check.text(f"{field}.description", option.description, DESCRIPTION_CHARACTERS_MAX)

    def _check_default(self, check: Checks) -> None:
        within, field = self.within, "default_answer"
        if within is None:
            if self.default_answer:
                check.refuse(field, "must be unset without answer_within, after which it is given")
            return
        if not WAIT_MICROS_MIN <= within <= WAIT_MICROS_MAX:
            check.refuse("answer_within", f"must be 1 s to 30 days, is {within / MICROS:g} s")
        names = [option.name for option in self.options]
        if names and self.default_answer not in names:
            check.refuse(field, _one_of(names, self.default_answer))
        else:
            check.text(field, self.default_answer, DEFAULT_CHARACTERS_MAX, least=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer: the name of an option, or other words. `data_json` is for programs."""

    text: str = ""
    data_json: str | None = None
    option: str = ""
    is_default: bool = False

    def check(self, check: Checks) -> None:
        """Record what is wrong with it, whatever the question is."""
        check.text_bytes("text", self.text, TEXT_BYTES_MAX)
        check.text_bytes("data", self.data_json or "", CONTENT_BYTES_MAX)
        check.optional_id("option", self.option)
        if not (self.text or self.option) and self.data_json is None:
            check.refuse("text", "must not be empty unless option or data is set")

    def choosing(self, options: Sequence[InputOption]) -> Answer:
        """The same; where the text is only the name of an option, that is what it chooses."""
        # Who has nothing but an inbox answers with the word that stands there.
        name = self.text.strip()
        is_name = not self.option and name in [each.name for each in options]
        return replace(self, option=name, text="") if is_name else self

    def check_option(self, check: Checks, options: Sequence[InputOption]) -> None:
        """Record that the question has no option of this name."""
        names = [each.name for each in options]
        if self.option and not names:
            rule = f"the question has no options, answer it by text; is {shown(self.option)}"
            check.refuse("option", rule)
        elif self.option and self.option not in names:
            check.refuse("option", _one_of(names, self.option))


def _one_of(names: Sequence[str], value: str) -> str:
    known = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
    return f"must be one of the options {known}; is {shown(value)}"
