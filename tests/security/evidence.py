"""What others may see of a secret: its forms, and where they are looked for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

SAMPLING_SECONDS = 0.06
PART = 16
"""Of a token so many characters at either end are as secret as the whole."""


def forms_of_token(token: str) -> set[bytes]:
    """A token, its ends, and its hash, as text that somebody might write down."""
    secret = token.removeprefix("dovetail_")
    digest = hashlib.sha256(token.encode()).digest()
    forms = {secret[:PART], secret[-PART:], digest.hex()[: 2 * PART], digest.hex()[-2 * PART :]}
    forms |= {form.upper() for form in forms if form in digest.hex()}
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        forms |= {encode(secret.encode()).decode().rstrip("="), encode(digest).decode().rstrip("=")}
    forms.add(repr(digest)[2:-1])
    return {form.encode() for form in forms}


@dataclass
class Evidence:
    """Everything that was seen, by where it was seen."""

    pieces: list[tuple[str, bytes]] = field(default_factory=lambda: [])

    def add(self, where: str, content: str | bytes) -> None:
        """Keep a piece."""
        self.pieces.append((where, content if isinstance(content, bytes) else content.encode()))

    def add_error(self, error: grpc.aio.AioRpcError) -> None:
        """Keep all that a client gets of an error."""
        for part in (error.details(), error.trailing_metadata(), error.initial_metadata(), error):
            self.add(f"an error of {error.code().name}", repr(part))
        for _, value in error.trailing_metadata() or ():
            self.add(f"metadata of {error.code().name}", value)

    def add_files(self, folder: Path, *patterns: str) -> None:
        """Keep what stands in files."""
        for pattern in patterns:
            found = list(folder.glob(pattern))
            assert found, f"no {pattern} in {folder}"
            for file in found:
                self.add(file.name, file.read_bytes())

    def hits(self, secrets: Iterable[bytes]) -> list[str]:
        """Where secrets were seen, with what stands around them."""
        found: list[str] = []
        for secret in secrets:
            for where, content in self.pieces:
                if (place := content.find(secret)) >= 0:
                    around = content[max(0, place - 200) : place + 200]
                    found.append(f"{where}: {secret!r} in {around!r}")
        return found

    @contextmanager
    def watching_processes(self) -> Generator[None]:
        """Keep every command line that any process of this machine has during the block."""
        seen: set[bytes] = set()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(SAMPLING_SECONDS):
                for file in Path("/proc").glob("[0-9]*/cmdline"):
                    with contextlib.suppress(OSError):
                        seen.add(file.read_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            for line in seen:
                self.add("the list of processes", line)
