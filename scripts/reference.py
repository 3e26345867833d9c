"""Writes docs/reference from protos/, the command line and the table of rights.

With --check it proves the pages up to date.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import click
import rights
import values
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_tools import protoc

from dovetail.cli.lazy import subcommands
from dovetail.cli.main import main as program
from dovetail.cli.output import exit_codes
from dovetail.cli.worker import task_programs, turns
from dovetail.settings import CLIENT, CONFIG, PROFILE, SETTINGS

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
PAGES = ROOT / "docs" / "reference"
SOURCES = {
    "messaging.md": "dovetail/messaging/v1/messaging.proto",
    "tasks.md": "dovetail/tasks/v1/tasks.proto",
    "admin.md": "dovetail/admin/v1/admin.proto",
}
SHARED = "dovetail/types/v1/types.proto"
MADE = """This page is written by `make reference` from {};
`make lint` fails when it is out of date."""

CALLER = CLIENT["agent"].key
"""The option by which commands are known that call servers."""

MESSAGES, ENUMS, SERVICES, MEMBERS = 4, 5, 6, 2
"""Numbers of fields in descriptor.proto: comments are found by a path of such numbers."""


def main() -> int:
    """Write the pages, or compare them."""
    shared = _compiled(SHARED)
    pages = {name: _lines(Contract(_compiled(source), shared)) for name, source in SOURCES.items()}
    pages["command-line.md"] = _lines(CommandLine(program))
    pages["rights.md"] = _lines(rights.page(MADE))
    if "--check" not in sys.argv:
        for name, text in pages.items():
            (PAGES / name).write_text(text)
        return 0
    stale = [name for name, text in pages.items() if not _says(PAGES / name, text)]
    if stale:
        print(f"{', '.join(stale)}: out of date, run make reference", file=sys.stderr)
    return 1 if stale else 0


def _lines(page: Iterable[str]) -> str:
    return "\n".join(page) + "\n"


def _says(page: Path, text: str) -> bool:
    return page.exists() and page.read_text() == text


def _compiled(source: str) -> FileDescriptorProto:
    """A proto with its comments."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "set")
        options = ("--include_source_info", f"--proto_path={PROTOS}", f"--descriptor_set_out={out}")
        compile_ = cast(Any, protoc).main
        if compile_(["protoc", *options, f"--proto_path={_well_known()}", source]):
            sys.exit(f"{source} does not compile")
        (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    return file


def _well_known() -> Path:
    return Path(protoc.__file__).parent / "_proto"


class Contract:
    """One proto as a page: its service, RPC by RPC, then what its messages are made of."""

    def __init__(self, file: FileDescriptorProto, shared: FileDescriptorProto) -> None:
        """Find the comments, and what belongs to which RPC. `shared` has the types of all pages."""
        self._file = file
        self._shared = shared
        (self._service,) = file.service
        self._comments = _comments(file)
        self._rpc_of = {method.input_type: method.name for method in self._service.method}
        self._messages = {
            f".{file.package}.{message.name}": (number, message)
            for number, message in enumerate(file.message_type)
        }

    def __iter__(self) -> Iterator[str]:
        """The page, line by line."""
        yield f"# {self._service.name}"
        yield ""
        yield MADE.format(f"the comments in `protos/{self._file.name}`")
        yield f"The full name of the service is `{self._file.package}.{self._service.name}`."
        yield ""
        yield from prose(self._comments[SERVICES, 0])
        yield from self._rpcs()
        yield from self._parts()
        yield from self._enums()

    def _rpcs(self) -> Iterator[str]:
        yield "## RPCs"
        yield ""
        yield " · ".join(_link(method.name) for method in self._service.method)
        for number, method in enumerate(self._service.method):
            yield ""
            yield f"### {method.name}"
            yield ""
            yield from prose(self._comments[SERVICES, 0, MEMBERS, number])
            yield from self._side("Request", method.input_type)
            streams = "Stream of responses" if method.server_streaming else "Response"
            yield ""
            yield from self._side(streams, method.output_type)
        yield ""

    def _side(self, title: str, type_name: str) -> Iterator[str]:
        number, message = self._messages[type_name]
        yield f"**{title}.** {one_line(self._comments[MESSAGES, number])}"
        yield from self._fields(self._comments, number, message)

    def _parts(self) -> Iterator[str]:
        """The messages that are no request and no response."""
        yield "## Messages"
        sides = {
            name for each in self._service.method for name in (each.input_type, each.output_type)
        }
        own = {name: each for name, each in self._messages.items() if name not in sides}
        for comments, messages in ((self._comments, own), (_comments(self._shared), self._used())):
            for number, message in messages.values():
                yield from ("", f"### {message.name}", "", one_line(comments[MESSAGES, number]))
                yield from self._fields(comments, number, message)
        yield ""

    def _used(self) -> dict[str, tuple[int, DescriptorProto]]:
        """The shared messages that this contract uses, with their places in their file."""
        shared = {
            f".{self._shared.package}.{message.name}": (number, message)
            for number, message in enumerate(self._shared.message_type)
        }
        used = _types(self._file.message_type)
        found: dict[str, tuple[int, DescriptorProto]] = {}
        while more := {each: shared[each] for each in shared if each in used and each not in found}:
            found |= more
            used = _types(message for _, message in more.values())
        return {name: each for name, each in shared.items() if name in found}

    def _fields(
        self, comments: dict[tuple[int, ...], str], number: int, message: DescriptorProto
    ) -> Iterator[str]:
        yield ""
        yield "| field | type | meaning |"
        yield "|---|---|---|"
        for place, field in enumerate(message.field):
            meaning = one_line(comments[MESSAGES, number, MEMBERS, place])
            yield f"| `{field.name}` | {self._type(message, field)} | {_cell(meaning)} |"

    def _type(self, message: DescriptorProto, field: FieldDescriptorProto) -> str:
        for entry in message.nested_type:
            if field.type_name.endswith(f".{message.name}.{entry.name}"):
                key, value = (self._name(part) for part in entry.field)
                return f"map of {key} to {value}"
        name = self._name(field)
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"list of {name}"
        if field.proto3_optional:
            return f"{name}, may be unset"
        if field.HasField("oneof_index"):
            return f"{name}, one of `{message.oneof_decl[field.oneof_index].name}`"
        return name

    def _name(self, field: FieldDescriptorProto) -> str:
        if not field.type_name:
            return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        name = field.type_name.removeprefix(f".{self._file.package}.")
        name = name.removeprefix(f".{self._shared.package}.")
        if name.startswith("."):
            return name.removeprefix(".")
        return _link(name, self._rpc_of.get(field.type_name, name))

    def _enums(self) -> Iterator[str]:
        yield "## Enums"
        shared = [message for _, message in self._used().values()]
        used = _types([*self._file.message_type, *shared])
        for file in (self._file, self._shared):
            comments = _comments(file)
            for number, enum in enumerate(file.enum_type):
                if file is self._file or f".{file.package}.{enum.name}" in used:
                    yield ""
                    yield f"### {enum.name}"
                    yield ""
                    yield one_line(comments[ENUMS, number])
                    yield ""
                    yield from _values(comments, number, enum)


def _types(messages: Iterable[DescriptorProto]) -> set[str]:
    return {field.type_name for each in messages for field in each.field}


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {tuple(place.path): place.leading_comments for place in file.source_code_info.location}


def _values(
    comments: dict[tuple[int, ...], str], number: int, enum: EnumDescriptorProto
) -> Iterator[str]:
    yield "| value | number | meaning |"
    yield "|---|---|---|"
    for place, value in enumerate(enum.value):
        meaning = one_line(comments[ENUMS, number, MEMBERS, place])
        yield f"| `{value.name}` | {value.number} | {_cell(meaning)} |"


class CommandLine:
    """The command line as a page: every command, every option, every setting."""

    def __init__(self, program: click.Command) -> None:
        """Walk the tree of commands."""
        self._commands = list(commands(click.Context(program, info_name="dovetail")))
        self._common = self._shared()

    def __iter__(self) -> Iterator[str]:
        """The page, line by line."""
        yield "# The command line"
        yield ""
        yield MADE.format("the program itself")
        yield "`--help` and `-h` after any command say the same."
        for context in self._commands:
            yield from self._command(context)
        yield from self._common_options()
        yield from values.PAGE.splitlines()
        yield from self._settings()
        yield from _variables()
        yield from _exit_codes()

    def _shared(self) -> dict[str, click.Option]:
        """The options that every command has which calls servers, as such a command has them."""
        calling = [each for each in self._commands if any(o.name == CALLER for o in options(each))]
        by_flags = [{_flags(option): option for option in options(each)} for each in calling]
        everywhere = set(by_flags[0]).intersection(*by_flags)
        return {flags: option for flags, option in by_flags[0].items() if flags in everywhere}

    def _command(self, context: click.Context) -> Iterator[str]:
        yield ""
        yield f"## {context.command_path}"
        yield ""
        yield inspect.cleandoc(context.command.help or "")
        if isinstance(context.command, click.Group):
            paths = (f"{context.command_path} {name}" for name in context.command.commands)
            yield ""
            yield "Commands: " + " · ".join(_link(path, path.replace(" ", "-")) for path in paths)
        yield ""
        yield "```text"
        yield " ".join((context.command_path, *context.command.collect_usage_pieces(context)))
        yield "```"
        own = [option for option in options(context) if not self._is_common(context, option)]
        if own:
            yield ""
            yield from _option_table(own, context)
        if len(own) < len(options(context)):
            yield ""
            yield "And the [options of every call](#options-of-every-call)."

    def _is_common(self, context: click.Context, option: click.Option) -> bool:
        calls = any(each.name == CALLER for each in options(context))
        return calls and _flags(option) in self._common

    def _common_options(self) -> Iterator[str]:
        yield ""
        yield "## Options of every call"
        yield ""
        yield "Every command that calls a server has these."
        yield ""
        yield from _option_table(self._common.values(), self._commands[0])

    def _settings(self) -> Iterator[str]:
        yield ""
        yield "## Settings"
        yield ""
        yield "An option goes before the environment variable, and that before the file:"
        yield "see [Configure it](../how-to/configuration.md)."
        yield ""
        yield "| environment variable | key in the file | option | meaning | default |"
        yield "|---|---|---|---|---|"
        for setting in (CONFIG, PROFILE, *SETTINGS):
            key = f"`{setting.section}.{setting.key}`" if setting.in_file else ""
            flag = f"`{setting.flag}`" if setting.flag else ""
            cells = (key, flag, _cell(setting.help), setting.shown_default)
            yield f"| `{setting.variable}` | {' | '.join(cells)} |"
        yield ""
        yield "`XDG_DATA_HOME` moves the data folder; `NO_COLOR` turns colours off."


def commands(context: click.Context) -> Iterator[click.Context]:
    """A command and all below it, each as it would be called."""
    yield context
    if isinstance(context.command, click.Group):
        for name, command in subcommands(context.command):
            if not command.hidden:
                yield from commands(click.Context(command, parent=context, info_name=name))


def options(context: click.Context) -> list[click.Option]:
    """The options of a command that its help shows."""
    return [o for o in context.command.params if isinstance(o, click.Option) and not o.hidden]


def _option_table(chosen: Iterable[click.Option], context: click.Context) -> Iterator[str]:
    yield "| option | meaning | default |"
    yield "|---|---|---|"
    for option in chosen:
        value = "" if option.is_flag else f" {option.make_metavar(context)}"
        name, meaning = _cell(_flags(option) + value), _cell(_meaning(option))
        yield f"| `{name}` | {meaning} | {_default(option)} |"


def _flags(option: click.Option) -> str:
    return ", ".join((*option.opts, *option.secondary_opts))


def _meaning(option: click.Option) -> str:
    """What an option's help says, without the default that may stand in it."""
    said = (option.help or "").partition("  [default")[0]
    return said + (
        " May be given several times." if option.multiple and "several" not in said else ""
    )


def _default(option: click.Option) -> str:
    """The default as help shows it: a value, or what the text of the help says."""
    if isinstance(option.show_default, str):
        return option.show_default
    told = (option.help or "").partition("[default: ")[2].removesuffix("]")
    return told or (f"`{option.default}`" if option.show_default else "")


def _variables() -> Iterator[str]:
    yield ""
    yield "## What a worker's program finds"
    yield ""
    yield "`dovetail worker` and `attend` give these to their programs, beside the settings, so"
    yield "that can call `dovetail` itself. `dovetail task` takes the token of a lease from there:"
    yield "for the task that is named there, or for any where none is."
    yield ""
    yield "| environment variable | meaning |"
    yield "|---|---|"
    for name, meaning in (task_programs.VARIABLES | turns.VARIABLES).items():
        yield f"| `{name}` | {_cell(meaning)} |"


def _exit_codes() -> Iterator[str]:
    yield from ("", "## Exit codes", "", "| code | meaning |", "|---|---|")
    for code, meaning in re.findall(r"^(\d+) +(.+)$", exit_codes.__doc__ or "", re.MULTILINE):
        yield f"| {code} | {meaning} |"


def prose(comment: str) -> Iterator[str]:
    """A comment as Markdown: paragraphs, lists, and columns that stay columns."""
    lines = [line.removeprefix(" ") for line in comment.rstrip().splitlines()]
    for indented, run in groupby(lines, lambda line: line.startswith("  ")):
        block = [line.removeprefix("  ") for line in run]
        if indented and not block[0].startswith("- "):
            block = ["```text", *block, "```"]
        yield from block
        yield ""


def one_line(comment: str) -> str:
    """A comment that is a sentence or two."""
    return " ".join(comment.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _link(text: str, anchor: str = "") -> str:
    return f"[{text}](#{(anchor or text).lower()})"


if __name__ == "__main__":
    sys.exit(main())
