"""The page on stubs in other languages: each block makes them and runs a program, as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import DOCS, LANGUAGES, ROOT, examples
from support.processes import ServerProcess
from support.soak import SOAK
from support.stubs import run_commands, skip_without

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

PAGE = DOCS / "how-to" / "stubs.md"
EXAMPLES = {
    example.kind.removeprefix("console "): example for example in examples(PAGE, *LANGUAGES)
}
ALL_OF_A_FOLDER = ("<protoSourceRoot>../protos</protoSourceRoot>", "buf generate ../protos\n")


def test_every_language_is_there_with_every_proto() -> None:
    assert set(EXAMPLES) == {"java", "rust", "typescript"}
    names = {path.stem for path in (ROOT / "protos").rglob("*.proto")}
    for language, example in EXAMPLES.items():
        whole = any(each in example.text for each in ALL_OF_A_FOLDER)
        assert whole or all(f'"{name}"' in example.text for name in names), language


@pytest.mark.parametrize("language", EXAMPLES)
def test_stubs_are_made_and_used_as_the_page_says(
    language: str, sqlite_url: str, tmp_path: Path
) -> None:
    example, tool = EXAMPLES[language], LANGUAGES[f"console {language}"]
    if not SOAK:
        pytest.skip("compiles for a minute: `make soak` does it")
    skip_without(tool)
    with ServerProcess("messaging", sqlite_url, tmp_path / "server.log") as server:
        text = example.text.replace("127.0.0.1:50051", server.address)
        text = text.replace('"127.0.0.1", 50051', f'"127.0.0.1", {server.port}')
        assert server.address in text or str(server.port) in text
        printed = run_commands(text, tmp_path)
    assert example.prints(printed), printed
