"""Words: how a text is taken apart, so that what is searched and what is asked for are the same.

Both databases index exactly the words that are found here, and none has a say in what a word is. A
unit is a word, a run of letters and digits; or one character of a script that is written without
spaces, where no rule tells words apart. A text of such units is indexed by pairs: a query of two or
more finds every place where they follow each other, one of a single unit the pairs that begin so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

WORD_BYTES_MAX = 64
"""Of a longer word this much is indexed; a query for it compares the whole word with the text."""

_SHORT = WORD_BYTES_MAX // 4
"""A word of so many characters need not be cut."""

DOCUMENT_WORDS_MAX = 10_000
"""Different words of one document that are indexed. Chosen: a writer takes them in some 20 ms."""

_FOLDED_KEPT = 20_000

# Thai, Lao, Burmese, Khmer, then Chinese and Japanese: kana, ideographs and what stands with them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_MARK_BLOCKS = (range(0x300, 0x1E950), range(0xE0100, 0xE01F0))
_VOICE_MARKS = "\uff9e\uff9f"
"""Of half-width kana: letters to Unicode, but never without the one before."""

# Accents, the vowel points of Hebrew and Arabic, and what changes the look of a character.
_DIACRITICS = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u20d0-\u20ff"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U000e0100-\U000e01ef]+"
)
_LOOKS = "\ufe0e\ufe0f\u20e3"
"""Marks that stand with signs and emoji: no part of a word."""

_WHOLE = itemgetter(0)


class Unit(NamedTuple):
    """A word, or a character of a script without spaces, and where it stands in its text."""

    word: str
    start: int
    end: int
    is_unspaced: bool


def units(text: str) -> Iterator[Unit]:
    """The units of a text, in order."""
    for found in _pattern_for(text).finditer(text):
        if word := _folded(found[0]):
            yield Unit(word, found.start(), found.end(), found.lastindex is not None)


class Part(NamedTuple):
    """Units of a text that follow each other: their words, and what gives the rest of each."""

    words: list[str]
    found: list[re.Match[str]]

    def unit(self, at: int) -> Unit:
        """One of them."""
        found = self.found[at]
        return Unit(self.words[at], found.start(), found.end(), found.lastindex is not None)


def parts(text: str, size: int) -> Iterator[Part]:
    """The units of a text, so many at a time: in a fraction of the time that `units` takes."""
    left = _pattern_for(text).finditer(text)
    while found := [*islice(left, size)]:
        words = [*map(_folded, map(_WHOLE, found))]
        if "" in words:
            found = [each for each, word in zip(found, words, strict=True) if word]
            words = [word for word in words if word]
        yield Part(words, found)


def is_run(before: Unit, unit: Unit) -> bool:
    """Whether two units that follow each other belong to one run of a script without spaces."""
    return before.is_unspaced and unit.is_unspaced and before.end == unit.start


def document_words(texts: Iterable[str]) -> list[str]:
    """The different words by which a document of these texts is found, cut for the index."""
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(_indexed(text)))
        if len(found) >= DOCUMENT_WORDS_MAX:
            break
    words = [*found][:DOCUMENT_WORDS_MAX]
    return [*dict.fromkeys(word if len(word) <= _SHORT else cut(word) for word in words)]


def cut(word: str) -> str:
    """As much of a word as is indexed."""
    return word.encode()[:WORD_BYTES_MAX].decode(errors="ignore")


def _indexed(text: str) -> Iterable[str]:
    """Words, and of runs of a script without spaces each pair and the last unit."""
    # All words at once where that is possible: a loop in Python takes several times as long.
    pattern = _pattern_for(text)
    if pattern is _ASCII_WORD:
        return pattern.findall(text.lower())
    if not pattern.groups:
        return filter(None, map(_folded, pattern.findall(text)))
    return _pairs(text)


def _pairs(text: str) -> Iterator[str]:
    before: Unit | None = None
    for unit in units(text):
        if before and before.is_unspaced:
            yield before.word + unit.word if is_run(before, unit) else before.word
        if not unit.is_unspaced:
            yield unit.word
        before = unit
    if before and before.is_unspaced:
        yield before.word


@lru_cache(_FOLDED_KEPT)
def _folded(word: str) -> str:
    """A word without case, accents and other looks; empty if nothing is left."""
    if word.isascii():
        return word.lower()
    plain = _DIACRITICS.sub("", unicodedata.normalize("NFKD", word)).casefold()
    composed = unicodedata.normalize("NFC", plain)
    # Some characters stand for several, such as "½", and of those not all belong into a word.
    return composed if composed.isalnum() else "".join(filter(_is_of_word, composed))


def _is_of_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


# What finds the units of a text: the simplest pattern that fits it, as the others take several
# times as long. Most texts beyond ASCII are so by a dash or an emoji, or have letters with accents.
_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_PLAIN_WORD = re.compile(r"[^\W_]+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNSPACED_UNIT = re.compile(rf"(?![\W_])[{_UNSPACED}]")


def _pattern_for(text: str) -> re.Pattern[str]:
    beyond = "" if text.isascii() else "".join(_BEYOND_ASCII.findall(text))
    if _UNSPACED_UNIT.search(beyond):
        return _any_unit()
    if _any_mark().search(beyond):
        return _marked_word()
    return _PLAIN_WORD if _PLAIN_WORD.search(beyond) else _ASCII_WORD


@cache
def _any_mark() -> re.Pattern[str]:
    return re.compile(f"[{_marks()}]")


@cache
def _marked_word() -> re.Pattern[str]:
    return re.compile(_word(""))


@cache
def _any_unit() -> re.Pattern[str]:
    """Units of all scripts; those of scripts without spaces are a group."""
    unit = rf"(?![\W_])[{_UNSPACED}][{_marks()}{_VOICE_MARKS}]*"
    return re.compile(f"({unit})|{_word(_UNSPACED)}")


def _word(others: str) -> str:
    """A run of letters with their marks, without these characters."""
    letter = rf"[^\W_{others}]"
    return f"{letter}+(?:[{_marks()}]+{letter}*)*"


@cache
def _marks() -> str:
    """The marks that stand on or after letters, as the inside of a character class."""
    spans: list[list[int]] = []
    for code in (code for block in _MARK_BLOCKS for code in block):
        if unicodedata.category(chr(code))[0] != "M" or chr(code) in _LOOKS:
            continue
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)
