"""`dovetail team` and `dovetail token`: administration at a terminal."""

from __future__ import annotations

import json
import stat
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cli.shell import Finished, Shell
from dovetail.cli.commands.tokens import _private_file
from dovetail.cli.output.exit_codes import CommandError
from support.processes import ServerProcess, free_port


@dataclass(frozen=True, kw_only=True)
class Guarded(Shell):
    """A shell of an admin, at a server that asks for credentials, in a folder of its own."""

    folder: Path
    token_file: Path

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"DOVETAIL_TOKEN_FILE": str(self.token_file)}

    def as_(self, token_file: Path) -> Guarded:
        """The same with another token."""
        return Guarded(
            messaging=self.messaging,
            tasks=self.tasks,
            team="",
            folder=self.folder,
            token_file=token_file,
        )

    def made(self, *words: str) -> tuple[dict[str, Any], Path]:
        """A new credential, and the file of its token."""
        file = self.folder / f"{len(list(self.folder.iterdir()))}.token"
        (made,) = self.json("token", "create", *words, "--out", str(file))
        return made, file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server has its files."""
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def server(folder: Path) -> Generator[ServerProcess]:
    """A messaging server that asks for credentials."""
    options = ("--credentials", "--admin-token-file", str(folder / "admin.token"))
    store, log = f"sqlite:///{folder}/store.db", folder / "messaging.log"
    with ServerProcess("messaging", store, log, options=options) as server:
        yield server


@pytest.fixture
def admin(server: ServerProcess, folder: Path, tmp_path: Path) -> Guarded:
    """The first admin, with a new team."""
    shell = Guarded(
        messaging=server.address,
        tasks=f"127.0.0.1:{free_port()}",
        team=f"team {tmp_path.name}",
        folder=tmp_path,
        token_file=folder / "admin.token",
    )
    shell.says("team", "create", shell.team)
    return shell


def token_and_rest(done: Finished) -> tuple[str, str]:
    """The one line of standard output, and what standard error says beside it."""
    assert done.exit_code == 0, done
    (token,) = done.out.splitlines()
    return token, done.error


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_teams_are_made_and_listed(admin: Guarded):
    assert admin.team in admin.says("team", "list")
    again = admin.json("team", "create", admin.team)[0]
    assert again["team_id"] == admin.team
    assert again in admin.json("team", "list")


def test_the_token_alone_goes_to_standard_output(admin: Guarded):
    token, rest = token_and_rest(admin.run("token", "create", "--agent", "alice"))
    assert token.startswith("dovetail_")
    assert f"agent alice of team {admin.team}, ends: when revoked" in rest
    assert token not in rest
    file = admin.folder / "alice"
    file.touch(0o600)
    file.write_text(token)
    alice = admin.as_(file)
    assert "sent" in alice.says("send", "alice", "a note to myself")
    assert "alice → alice" in alice.says("inbox")


def test_json_has_the_token_beside_the_credential(admin: Guarded):
    (made,) = admin.json("token", "create", "--agent", "alice", "--note", "laptop")
    assert made["token"].startswith("dovetail_")
    assert (made["role"], made["description"]) == ("agent", "laptop")
    assert {key: made[key] for key in made if key != "token"} in admin.json("token", "list")


def test_a_token_file_is_new_and_its_owners_alone(admin: Guarded):
    made, file = admin.made("--agent", "alice")
    assert "token" not in made
    assert mode(file) == 0o600
    content = file.read_text()
    assert content.startswith("dovetail_")
    code, line = admin.fails("token", "create", "--agent", "alice", "--out", str(file))
    assert code == 4
    assert f"{file} already exists" in line
    assert file.read_text() == content
    assert len(admin.json("token", "list", "--team", admin.team)) == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("create",), 2, "name its owner"),
        (("create", "--role", "agent"), 5, "--agent: must be set"),
        (("create", "--role", "observer", "--expires", "0s"), 5, "--expires: must be"),
        (("create", "--role", "observer", "--expires", "soon"), 2, "is not a length of time"),
        (("create", "--role", "observer", "--team", "nowhere"), 3, "dovetail team create"),
        (("create", "--role", "admin", "--team", "nowhere"), 5, "team_id"),
        (("rotate", "c999"), 3, "dovetail token list"),
        (("revoke", "c999"), 3, "dovetail token list"),
    ],
)
def test_what_is_refused_leaves_no_file(
    admin: Guarded, words: tuple[str, ...], code: int, says: str
):
    files = set(admin.folder.iterdir())
    out = () if words[0] == "revoke" else ("--out", str(admin.folder / "new"))
    done = admin.run("token", *words, *out)
    assert (done.exit_code, done.out) == (code, ""), done
    assert says in done.error
    assert set(admin.folder.iterdir()) == files


def test_a_file_that_cannot_be_written_makes_no_token(admin: Guarded):
    nowhere = str(admin.folder / "none" / "token")
    for words in (("create", "--agent", "alice"), ("rotate", "c1")):
        code, line = admin.fails("token", *words, "--out", nowhere)
        assert code == 1
        assert "No such file or directory" in line
    assert admin.json("token", "list", "--team", admin.team) == []
    assert admin.says("team", "list")


def test_an_admin_has_no_team_whatever_is_set(admin: Guarded):
    made, file = admin.made("--role", "admin", "--expires", "1h")
    assert ("team_id" in made, made["role"]) == (False, "admin")
    assert admin.team in admin.as_(file).says("team", "list")


def test_tokens_are_listed_by_what_they_are(admin: Guarded):
    alice, _ = admin.made("--agent", "alice", "--note", "of alice", "--expires", "30d")
    looker, _ = admin.made("--role", "observer")
    admin.says("token", "revoke", alice["credential_id"])

    def listed(*words: str) -> list[str]:
        found = admin.json("token", "list", "--team", admin.team, *words)
        return [each["credential_id"] for each in found]

    assert listed() == [looker["credential_id"]]
    assert listed("--all") == [alice["credential_id"], looker["credential_id"]]
    assert listed("--all", "--agent", "alice") == [alice["credential_id"]]
    assert listed("--all", "--role", "observer") == [looker["credential_id"]]
    shown = admin.says("token", "list", "--all", "--team", admin.team)
    for part in ("of alice", "revoked 20", "observer", "when revoked"):
        assert part in shown


def test_a_rotated_token_takes_the_place_of_the_file(admin: Guarded):
    old, file = admin.made("--agent", "alice")
    before = file.read_text()
    words = ("token", "rotate", old["credential_id"], "--grace", "10m", "--out", str(file))
    (new,) = admin.json(*words)
    assert new["rotated_credential_id"] == old["credential_id"]
    assert file.read_text() != before
    assert mode(file) == 0o600
    assert "alice" in admin.as_(file).says("agent", "list")
    kept = admin.folder / "before"
    kept.touch(0o600)
    kept.write_text(before)
    assert "alice" in admin.as_(kept).says("agent", "list")


def test_a_token_whose_place_cannot_be_taken_stays_where_it_is(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    draft = tmp_path / "draft"
    stays = pytest.raises(CommandError, match=f"The new token is in {draft}")
    with stays, _private_file(draft, tmp_path / "folder") as file:
        file.write("the only copy")
    assert draft.read_text() == "the only copy"


def test_who_has_no_agent_is_told_how_to_get_its_token(admin: Guarded):
    _, file = admin.made("--role", "operator")
    code, line = admin.as_(file).fails("send", "alice", "x")
    assert code == 5
    assert "dovetail token create --agent AGENT" in line


def test_a_token_without_grace_ends_when_it_is_rotated(admin: Guarded):
    old, file = admin.made("--agent", "alice")
    token, _ = token_and_rest(admin.run("token", "rotate", old["credential_id"]))
    assert token not in file.read_text()
    (ended,) = [
        each
        for each in admin.json("token", "list", "--all", "--agent", "alice")
        if each["credential_id"] == old["credential_id"]
    ]
    assert json.loads(json.dumps(ended))["expire_time"]
    code, line = admin.fails("token", "rotate", old["credential_id"])
    assert (code, "[CREDENTIAL_NOT_ROTATABLE]" in line) == (4, True)


def test_others_may_not_administer_and_are_told_so(admin: Guarded):
    _, file = admin.made("--role", "operator")
    code, line = admin.as_(file).fails("token", "list")
    assert code == 4
    assert "[ROLE_REFUSED]. Use a token of another role" in line


def test_an_observer_reads_the_history_of_a_task_without_its_talk(
    admin: Guarded, server: ServerProcess, tmp_path: Path
):
    log, options = tmp_path / "tasks.log", ("--credentials",)
    with ServerProcess("tasks", server.store_url, log, options=options) as tasks:
        at = replace(admin, tasks=tasks.address)
        (operator, observer) = (at.made("--role", role)[1] for role in ("operator", "observer"))
        at.as_(operator).says("task", "create", "--id", "x", "A task")
        told = at.as_(observer).says("task", "history", "x", "--brief")
        assert told == "x 1 create\n"


def test_without_credentials_nobody_is_an_admin(shell: Shell):
    code, line = shell.fails("team", "list")
    assert code == 4
    assert "start it with --credentials" in line
