"""What may be a token's file, and what an error tells of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tokens import TOKEN, fault, written


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700 | 0o001])
async def test_a_token_file_that_others_may_open_is_refused(token_file: Path, mode: int):
    written(token_file, TOKEN, mode)
    said = await fault(token_file=token_file)
    assert f"{token_file}: others may open it (mode {mode:04o})" in said
    assert said.endswith(f"chmod 600 {token_file}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to another user")
async def test_a_token_file_of_another_user_is_refused(token_file: Path):
    os.chown(token_file, 1, -1)
    assert f"{token_file}: it belongs to another user" in await fault(token_file=token_file)


def folder(path: Path) -> Path:
    path.unlink()
    path.mkdir()
    return path


def pipe(path: Path) -> Path:
    path.unlink()
    os.mkfifo(path, 0o600)
    return path


def link_to_an_open_file(path: Path) -> Path:
    link = path.with_name("link")
    link.symlink_to(written(path, TOKEN, 0o644))
    return link


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda path: path.with_name("none"), "No such file or directory"),
        (folder, "Is a directory"),
        (pipe, "not a regular file"),
        (link_to_an_open_file, "others may open it"),
        (lambda path: written(path, ""), "empty"),
        (lambda path: written(path, "\n\n"), "empty"),
        (lambda path: written(path, f"{TOKEN}\n{TOKEN}\n"), "several lines"),
        (lambda path: written(path, f"Bearer {TOKEN}"), "characters that no token has"),
        (lambda path: written(path, f"{TOKEN}é"), "characters that no token has"),
        (lambda path: written(path, TOKEN * 100), "too long"),
    ],
)
async def test_a_token_file_that_holds_no_token_is_named_and_not_shown(
    token_file: Path, change: Callable[[Path], Path], why: str
):
    path = change(token_file)
    said = await fault(token_file=path)
    assert said.startswith(f"token file {path}: ")
    assert why in said
    assert "s3cret" not in said


async def test_a_text_that_can_be_no_token_is_not_shown():
    for text in (f"{TOKEN} ", f"{TOKEN}\n{TOKEN}", f"{TOKEN}é"):
        said = await fault(token=text)
        assert said.startswith("the token: it has ")
        assert "s3cret" not in said
