"""`dovetail setup`: into a configuration that others wrote, and out of it again."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.foreign import FOREIGN, MCP
from cli.shell import PROGRAM, Finished, Shell
from dovetail.bridges.hooks.hosts import HOSTS as CONTRACTS
from dovetail.cli.main import main
from dovetail.cli.setup import claude, codex, cursor, gemini
from dovetail.cli.setup.command import HOSTS
from support.children import SECONDS

EVERY_PLACE = [(host, scope) for host, scopes in FOREIGN.items() for scope in scopes]


class Desk:
    """A home and a project, and the files in them."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project = folder / "home", folder / "project"
        for each in (self.home, self.project):
            each.mkdir()
        shell = Shell(messaging="", tasks="", team="")
        self.environment = {
            name: value
            for name, value in shell.environment.items()
            if not name.startswith(("DOVETAIL_", "XDG_", "CLAUDE_", "CODEX_"))
        } | {"HOME": str(self.home)}

    def run(self, *words: str) -> Finished:
        """Run the command in this process: a start of its own takes longer than all it does."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.project)
            for name in {*os.environ} - {*self.environment}:
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            done = CliRunner().invoke(main, ["setup", *words])
        return Finished(exit_code=done.exit_code, out=done.stdout, error=done.stderr)

    def path(self, name: str) -> Path:
        return self.home / name[2:] if name.startswith("~/") else self.project / name

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())

    def read(self) -> dict[str, bytes]:
        """Every file but the record, and every folder."""
        found: dict[str, bytes] = {}
        for path in sorted((*self.home.rglob("*"), *self.project.rglob("*"))):
            name = str(path.relative_to(self.home.parent))
            if ".local" not in name:
                found[name] = path.read_bytes() if path.is_file() else b""
        return found

    def value(self, name: str) -> dict[str, Any]:
        text = self.path(name).read_bytes().decode()
        return tomllib.loads(text) if name.endswith("toml") else json.loads(text)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def contains(whole: Any, part: Any) -> bool:
    """Whether all of a value is in another, in its order."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and whole[: len(part)] == part
    return whole == part


@pytest.mark.parametrize(("host", "scope"), EVERY_PLACE)
def test_nothing_that_was_there_is_lost_and_undo_gives_it_back(desk: Desk, host: str, scope: str):
    files = FOREIGN[host][scope]
    desk.write(files)
    values = {name: desk.value(name) for name in files if not name.endswith(".md")}
    before = desk.read()
    done = desk.run(host, "--scope", scope, "--as", "ada", "--yes")
    assert (done.exit_code, done.error) == (0, "")
    for name, text in files.items():
        written = desk.path(name).read_bytes().decode()
        rest = iter(written)
        assert all(character in rest for character in text), "something was not only inserted"
        if name in values:
            assert contains(desk.value(name), values[name])
            assert desk.value(name) != values[name]
        assert ("\r\n" in text) == ("\r\n" in written)
    assert desk.run(host, "--scope", scope, "--as", "ada", "--yes").out.startswith("nothing to")
    assert desk.run(host, "--scope", scope, "--undo", "--yes").exit_code == 0
    assert desk.read() == before


@pytest.mark.parametrize(("host", "scope"), EVERY_PLACE)
def test_where_nothing_was_undo_leaves_nothing(desk: Desk, host: str, scope: str):
    before = desk.read()
    assert desk.run(host, "--scope", scope, "--yes").exit_code == 0
    assert desk.read() != before
    done = desk.run(host, "--scope", scope, "--undo", "--yes")
    assert (done.exit_code, "removed " in done.out) == (0, True)
    assert desk.read() == before
    done = desk.run(host, "--scope", scope, "--undo", "--yes")
    assert (done.exit_code, "nothing of" in done.error) == (3, True)


def test_what_each_host_is_told(desk: Desk):
    for host in HOSTS:
        assert desk.run(host, "--as", "ada", "--team", "red", "--yes").exit_code == 0
    end = ["mcp", "--as", "ada", "--team", "red"]
    for name in (".mcp.json", ".cursor/mcp.json", ".gemini/settings.json"):
        assert desk.value(name)["mcpServers"]["dovetail"]["args"][-5:] == end
    codex = desk.value(".codex/config.toml")
    assert codex["mcp_servers"]["dovetail"]["args"][-5:] == end
    assert "DOVETAIL_TOKEN" in codex["mcp_servers"]["dovetail"]["env_vars"]

    def command(file: str, event: str) -> str:
        (found,) = desk.value(file)["hooks"][event]
        return (found if "command" in found else found["hooks"][0])["command"]

    for host, file, event in (
        ("claude", ".claude/settings.json", "PostToolUse"),
        ("codex", ".codex/config.toml", "Stop"),
        ("cursor", ".cursor/hooks.json", "stop"),
        ("gemini", ".gemini/settings.json", "AfterAgent"),
    ):
        assert command(file, event).endswith(f" hook {host} {event} --as ada --team red")
    assert desk.value(".cursor/hooks.json")["version"] == 1
    assert "Claim a task before you work on it." in desk.path("CLAUDE.md").read_text()


def test_each_host_calls_the_hooks_that_are_there_for_its_events():
    found = {module.HOST: {*module.EVENTS} for module in (claude, codex, cursor, gemini)}
    assert found == {host: {*contract.EVENTS} for host, contract in CONTRACTS.items()}


def test_a_diff_is_shown_and_nothing_is_written_without_a_yes(desk: Desk):
    desk.write({".mcp.json": MCP})
    before = desk.read()
    done = desk.run("claude")
    assert (done.exit_code, before == desk.read()) == (2, True)
    assert "nobody can be asked here. Say --yes" in done.error
    assert '+\t\t"dovetail": {' in done.out
    assert "-\t\t" not in done.out.replace("-\t\t}\n", "")
    ours, theirs = pty.openpty()
    for answer, code in ((b"n\n", 4), (b"y\n", 0)):
        os.write(ours, answer)
        asked = subprocess.run(
            [*PROGRAM, "setup", "claude"],
            cwd=desk.project,
            env=desk.environment,
            stdin=theirs,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert (asked.returncode, b"Write this?" in asked.stdout) == (code, True), asked
        assert (desk.read() == before) == (code != 0)
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("host", HOSTS)
def test_print_writes_nothing(desk: Desk, host: str):
    before = desk.read()
    done = desk.run(host, "--print")
    assert (done.exit_code, "dovetail" in done.out, desk.read()) == (0, True, before)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (".gemini/settings.json", '{\n  // mine\n  "theme": "x"\n}\n', "it is not plain JSON"),
        (".gemini/settings.json", '{"theme": "x",}', "it is not plain JSON"),
        (".gemini/settings.json", '{"a": 1, "a": 2}', "the same key twice"),
        (".gemini/settings.json", "[]", "it is not an object"),
        (".gemini/settings.json", "\ufeffnot json", "it is not plain JSON"),
        (".gemini/settings.json", '{"mcpServers": []}', "mcpServers is not an object"),
        (".gemini/settings.json", '{"hooks": {"AfterTool": {}}}', "hooks.AfterTool is not a list"),
        (
            ".gemini/settings.json",
            '{"mcpServers": {"dovetail": {"url": "x"}}}',
            "mcpServers.dovetail is there already, with something else",
        ),
        (".codex/config.toml", "mcp_servers = { a = { command = 'x' } }\n", "it is not TOML"),
        (".codex/config.toml", "[mcp_servers.dovetail]\ncommand = 'x'\n", "it is not TOML"),
        (".codex/config.toml", "model = \n", "it is not TOML"),
    ],
)
def test_what_would_do_harm_is_refused(desk: Desk, name: str, text: str, why: str):
    desk.write({name: text})
    before = desk.read()
    done = desk.run(name[1:].partition("/")[0], "--yes")
    assert (done.exit_code, done.error.count("\n")) == (4, 1)
    assert why in done.error
    assert done.error.rstrip().endswith("Paste by hand what --print shows")
    assert desk.read() == before


def test_a_file_that_is_not_text_is_refused(desk: Desk):
    desk.write({".mcp.json": ""})
    desk.path(".mcp.json").write_bytes(b'{"a": "\xff"}')
    done = desk.run("claude", "--yes")
    assert (done.exit_code, "is not UTF-8" in done.error) == (4, True)


@pytest.mark.parametrize("host", HOSTS)
def test_undo_takes_out_its_own_part_of_what_was_changed_since(desk: Desk, host: str):
    files = FOREIGN[host]["project"]
    desk.write(files)
    assert desk.run(host, "--yes").exit_code == 0
    for name in files:
        path = desk.path(name)
        text = path.read_bytes().decode()
        if name.endswith("toml"):
            text = text.replace("gpt-5.2-codex", "o5")
        elif name.endswith(".json"):
            text = json.dumps(json.loads(text) | {"later": [1]}, indent=1)
        else:
            text = f"Later.\r\n{text}Also.\r\n"
        path.write_bytes(text.encode())
    done = desk.run(host, "--undo", "--yes")
    assert (done.exit_code, done.error) == (0, "")
    for name, text in files.items():
        if name.endswith("toml"):
            assert desk.path(name).read_text() == text.replace("gpt-5.2-codex", "o5")
        elif name.endswith(".json"):
            assert desk.value(name) == json.loads(text) | {"later": [1]}
        else:
            assert desk.path(name).read_bytes().decode() == f"Later.\r\n{text}Also.\r\n"


def test_undo_refuses_where_its_own_part_was_changed(desk: Desk):
    for host, name, old, new in (
        ("gemini", ".gemini/settings.json", '"mcp"', '"mcp", "--verbose"'),
        ("codex", ".codex/config.toml", "timeout = 10", "timeout = 11"),
    ):
        assert desk.run(host, "--yes").exit_code == 0
        path = desk.path(name)
        path.write_text(path.read_text().replace(old, new))
        before = desk.read()
        done = desk.run(host, "--undo", "--yes")
        assert (done.exit_code, "was changed since" in done.error) == (4, True)
        assert desk.read() == before


def test_a_key_after_the_block_of_toml_is_not_moved_to_another_table(desk: Desk):
    desk.write({".codex/config.toml": "[a]\nb = 1\n"})
    assert desk.run("codex", "--yes").exit_code == 0
    path = desk.path(".codex/config.toml")
    path.write_text(path.read_text() + "async = true\n")
    done = desk.run("codex", "--undo", "--yes")
    assert (done.exit_code, "change the meaning of other lines" in done.error) == (4, True)


def test_another_setup_replaces_the_first_and_undo_goes_back_before_both(desk: Desk):
    desk.write(FOREIGN["claude"]["project"])
    before = desk.read()
    for agent in ("ada", "bob"):
        assert desk.run("claude", "--as", agent, "--yes").exit_code == 0
    servers = desk.value(".mcp.json")["mcpServers"]
    assert servers["dovetail"]["args"][-2:] == ["--as", "bob"]
    assert "ada" not in desk.path(".claude/settings.json").read_text()
    assert desk.run("claude", "--undo", "--yes").exit_code == 0
    assert desk.read() == before


def test_two_hosts_share_a_file_and_are_undone_in_any_order(desk: Desk):
    desk.write({"AGENTS.md": "# Mine"})
    before = desk.read()
    for host in ("codex", "cursor"):
        assert desk.run(host, "--yes").exit_code == 0
    for host in ("codex", "cursor"):
        assert desk.run(host, "--undo", "--yes").exit_code == 0
    assert desk.read() == before


def test_a_link_stays_a_link_and_a_mode_a_mode(desk: Desk):
    real = desk.home / "dotfiles.json"
    real.write_text(MCP)
    real.chmod(0o600)
    desk.path(".mcp.json").symlink_to(real)
    assert desk.run("claude", "--yes").exit_code == 0
    assert desk.path(".mcp.json").is_symlink()
    assert "dovetail" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o600
    assert desk.run("claude", "--undo", "--yes").exit_code == 0
    assert (desk.path(".mcp.json").is_symlink(), real.read_text()) == (True, MCP)


def test_what_was_there_is_kept_from_other_users(desk: Desk):
    assert desk.run("claude", "--yes").exit_code == 0
    (record,) = (desk.home / ".local/share/dovetail/setup").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    record.write_text("{")
    done = desk.run("claude", "--undo", "--yes")
    assert (done.exit_code, "is damaged" in done.error) == (2, True)


def test_folders_that_hosts_name_are_used(desk: Desk, tmp_path: Path):
    named = {"CLAUDE_CONFIG_DIR": str(tmp_path / "c"), "CODEX_HOME": str(tmp_path / "x")}
    desk.environment |= named
    for host in ("claude", "codex"):
        assert desk.run(host, "--scope", "user", "--yes").exit_code == 0
    for name in ("c/.claude.json", "c/settings.json", "c/CLAUDE.md", "x/config.toml"):
        assert "dovetail" in (tmp_path / name).read_text()


def test_a_folder_that_cannot_be_written_is_named(desk: Desk):
    desk.path(".mcp.json").mkdir()
    done = desk.run("claude", "--yes")
    assert (done.exit_code, "Is a directory" in done.error) == (1, True)
