"""Which files of secrets are taken: the same by clients and by servers, which share no code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dovetail.server.access import exposure as of_servers
from dovetail.settings import exposure as of_clients
from support.strangers import USER_ID, needs_root, run_as_stranger
from support.tokens import TOKEN, written

ROOT, READER, OTHER = 0, 1_000, 2_000


def status(owner: int, mode: int) -> os.stat_result:
    return os.stat_result((0o100_000 | mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("owner", "reader", "mode", "is_read_only", "found"),
    [
        (READER, READER, 0o600, False, "NOBODY"),
        (READER, READER, 0o400, False, "NOBODY"),
        (READER, READER, 0o640, False, "OTHERS"),
        (READER, READER, 0o604, False, "OTHERS"),
        (READER, READER, 0o444, True, "NOBODY"),
        (ROOT, READER, 0o440, False, "NOBODY"),
        (ROOT, READER, 0o444, False, "NOBODY"),
        (ROOT, READER, 0o644, False, "NOBODY"),
        (ROOT, READER, 0o660, False, "OTHERS"),
        (ROOT, READER, 0o646, False, "OTHERS"),
        (ROOT, ROOT, 0o600, False, "NOBODY"),
        (ROOT, ROOT, 0o644, False, "OTHERS"),
        (ROOT, ROOT, 0o644, True, "NOBODY"),
        (OTHER, READER, 0o600, False, "ANOTHER_OWNER"),
        (OTHER, READER, 0o644, True, "ANOTHER_OWNER"),
        (READER, ROOT, 0o600, False, "ANOTHER_OWNER"),
    ],
)
def test_what_root_handed_out_is_taken_and_what_others_may_change_is_not(
    owner: int, reader: int, mode: int, is_read_only: bool, found: str
):
    for exposure_of in (of_clients.exposure_of, of_servers.exposure_of):
        given = exposure_of(status(owner, mode), reader=reader, is_read_only=is_read_only)
        assert given.name == found


@needs_root
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (0o440, "no answer from"),  # It is taken: the call is made.
        (0o444, "no answer from"),
        (0o666, "others may open it (mode 0666)"),
    ],
)
def test_a_token_is_taken_as_kubernetes_mounts_it(tmp_path: Path, mode: int, told: str):
    mounted = tmp_path / "secret"
    (mounted / "..2026_11_25").mkdir(parents=True)
    real = written(mounted / "..2026_11_25" / "token", TOKEN, mode)
    os.chown(real, ROOT, USER_ID)
    (mounted / "..data").symlink_to("..2026_11_25")
    (mounted / "token").symlink_to("..data/token")
    done = run_as_stranger(
        *("agent", "list", "--messaging", "127.0.0.1:1"),
        folder=mounted,
        DOVETAIL_PATIENCE="0",
        DOVETAIL_TOKEN_FILE="token",
    )
    assert told in done.stderr, done


@needs_root
def test_a_link_to_nowhere_is_one_line(tmp_path: Path):
    (tmp_path / "token").symlink_to("..data/token")
    done = run_as_stranger("agent", "list", folder=tmp_path, DOVETAIL_TOKEN_FILE="token")
    assert (done.returncode, done.stderr) == (
        2,
        "dovetail: token file token: No such file or directory. See where it is named:"
        " dovetail config\n",
    )
