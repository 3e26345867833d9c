"""What the docs list is what the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from google.protobuf.descriptor import FileDescriptor

from docs.pages import DOCS, FENCED, PAGES, ROOT
from dovetail.admin.v1 import admin_pb2
from dovetail.cli.lazy import subcommands
from dovetail.cli.main import main
from dovetail.cli.worker import turns
from dovetail.cli.worker.task_programs import VARIABLES
from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.edge.statuses import STATUS_CODES
from dovetail.server.errors import Reason
from dovetail.settings import CONFIG, PROFILE, SETTINGS
from dovetail.tasks.v1 import tasks_pb2

CONTRACTS = {
    "messaging.md": messaging_pb2.DESCRIPTOR,
    "tasks.md": tasks_pb2.DESCRIPTOR,
    "admin.md": admin_pb2.DESCRIPTOR,
}
SOURCES = ("services", "clients/python")
SETTING = re.compile(r"\bDOVETAIL_[A-Z_]+")


def section(page: str, heading: str) -> str:
    """What a page says under a heading; it fails where there is no such heading."""
    text = (DOCS / "reference" / page).read_text()
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {heading}"
    return found[1]


@pytest.mark.parametrize(("page", "file"), CONTRACTS.items(), ids=CONTRACTS)
def test_every_rpc_is_documented_with_every_field(page: str, file: FileDescriptor) -> None:
    (service,) = file.services_by_name.values()
    for method in service.methods:
        text = section(page, method.name)
        for field in (*method.input_type.fields, *method.output_type.fields):
            assert f"| `{field.name}` |" in text, f"{method.name}: {field.name}"


@pytest.mark.parametrize(("page", "file"), CONTRACTS.items(), ids=CONTRACTS)
def test_every_message_and_every_enum_is_documented(page: str, file: FileDescriptor) -> None:
    (service,) = file.services_by_name.values()
    sides = {each for method in service.methods for each in (method.input_type, method.output_type)}
    for message in file.message_types_by_name.values():
        if message not in sides:
            text = section(page, message.name)
            assert all(f"| `{field.name}` |" in text for field in message.fields), message.name
    for enum in file.enum_types_by_name.values():
        text = section(page, enum.name)
        assert all(f"| `{value.name}` |" in text for value in enum.values), enum.name


def test_every_reason_is_documented_and_no_other() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    assert re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE) == [r.value for r in Reason]


def raised() -> Iterator[tuple[str, str]]:
    """Each pair of a reason and a class of errors in the code of the servers."""
    for path in (ROOT / "services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name(kind), [ast.Attribute(ast.Name("Reason"), reason), *_]):
                    yield reason, kind
                case ast.keyword("reason", ast.Attribute(ast.Name("Reason"), reason)):
                    yield reason, "NotFoundError"  # A Kind of `store/tables/unknown.py`.
                case _:
                    pass


def test_every_reason_is_raised_with_the_status_of_the_page_alone() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    told = set(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", page, re.MULTILINE))
    codes = {kind.__name__: code.name for kind, code in STATUS_CODES.items()}
    found = {(reason, codes[kind]) for reason, kind in raised() if kind in codes}
    assert found == told


def commands(path: str, command: click.Command) -> list[tuple[str, click.Command]]:
    below = subcommands(command) if isinstance(command, click.Group) else ()
    shown = [(f"{path} {name}", each) for name, each in below if not each.hidden]
    return [(path, command), *(each for name, sub in shown for each in commands(name, sub))]


def test_every_command_is_documented_with_every_option() -> None:
    common = section("command-line.md", "Options of every call")
    for path, command in commands("dovetail", main):
        text = section("command-line.md", path) + common
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert re.search(rf"^\| `{', '.join(option.opts)}[ `]", text, re.MULTILINE), path


def test_every_command_that_a_page_names_in_passing_exists() -> None:
    known = {path for path, _ in commands("dovetail", main)}
    for page in (path for path in PAGES if path.parent.name != "decisions"):
        named = set(re.findall(r"`(dovetail [a-z]+)", page.read_text()))
        assert named <= known, page.name


def test_every_setting_is_documented_and_no_other() -> None:
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in files for name in SETTING.findall(path.read_text())}
    read = {setting.variable for setting in (*SETTINGS, CONFIG, PROFILE)}
    assert named <= read | set(VARIABLES) | set(turns.VARIABLES)
    documented = re.findall(r"^\| `(\w+)` \|", section("command-line.md", "Settings"), re.MULTILINE)
    assert set(documented) == read
    everywhere = {name for page in PAGES for name in SETTING.findall(page.read_text())}
    assert everywhere <= read | set(VARIABLES) | set(turns.VARIABLES)


def test_every_decision_says_context_choice_and_cost() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert decisions
    for decision in decisions:
        text = decision.read_text()
        assert text.startswith(f"# {int(decision.name[:4])}. "), decision.name
        assert all(f"**{part}.**" in text for part in ("Context", "Choice", "Cost")), decision.name


def anchors(page: Path) -> set[str]:
    """The places on a page that a link may name."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    for page in (*PAGES, *ROOT.glob("*.md")):
        text = FENCED.sub("", page.read_text())
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(aim), f"{page.name}: {target}#{anchor}"


def test_every_page_is_in_an_index() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.rglob("*.md"):
        place = page.relative_to(DOCS)
        assert place.parts[0] in ("README.md", "decisions") or f"({place})" in index, place
