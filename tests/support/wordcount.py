"""How many tokens a model reads in a text: what a reader that pays by the word pays."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():  # It opens its vocabulary in a way that is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

    ENCODING = bpe_openai.get_encoding("o200k_base")


def count_tokens(text: str) -> int:
    """The number of tokens by o200k, a vocabulary of several models."""
    return len(ENCODING.encode(text))
